"""Warnings of Codex's background server."""

from __future__ import annotations

import socket
import sys
import tempfile
import warnings as warnings_module
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from scripts.launch.background_server import restart_server, warnings
from tests.support.codex_programs import ACCEPTS, REFUSES, SYSTEM, make_codex

if TYPE_CHECKING:
    from collections.abc import Iterator
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


@contextmanager
def listening(home: Path) -> Iterator[None]:
    """Have a socket where the background server has one."""
    (home / "app-server-control").mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="ct-") as short, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{short}/socket")
        server.listen()
        (home / "app-server-control" / "app-server-control.sock").symlink_to(f"{short}/socket")
        yield


@pytest.mark.parametrize(
    ("script", "outcome"),
    [("exit 0", "restarted"), ("exit 3", "failed"), ("sleep 2", "waiting"), (None, "failed")],
)
def test_the_server_is_restarted(tmp_path: Path, script: str | None, outcome: str) -> None:
    """With the user's environment, not that of the tap; a turn that runs is not interrupted."""
    program = tmp_path / "bin" / "codex"
    if script is not None:
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\necho "$* ${{HTTPS_PROXY:-none}} $MINE" >{tmp_path}/call\n{script}\n')
        program.chmod(0o755)
    environ = {
        "PATH": f"{tmp_path / 'bin'}:{SYSTEM}",
        "CODEX_HOME": str(tmp_path / "home"),
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "CODEX_TAP_PROXY": "http://127.0.0.1:9",
        "MINE": "yes",
    }
    with listening(tmp_path / "home"), warnings_module.catch_warnings():
        warnings_module.simplefilter("ignore", ResourceWarning)  # a process that is left to itself
        assert restart_server(environ, seconds=0.5) == outcome
    if script is not None:
        assert (tmp_path / "call").read_text() == "app-server daemon restart none yes\n"


def test_no_server_is_started(tmp_path: Path) -> None:
    """Where none runs, the next Codex starts one by itself."""
    make_codex(tmp_path / "bin")
    assert restart_server({"PATH": f"{tmp_path / 'bin'}:{SYSTEM}", "CODEX_HOME": str(tmp_path)}) == "none"
    assert not (tmp_path / "bin" / "calls").exists()
