"""The web server: its start, its end and its sockets."""

from __future__ import annotations

import signal
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.web.server import listen, url
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


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_listening_sockets_send_small_responses_at_once(host: str) -> None:
    """All addresses of a host have one port, and their protocol is TCP, for which asyncio sets TCP_NODELAY."""
    sockets = listen(host, 0)
    assert {each.proto for each in sockets} == {socket.IPPROTO_TCP}
    assert len({each.getsockname()[1] for each in sockets}) == 1
    assert url(sockets, host) == f"http://{host}:{sockets[0].getsockname()[1]}/"
    for each in sockets:
        each.close()
