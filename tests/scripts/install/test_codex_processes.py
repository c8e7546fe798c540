"""Processes that may still use the service."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from scripts.install.codex_processes import processes_using, seconds_since_boot
from tests.support.launcher import python, read_line, started

WAIT = "import time; print('up', flush=True); time.sleep(60)"

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux shows the environment of processes")


def test_a_process_that_names_the_file_is_found(tmp_path: Path) -> None:
    """By its environment."""
    path = tmp_path / "certificates.pem"
    with started(*python(WAIT), environ={**os.environ, "SSL_CERT_FILE": str(path)}) as process:
        read_line(process, "up")
        assert process.pid in (processes_using(path, 0) or [])
        assert process.pid not in (processes_using(tmp_path / "other.pem", 0) or [])


def test_an_earlier_codex_is_found(tmp_path: Path) -> None:
    """It sets the variable for itself, which the system does not show; a later one was not led to the file."""
    ticks = os.sysconf("SC_CLK_TCK")
    for number, name, seconds in ((7, "codex", 99), (8, "bash", 99), (9, "codex", 101), (10, "odd) (name", 99)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "environ").write_bytes(b"A=1\0")
        (folder / "stat").write_text(f"{number} ({name}) S {'0 ' * 18}{seconds * ticks} 0 0\n")
    (tmp_path / "11").mkdir()
    assert processes_using(Path("/certificates.pem"), 100, tmp_path) == [7]
    assert processes_using(Path("/certificates.pem"), 100, tmp_path / "none") is None


def test_a_process_of_now_is_dated_before_later() -> None:
    """The clocks are the same."""
    with started(*python(WAIT)) as process:
        read_line(process, "up")
        fields = Path("/proc", str(process.pid), "stat").read_text().rpartition(")")[2].split()
        assert int(fields[19]) / os.sysconf("SC_CLK_TCK") <= seconds_since_boot()
