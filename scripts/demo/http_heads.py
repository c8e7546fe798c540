"""Headers as bytes, and the heads of requests and responses, for both ends of the demo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import socket

Pairs: TypeAlias = Sequence[tuple[str | bytes, str | bytes]]
WireHeaders: TypeAlias = list[tuple[bytes, bytes]]


def wire_headers(headers: Pairs) -> WireHeaders:
    """Return the headers as bytes, with names in lower case."""
    return [(_latin(name).lower(), _latin(value)) for name, value in headers]


def _latin(value: str | bytes) -> bytes:
    return value.encode("latin-1") if isinstance(value, str) else value


def read_head(raw: socket.socket) -> bytes:
    """Read a head byte by byte, so that the data after it stays in the socket; b"" if the peer ends before it."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = raw.recv(1)
        if not piece:
            return b""
        head += piece
    return head
