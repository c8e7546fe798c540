"""Headers as bytes, and the head of a message."""

from __future__ import annotations

import socket

import pytest

from scripts.demo.http_heads import read_head, wire_headers


def test_headers_as_bytes() -> None:
    """Names are in lower case; values keep their case and their bytes, and repeated headers their order."""
    headers = wire_headers([("X-Twice", "One"), (b"X-TWICE", b"\xff"), ("x-latin", "\xff")])
    assert headers == [(b"x-twice", b"One"), (b"x-twice", b"\xff"), (b"x-latin", b"\xff")]


@pytest.mark.parametrize(
    ("sent", "head", "rest"),
    [
        (b"GET / HTTP/1.1\r\nhost: a\r\n\r\nbody\r\n\r\n", b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"body\r\n\r\n"),
        (b"GET / HTTP/1.1\r\n", b"", b""),
        (b"", b"", b""),
    ],
)
def test_reading_a_head(sent: bytes, head: bytes, rest: bytes) -> None:
    """The data after a head stays in the socket, and a head that is cut off counts as none."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(sent)
        theirs.shutdown(socket.SHUT_WR)
        assert read_head(ours) == head
        assert ours.recv(100) == rest
