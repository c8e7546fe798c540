"""Requests that arrive slowly, or not at all."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

import pytest

from scripts.web import protocol
from tests.support.harness import wait_until
from tests.support.web_server import Site, events

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SECONDS = 20


@pytest.fixture
def impatient(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(protocol, "ARRIVAL_SECONDS", 0.3)
    with Site(path) as site:
        yield site


def connected(site: Site) -> contextlib.closing[socket.socket]:
    return contextlib.closing(socket.create_connection(("127.0.0.1", site.port), _SECONDS))


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /api/us",
        b"GET /api/usage HTTP/1.1\r\nHost: localhost\r\n",
        (
            b"PATCH /api/accounts/a HTTP/1.1\r\nHost: localhost\r\nX-Codex-Tap: 1\r\nContent-Type: application/json\r\n"
            b'Content-Length: 50\r\n\r\n{"name":'
        ),
        b"GET /api/usage HTTP/1.1\r\nHost: localhost\r\n\r\nGET /api/us",
    ],
    ids=["nothing", "half a line", "half a head", "half a body", "half of a second request"],
)
def test_half_a_request_is_given_up(impatient: Site, sent: bytes) -> None:
    """A connection is closed if its request does not arrive."""
    with connected(impatient) as client:
        client.sendall(sent)
        while client.recv(65_536):
            pass  # a response to what was complete
    assert impatient.get("/api/usage").status == 200


def test_a_trickling_request_is_given_up(impatient: Site) -> None:
    """Another byte now and then does not give a request more time."""

    def send_next() -> bool:
        try:
            client.sendall(b"x")
        except OSError:
            return True
        return False

    with connected(impatient) as client:
        client.sendall(b"GET /")
        wait_until(send_next, lambda: "the connection stays open")


def test_an_open_stream_has_all_the_time(impatient: Site) -> None:
    """A request that has arrived is not given up, however long its response takes."""
    with events(impatient.port) as lines:
        assert next(lines) == "retry: 2000"
        with connected(impatient) as late:  # closed by the server after the time of a request
            assert late.recv(1) == b""
        assert next(lines) == "event: change"
