"""`codex-tap serve` as a person starts it: a program, its stream, its end."""

from __future__ import annotations

import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

import pytest

from scripts.web.server import listen, url
from tests.support.command_line import invoke
from tests.support.databases import record
from tests.support.factories import ALICE, limit, snapshot, windows
from tests.support.web_server import Program, ask, events

if TYPE_CHECKING:
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
