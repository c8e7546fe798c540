"""`codex-tap serve` as a person starts it: a program, its stream, its end."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from scripts.support.database import open_for_writing
from scripts.web.server import listen, url
from store.edits import rename_account
from tests.support.command_line import invoke
from tests.support.databases import record
from tests.support.factories import ALICE, limit, snapshot, windows
from tests.support.harness import free_port, wait_until
from tests.support.web_server import CLI, Program, Site, ask, events

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from store.models import Snapshot

WINDOWS = sys.platform == "win32"
POSIX = pytest.mark.skipif(WINDOWS, reason="POSIX signals")


def reading(five: float) -> Snapshot:
    """The main limit's two windows as they are now."""
    at = time.time()
    return snapshot(limit(windows(five, 41, at=at)), at=at)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with one account."""
    return record(tmp_path / "web.sqlite3", reading(13))


# Start and end


def test_it_says_where_it_is_and_what_it_shows(path: Path) -> None:
    """One line on stderr, once it can be asked."""
    with Program("--db", path) as program:
        assert program.said == f"codex-tap: serving {path} at http://127.0.0.1:{program.port}/; press Ctrl-C to stop\n"
        assert ask(program.port, "GET", "/api/usage").document["accounts"][0]["email"] == ALICE.email
        assert ask(program.port, "GET", "/").headers["content-type"].startswith("text/html")


@POSIX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_at_once_with_streams_open(path: Path, number: int) -> None:
    """Who listens is told the end, the exit code is 0, and nothing is said."""
    with Program("--db", path) as program, events(program.port) as first, events(program.port) as second:
        assert (next(first), next(second)) == ("retry: 2000", "retry: 2000")
        assert program.end(number) == 0
        assert all(line.startswith(("event: change", "data: ")) for stream in (first, second) for line in stream)
        assert program.process.stderr is not None
        assert program.process.stderr.read() == ""


def test_a_port_in_use_is_told(path: Path) -> None:
    """One line that names another way, and exit code 4."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = invoke("serve", "--port", str(port), "--db", path)
    assert result.exit_code == 4
    assert result.stderr.startswith(f"Error: cannot listen on 127.0.0.1:{port}: ")
    assert result.stderr.endswith("use another port with --port\n")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_answers_are_not_held_back(host: str) -> None:
    """All addresses of a host have one port, and asyncio knows them for TCP: it sends small answers at once."""
    sockets = listen(host, 0)
    assert {each.proto for each in sockets} == {socket.IPPROTO_TCP}
    assert len({each.getsockname()[1] for each in sockets}) == 1
    assert url(sockets, host) == f"http://{host}:{sockets[0].getsockname()[1]}/"
    for each in sockets:
        each.close()


def test_an_address_that_is_none_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 4, as for all that cannot be done."""
    monkeypatch.setenv("CODEX_TAP_TOKEN", "x" * 20)
    result = invoke("serve", "--host", "no.such.host.invalid", "--db", path)
    assert result.exit_code == 4
    assert "no.such.host.invalid" in result.stderr


# Who may look


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "box.example"])  # noqa: S104 (refused)
def test_others_are_let_in_only_with_a_token(host: str) -> None:
    """Exit code 2, and what to do."""
    result = invoke("serve", "--host", host)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "without a token; set CODEX_TAP_TOKEN" in result.stderr
    assert "CODEX_TAP_TOKEN" in result.stderr


def test_a_token_that_can_be_guessed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not shown, either."""
    monkeypatch.setenv("CODEX_TAP_TOKEN", "hunter2")
    result = invoke("serve")
    assert result.exit_code == 2
    assert "too short" in result.stderr
    assert "hunter2" not in result.stderr


def test_the_token_of_the_environment_is_asked_for(path: Path) -> None:
    """On this machine, too, where there is one."""
    token = "made-up-token-for-tests"
    with Program("--db", path, "--host", "localhost", CODEX_TAP_TOKEN=token) as program:
        assert ask(program.port, "GET", "/api/usage").status == 401
        assert ask(program.port, "GET", "/api/usage", {"Authorization": f"Bearer {token}"}).status == 200
        assert token not in program.said


# The stream


def test_what_is_recorded_is_told_at_once(path: Path) -> None:
    """One event on coming, one for each change by whoever, also to a file that was not there before."""
    other = path.with_name("later.sqlite3")
    cases: list[tuple[Path, list[Callable[[], object]]]] = [
        (path, [lambda: record(path, reading(14)), lambda: _rename(path)]),
        (other, [lambda: record(other, reading(1)), lambda: record(other, reading(2))]),
    ]
    for database, changes in cases:
        with Site(database) as site, events(site.port) as lines:
            assert [next(lines) for _ in range(2)] == ["retry: 2000", "event: change"]
            number = _number(next(lines))
            for change in changes:
                change()
                assert next(lines) == "event: change"
                later = _number(next(lines))
                assert later > number
                number = later


def _rename(path: Path) -> None:
    with open_for_writing(path) as connection:
        rename_account(connection, 1, "work")


def _number(line: str) -> int:
    told = re.fullmatch(r'data: \{"number": (\d+), "at": \d+\}', line)
    assert told, line
    return int(told[1])


def test_a_stream_that_is_left_is_let_go(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who come and go leave room for others; more than there is room for are told so."""
    monkeypatch.setattr("scripts.web.change_stream.MAX_LISTENERS", 2)
    with Site(path) as site:
        for _ in range(3):
            with events(site.port) as first, events(site.port) as second:
                assert (next(first), next(second)) == ("retry: 2000", "retry: 2000")
                refused = site.get("/api/stream")
                assert (refused.status, refused.headers["content-type"]) == (503, "application/problem+json")
            wait_until(lambda: site.api.state.hub.listeners == 0, lambda: "streams are still held")


# Beside a proxy


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
