"""The events of a stream, however it is cut."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from addon.sse import MAX_EVENT_LENGTH, EventSplitter

if TYPE_CHECKING:
    from collections.abc import Iterable

STREAMS: dict[str, tuple[bytes, list[bytes]]] = {
    "one event": (b'data: {"a":1}\n\n', [b'{"a":1}']),
    "two events": (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
    "with a type, an id and a comment": (b": hello\nevent: x\nid: 7\nretry: 5\ndata: a\n\n", [b"a"]),
    "type after data": (b"data: a\nevent: x\n\n", [b"a"]),
    "no blank after the colon": (b"data:a\n\n", [b"a"]),
    "two blanks after the colon": (b"data:  a\n\n", [b" a"]),
    "several data lines": (b"data: a\ndata: b\ndata:\n\n", [b"a\nb\n"]),
    "CRLF": (b"event: x\r\ndata: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
    "CR": (b"event: x\rdata: a\r\rdata: b\r\r", [b"a", b"b"]),
    "an event in each": (b"data: a\n\ndata: b\r\n\r\ndata: c\r\r", [b"a", b"b", b"c"]),
    "more blank lines": (b"\n\n\ndata: a\n\n\n\n\ndata: b\n\n", [b"a", b"b"]),
    "no data": (b"event: x\n\n: ping\n\ndata:\n\n", []),
    "another field": (b"datum: a\n\nxdata: b\n\n", []),
    "not ended": (b"data: a\n\ndata: b\n", [b"a"]),
    "nothing": (b"", []),
    "any bytes": (b"data: \x00\xff\xfe\n\n", [b"\x00\xff\xfe"]),
    "as long as may be": (
        b"data: " + b"x" * (MAX_EVENT_LENGTH - 6) + b"\n\ndata: b\n\n",
        [b"x" * (MAX_EVENT_LENGTH - 6), b"b"],
    ),
    "as long as may be, CRLF": (
        b"data: " + b"x" * (MAX_EVENT_LENGTH - 6) + b"\r\n\r\ndata: b\n\n",
        [b"x" * (MAX_EVENT_LENGTH - 6), b"b"],
    ),
    "too long": (b"data: " + b"x" * (MAX_EVENT_LENGTH - 5) + b"\n\ndata: b\n\n", [b"b"]),
    "too long, CRLF": (b"data: " + b"x" * (MAX_EVENT_LENGTH - 5) + b"\r\n\r\ndata: b\r\n\r\n", [b"b"]),
    "far too long": (
        b"data: a\n\ndata: " + b"x\n" * MAX_EVENT_LENGTH + b"\ndata: b\n\ndata: c\n\n",
        [b"a", b"b", b"c"],
    ),
    "too long and not ended": (b"data: a\n\ndata: " + b"x" * 3 * MAX_EVENT_LENGTH, [b"a"]),
}


def split(chunks: Iterable[bytes]) -> list[bytes]:
    splitter = EventSplitter()
    return [data for chunk in chunks for data in splitter.feed(chunk)]


def cut(stream: bytes, at: Iterable[int]) -> list[bytes]:
    """Cut a stream at positions."""
    return [stream[start:end] for start, end in pairwise([0, *at, len(stream)])]


@pytest.mark.parametrize(("stream", "events"), STREAMS.values(), ids=STREAMS.keys())
def test_whole(stream: bytes, events: list[bytes]) -> None:
    """A stream yields the data of each complete event of bearable length."""
    assert split([stream]) == events


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 8192])
@pytest.mark.parametrize(
    ("stream", "events"),
    [case for case in STREAMS.values() if len(case[0]) < MAX_EVENT_LENGTH],
    ids=[name for name, case in STREAMS.items() if len(case[0]) < MAX_EVENT_LENGTH],
)
def test_in_pieces(stream: bytes, events: list[bytes], size: int) -> None:
    """The events are the same, however small the pieces."""
    assert split(cut(stream, range(size, len(stream), size))) == events


@pytest.mark.parametrize(
    ("stream", "events"),
    [case for case in STREAMS.values() if len(case[0]) >= MAX_EVENT_LENGTH],
    ids=[name for name, case in STREAMS.items() if len(case[0]) >= MAX_EVENT_LENGTH],
)
def test_long_in_pieces(stream: bytes, events: list[bytes]) -> None:
    """Cuts around the maximum length change nothing."""
    for at in range(MAX_EVENT_LENGTH - 2, MAX_EVENT_LENGTH + 6):
        assert split(cut(stream, [at])) == events
        assert split(cut(stream, [at, min(at + 1, len(stream))])) == events
    assert split(cut(stream, range(1_000, len(stream), 16_384))) == events


def test_memory_is_bounded() -> None:
    """An event without an end is not held beyond the maximum length."""
    splitter = EventSplitter()
    for _ in range(100):
        assert splitter.feed(b"x" * 65_536) == []
        assert len(splitter._rest) <= MAX_EVENT_LENGTH + 3
