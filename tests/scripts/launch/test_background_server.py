"""Warnings of Codex's background server."""

from __future__ import annotations

import socket
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from scripts.launch.background_server import warnings
from tests.support.codex_programs import ACCEPTS, REFUSES, SYSTEM, make_codex

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins for Codex are sh scripts")


@pytest.mark.parametrize(
    ("probe", "reason"),
    [
        (ACCEPTS, None),
        (REFUSES, "codex does not accept --no-daemon"),
        ("exit 1", "it is unknown whether "),
        (None, None),
    ],
)
def test_a_codex_without_the_flag_causes_a_warning(tmp_path: Path, probe: str | None, reason: str | None) -> None:
    """A Codex that accepts the flag, and a missing one, cause none."""
    if probe is not None:
        make_codex(tmp_path / "bin", probe)
    found = list(warnings({"PATH": f"{tmp_path / 'bin'}:{SYSTEM}", "CODEX_HOME": str(tmp_path)}))
    assert len(found) == (reason is not None)
    assert all(reason in each for each in found if reason)


@pytest.mark.parametrize(("listens", "count"), [(True, 1), (False, 0)])
def test_a_running_background_server_causes_a_warning(tmp_path: Path, listens: bool, count: int) -> None:
    """A link leads to its socket, whose path has to be short; a killed server leaves the link."""
    control = tmp_path / ("long" * 40) / "app-server-control"
    control.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="ct-") as short, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{short}/socket")
        (control / "app-server-control.sock").symlink_to(f"{short}/socket")
        if listens:
            server.listen()
        found = list(warnings({"PATH": SYSTEM, "CODEX_HOME": str(control.parent)}))
    assert len(found) == count
    assert all("background server is running" in each for each in found)
