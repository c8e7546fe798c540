"""`codex-tap serve` as a program: its start, its end, and its token."""

from __future__ import annotations

import signal
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.web.server import listen, url
from tests.support.command_line import invoke
from tests.support.factories import ALICE
from tests.support.web_server import Program, ask, events

if TYPE_CHECKING:
    from pathlib import Path


POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def test_the_server_prints_its_address_and_database(path: Path) -> None:
    """There is one line on stderr as soon as the server accepts requests."""
    with Program("--db", path) as program:
        assert program.said == f"codex-tap: serving {path} at http://127.0.0.1:{program.port}/; press Ctrl-C to stop\n"
        assert ask(program.port, "GET", "/api/usage").document["accounts"][0]["email"] == ALICE.email
        assert ask(program.port, "GET", "/").headers["content-type"].startswith("text/html")


@POSIX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_server_ends_while_streams_are_open(path: Path, number: int) -> None:
    """The streams end, the exit code is 0, and nothing is printed."""
    with Program("--db", path) as program, events(program.port) as first, events(program.port) as second:
        assert (next(first), next(second)) == ("retry: 2000", "retry: 2000")
        assert program.end(number) == 0
        assert all(line.startswith(("event: change", "data: ")) for stream in (first, second) for line in stream)
        assert program.process.stderr is not None
        assert program.process.stderr.read() == ""


def test_a_port_in_use_is_an_error(path: Path) -> None:
    """The exit code is 4, and the message names the option for another port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = invoke("serve", "--port", str(port), "--db", path)
    assert result.exit_code == 4
    assert result.stderr.startswith(f"Error: cannot listen on 127.0.0.1:{port}: ")
    assert result.stderr.endswith("use another port with --port\n")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_listening_sockets_send_small_responses_at_once(host: str) -> None:
    """All addresses of a host have one port, and their protocol is TCP, for which asyncio sets TCP_NODELAY."""
    sockets = listen(host, 0)
    assert {each.proto for each in sockets} == {socket.IPPROTO_TCP}
    assert len({each.getsockname()[1] for each in sockets}) == 1
    assert url(sockets, host) == f"http://{host}:{sockets[0].getsockname()[1]}/"
    for each in sockets:
        each.close()


def test_an_unknown_host_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code is 4, and the message names the host."""
    monkeypatch.setenv("CODEX_TAP_TOKEN", "x" * 20)
    result = invoke("serve", "--host", "no.such.host.invalid", "--db", path)
    assert result.exit_code == 4
    assert "no.such.host.invalid" in result.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "box.example"])  # noqa: S104 (refused)
def test_other_machines_need_a_token(host: str) -> None:
    """The exit code is 2, and the message says what to do."""
    result = invoke("serve", "--host", host)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "without a token; set CODEX_TAP_TOKEN" in result.stderr
    assert "CODEX_TAP_TOKEN" in result.stderr


def test_a_short_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message does not contain the token."""
    monkeypatch.setenv("CODEX_TAP_TOKEN", "hunter2")
    result = invoke("serve")
    assert result.exit_code == 2
    assert "too short" in result.stderr
    assert "hunter2" not in result.stderr


def test_the_token_of_the_environment_is_required(path: Path) -> None:
    """Requests from this machine need the token as well."""
    token = "made-up-token-for-tests"
    with Program("--db", path, "--host", "localhost", CODEX_TAP_TOKEN=token) as program:
        assert ask(program.port, "GET", "/api/usage").status == 401
        assert ask(program.port, "GET", "/api/usage", {"Authorization": f"Bearer {token}"}).status == 200
        assert token not in program.said
