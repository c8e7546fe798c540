"""The page and the alerts beside a proxy."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from scripts.alerts import state as states
from scripts.cli import cli
from tests.support.alerts import Desk
from tests.support.command_line import invoke
from tests.support.harness import REPOSITORY, free_port, wait_until
from tests.support.launcher import POSIX
from tests.support.web_server import CLI

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_run_serves_the_page_beside_its_proxy(tmp_path: Path) -> None:
    """It can be asked while the command runs, says where on stderr, and is gone with it."""
    script = (
        "import re, sys, urllib.request\n"
        "opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))\n"
        "print(opener.open(sys.stdin.readline().split()[-1] + 'health').read().decode(), flush=True)\n"
        "sys.exit(7)\n"
    )
    command = [sys.executable, str(CLI), "run", "--serve", "--db", str(tmp_path / "run.sqlite3")]
    with subprocess.Popen(
        [*command, sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        assert process.stdout is not None
        said = process.stderr.readline()
        told = re.fullmatch(r"codex-tap: the page is at http://127\.0\.0\.1:(\d+)/\n", said)
        assert told, said + process.stderr.read()
        process.stdin.write(said)
        process.stdin.flush()
        assert '"status":"empty"' in process.stdout.readline()
        assert process.wait(60) == 7
    assert _is_free(int(told[1]))


@POSIX
def test_a_killed_launcher_leaves_no_server(tmp_path: Path) -> None:
    """The server sees the end of whoever started it."""
    command = [sys.executable, str(CLI), "proxy", "--serve", "--port", str(free_port())]
    with subprocess.Popen(
        [*command, "--db", str(tmp_path / "p.sqlite3")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        told = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stderr.readline())
        assert told
        assert not _is_free(int(told[1]))
        process.kill()
    wait_until(lambda: _is_free(int(told[1])), lambda: "the server is still there")


def test_a_running_proxy_has_a_page_of_its_own() -> None:
    """`run --proxy --serve` would show another database than the one that is written."""
    result = invoke("run", "--proxy", "127.0.0.1:8080", "--serve", "codex")
    assert result.exit_code == 2
    assert "--serve" in result.stderr


def _is_free(port: int) -> bool:
    with socket.socket() as candidate:
        return candidate.connect_ex(("127.0.0.1", port)) != 0


def test_run_tells_beside_its_proxy(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says whom, and what was recorded last is told, too, before it ends with the command."""
    desk.write()
    monkeypatch.setenv("CODEX_TAP_ALERTS", str(desk.config))
    script = (
        "import sys; from pathlib import Path; from tests.support.alerts import reading; "
        f"from tests.support.databases import record; record(Path({str(desk.database)!r}), reading(81)); sys.exit(7)"
    )
    done = subprocess.run(
        [sys.executable, str(CLI), "run", "--alerts", "--db", str(desk.database), sys.executable, "-c", script],
        cwd=REPOSITORY,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (7, "codex-tap: alerts go to log\n")
    assert len(desk.noted()) == 1
    with states.exclusive_lock(desk.database):
        pass


@POSIX
def test_a_killed_launcher_leaves_no_watch(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch ends with its parent process, and holds the lock until then."""
    desk.write()
    monkeypatch.setenv("CODEX_TAP_ALERTS", str(desk.config))
    command = [sys.executable, str(CLI), "proxy", "--alerts", "--port", str(free_port()), "--db", str(desk.database)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "codex-tap: alerts go to log\n"
        wait_until(lambda: not _is_unwatched(desk.database), lambda: "it does not watch")
        process.kill()
    wait_until(lambda: _is_unwatched(desk.database), lambda: "the watch is still there")


def _is_unwatched(database: Path) -> bool:
    try:
        with states.exclusive_lock(database):
            return True
    except states.AlreadyRunningError:
        return False


@pytest.mark.parametrize("command", [["run", "--alerts", "codex"], ["proxy", "--alerts"]])
def test_nothing_is_started_with_a_wrong_file(desk: Desk, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    """The error comes at the start."""
    desk.write("ats = [80]")
    monkeypatch.setenv("CODEX_TAP_ALERTS", str(desk.config))
    result = CliRunner().invoke(cli, command, prog_name="codex-tap", catch_exceptions=False)
    assert (result.exit_code, "did you mean at?" in result.stderr) == (2, True)


def test_a_running_proxy_has_alerts_of_its_own() -> None:
    """`run --proxy --alerts` would look at another database than the one that is written."""
    result = CliRunner().invoke(cli, ["run", "--proxy", "127.0.0.1:8080", "--alerts", "codex"], prog_name="codex-tap")
    assert (result.exit_code, "--alerts" in result.stderr) == (2, True)
