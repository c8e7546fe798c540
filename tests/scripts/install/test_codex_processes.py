"""Processes that may still use the service."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from scripts.install.codex_processes import processes_using
from tests.support.launcher import python, read_line, started

WAIT = "import time; print('up', flush=True); time.sleep(60)"

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux shows the environment of processes")


def test_a_process_that_names_the_file_is_found(tmp_path: Path) -> None:
    """By its environment."""
    path = tmp_path / "certificates.pem"
    with started(*python(WAIT), environ={**os.environ, "SSL_CERT_FILE": str(path)}) as process:
        read_line(process, "up")
        assert process.pid in (processes_using(path) or [])
        assert process.pid not in (processes_using(tmp_path / "other.pem") or [])


def test_every_codex_is_found(tmp_path: Path) -> None:
    """It sets the variable for itself, which the system does not show."""
    for name, command in (("7", "codex"), ("8", "bash"), ("self", "codex")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "environ").write_bytes(b"A=1\0")
        (tmp_path / name / "comm").write_text(f"{command}\n")
    (tmp_path / "9").mkdir()
    assert processes_using(Path("/certificates.pem"), tmp_path) == [7]
    assert processes_using(Path("/certificates.pem"), tmp_path / "none") is None
