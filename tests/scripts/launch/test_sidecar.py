"""The page, the alerts and the shipping beside a proxy."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from scripts.alerts import state as states
from scripts.cli import cli
from scripts.install.always_step import plan_always
from scripts.support.beside import Beside
from scripts.support.exclusive import AlreadyRunningError
from tests.support.alerts import Desk
from tests.support.command_line import invoke
from tests.support.harness import REPOSITORY, free_port, wait_until
from tests.support.launcher import POSIX
from tests.support.web_server import CLI

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.postgres import PostgresServer


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Return a database and an alerts file, neither of which exists yet."""
    return Desk(tmp_path)


def test_run_serves_the_page(tmp_path: Path) -> None:
    """The page is served while the command runs; its address is printed on stderr."""
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
        line = process.stderr.readline()
        found = re.fullmatch(r"codex-tap: the page is at http://127\.0\.0\.1:(\d+)/\n", line)
        assert found, line + process.stderr.read()
        process.stdin.write(line)
        process.stdin.flush()
        assert '"status":"empty"' in process.stdout.readline()
        assert process.wait(60) == 7
    assert _is_free(int(found[1]))


@POSIX
def test_the_server_ends_with_a_killed_launcher(tmp_path: Path) -> None:
    """The server ends when its parent process ends."""
    command = [sys.executable, str(CLI), "proxy", "--serve", "--port", str(free_port())]
    with subprocess.Popen(
        [*command, "--db", str(tmp_path / "p.sqlite3")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stderr.readline())
        assert found
        assert not _is_free(int(found[1]))
        process.kill()
    wait_until(lambda: _is_free(int(found[1])), lambda: "the server still runs")


def test_run_with_a_running_proxy_refuses_the_page() -> None:
    """The database of the running proxy may be another one."""
    result = invoke("run", "--proxy", "127.0.0.1:8080", "--serve", "codex")
    assert result.exit_code == 2
    assert "--serve" in result.stderr


def _is_free(port: int) -> bool:
    with socket.socket() as candidate:
        return candidate.connect_ex(("127.0.0.1", port)) != 0


def test_run_sends_alerts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The targets are printed, and alerts about the last reading are sent before the end."""
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
    with states.watch_lock(desk.database):
        pass


@POSIX
def test_the_watch_ends_with_a_killed_launcher(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch ends with its parent process, and holds the lock until then."""
    desk.write()
    monkeypatch.setenv("CODEX_TAP_ALERTS", str(desk.config))
    command = [sys.executable, str(CLI), "proxy", "--alerts", "--port", str(free_port()), "--db", str(desk.database)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "codex-tap: alerts go to log\n"
        wait_until(lambda: not _is_unwatched(desk.database), lambda: "the watch did not start")
        process.kill()
    wait_until(lambda: _is_unwatched(desk.database), lambda: "the watch still runs")


def _is_unwatched(database: Path) -> bool:
    try:
        with states.watch_lock(database):
            return True
    except AlreadyRunningError:
        return False


@pytest.mark.parametrize("command", [["run", "--alerts", "codex"], ["proxy", "--alerts"]])
def test_an_invalid_alerts_file_prevents_the_start(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """The exit code is 2, and the message has the correction."""
    desk.write("ats = [80]")
    monkeypatch.setenv("CODEX_TAP_ALERTS", str(desk.config))
    result = CliRunner().invoke(cli, command, prog_name="codex-tap", catch_exceptions=False)
    assert (result.exit_code, "did you mean at?" in result.stderr) == (2, True)


def test_run_with_a_running_proxy_refuses_alerts() -> None:
    """The database of the running proxy may be another one."""
    result = CliRunner().invoke(cli, ["run", "--proxy", "127.0.0.1:8080", "--alerts", "codex"], prog_name="codex-tap")
    assert (result.exit_code, "--alerts" in result.stderr) == (2, True)


def test_run_ships_what_the_command_recorded(path: Path, postgres_server: PostgresServer, team_database: str) -> None:
    """Rows that were written while everything ended are shipped as well."""
    url = postgres_server.url(team_database)
    script = (
        "import time, sys; from pathlib import Path; from tests.support.factories import turn, used; "
        f"from tests.support.databases import record; record(Path({str(path)!r}), used(81, at=time.time()), "
        "turn(at=time.time())); sys.exit(7)"
    )
    done = subprocess.run(
        [sys.executable, str(CLI), "run", "--ship", url, "--db", str(path), sys.executable, "-c", script],
        cwd=REPOSITORY,
        capture_output=True,
        encoding="utf-8",
        timeout=90,
        check=False,
    )
    shown = url.removesuffix("&port=5432")
    assert (done.returncode, done.stderr) == (7, f"codex-tap: shipping to {shown}\n")
    rows = "SELECT (SELECT count(*) FROM codex_tap.snapshots), (SELECT count(*) FROM codex_tap.requests)"
    assert postgres_server.execute(rows, team_database) == [(1, 1)]


@pytest.mark.parametrize(
    ("url", "reason"),
    [("postgresql://ann:secret@h/d", "holds a password"), ("elsewhere", "cannot be read"), ("", "name the team's")],
    ids=["password", "no address", "empty"],
)
@pytest.mark.parametrize("command", [["run", "codex"], ["proxy"], ["install", "--always"]], ids=lambda each: each[0])
def test_an_address_that_cannot_be_used_prevents_the_start(command: list[str], url: str, reason: str) -> None:
    """No process is started that would have it in its arguments."""
    arguments = [command[0], "--ship", url, *command[1:]]
    result = CliRunner().invoke(cli, arguments, prog_name="codex-tap", catch_exceptions=False)
    assert (result.exit_code, reason in result.stderr, "secret" in result.output) == (2, True, False)


def test_the_service_ships_by_its_arguments_and_the_files_of_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password in the environment is not stored with the service."""
    for name in ("PGPASSFILE", "PGPASSWORD"):
        monkeypatch.setenv(name, "of-ann")
    beside = Beside(ship="postgresql://ann@h/d")
    config = plan_always(os.environ, port=free_port(), gateways=(), beside=beside).config
    assert config["command"][-2:] == ["--ship", "postgresql://ann@h/d"]
    assert (config["environ"].get("PGPASSFILE"), "PGPASSWORD" in config["environ"]) == ("of-ann", False)
