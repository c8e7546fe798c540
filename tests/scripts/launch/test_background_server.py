"""Warnings of Codex's background server."""

from __future__ import annotations

import sys
import warnings as warnings_module
from typing import TYPE_CHECKING

import pytest

from scripts.launch.background_server import restart_server, server_environment, warnings
from tests.support.background_server import listening_socket, write_pid_file
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
    """A killed server leaves the link to its socket."""
    home = tmp_path / ("long" * 40)
    with listening_socket(home, listens=listens):
        found = list(warnings({"PATH": SYSTEM, "CODEX_HOME": str(home)}))
    assert len(found) == count
    assert all("background server is running" in each for each in found)


def described(folder: Path, ticks: int, environ: bytes, name: str = "codex") -> Path:
    """Describe the process 7 as Linux does."""
    process = folder / "7"
    process.mkdir(parents=True)
    (process / "environ").write_bytes(environ)
    (process / "stat").write_text(f"7 ({name}) S {' '.join('1' * 18)} {ticks} 0\n")
    return folder


@pytest.mark.parametrize(
    ("ticks", "name", "found"),
    [
        (500, "codex", {"HTTPS_PROXY": "http://127.0.0.1:9", "B": "a=b"}),
        (500, "a) (b c", {"HTTPS_PROXY": "http://127.0.0.1:9", "B": "a=b"}),
        (501, "codex", None),
    ],
    ids=["the server", "an odd name", "a later process with its id"],
)
def test_the_environment_of_the_server(tmp_path: Path, ticks: int, name: str, found: dict[str, str] | None) -> None:
    """The process id may have been given to another process."""
    write_pid_file(tmp_path, 7, 500)
    processes = described(tmp_path / "proc", ticks, b"HTTPS_PROXY=http://127.0.0.1:9\0B=a=b\0nothing\0", name)
    assert server_environment({"CODEX_HOME": str(tmp_path)}, processes) == found


@pytest.mark.parametrize(
    "content",
    [None, "", "[]", "null", '{"pid": "x"}', '{"pid": 7}', '{"pid": 7, "processIdentity": null}', '{"pid": -1}'],
)
def test_an_environment_that_cannot_be_found_out(tmp_path: Path, content: str | None) -> None:
    """Another version of Codex may write another file, and other systems have no such folder."""
    described(tmp_path / "proc", 500, b"A=b\0")
    if content is not None:
        (tmp_path / "app-server-daemon").mkdir()
        (tmp_path / "app-server-daemon" / "daemon.pid").write_text(content)
    assert server_environment({"CODEX_HOME": str(tmp_path)}, tmp_path / "proc") is None
    assert server_environment({"CODEX_HOME": str(tmp_path)}, tmp_path / "nowhere") is None


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
    with listening_socket(tmp_path / "home"), warnings_module.catch_warnings():
        warnings_module.simplefilter("ignore", ResourceWarning)  # a process that is left to itself
        assert restart_server(environ, seconds=0.5) == outcome
    if script is not None:
        assert (tmp_path / "call").read_text() == "app-server daemon restart none yes\n"


def test_no_server_is_started(tmp_path: Path) -> None:
    """Where none runs, the next Codex starts one by itself."""
    make_codex(tmp_path / "bin")
    assert restart_server({"PATH": f"{tmp_path / 'bin'}:{SYSTEM}", "CODEX_HOME": str(tmp_path)}) == "none"
    assert not (tmp_path / "bin" / "calls").exists()
