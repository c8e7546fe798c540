"""The events of a stream, however it is cut."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    "mixed ends of a blank line": (
        b"data: a\n\r\ndata: b\r\n\ndata: c\n\rdata: d\r\n\rdata: e\r\r\ndata: f\r\n\r\ndata: g\n\n",
        [b"a", b"b", b"c", b"d", b"e", b"f", b"g"],
    ),
    "mixed ends of lines": (b"data: a\rdata: b\r\ndata: c\ndata: d\n\r\n", [b"a\nb\nc\nd"]),
    "a byte order mark": (b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", [b"a"]),
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
    "too long in several data lines": (
        b"data: " + b"x" * MAX_EVENT_LENGTH + b"\ndata: y\ndata: z\n\ndata: b\n\n",
        [b"b"],
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


MARK = re.compile(rb"wanted")


@pytest.mark.parametrize(
    ("chunks", "shown"),
    [
        pytest.param([b"data: a\n\ndata: wanted\n\ndata: b\n\n"], [b"wanted"], id="in one piece"),
        pytest.param([b"data: a\n\n", b"data: b\n\ndata: wanted\n\n", b"data: c\n\n"], [b"wanted"], id="in pieces"),
        pytest.param([b"data: a\n\ndata: b\n\ndata: wan", b"ted\n\n"], [b"wanted"], id="the mark is cut in two"),
        pytest.param([b"data: a\n\ndata", b": wanted\n\n"], [b"wanted"], id="the field is cut in two"),
        pytest.param([b"data: a\n\ndata: wanted ", b"x" * 200, b"\n\n"], [b"wanted " + b"x" * 200], id="far behind it"),
        pytest.param(
            [b"data: wanted 1\n\ndata: wanted 2 " + b"x" * 200, b"\n\n"],
            [b"wanted 1", b"wanted 2 " + b"x" * 200],
            id="far behind it, after another",
        ),
        pytest.param([b"wanted: 1\ndata: a\n\n"], [b"a"], id="the mark at the very beginning"),
        pytest.param([b"\xef\xbb\xbfdata: wanted\n\n"], [b"wanted"], id="a byte order mark"),
        pytest.param([b"data: a\n\n", b"\xef\xbb\xbfdata: wanted\n\n"], [], id="a byte order mark later on"),
        pytest.param(
            [b"data: " + b"x" * MAX_EVENT_LENGTH, b"x" * 10, b"\n\ndata: b\n\n", b"data: wanted\n\n"],
            [b"wanted"],
            id="after one that is too long",
        ),
        pytest.param(
            [b"data: " + b"x" * MAX_EVENT_LENGTH, b"x" * 10, b"\ndata: wanted\n\ndata: wanted 2\n\n"],
            [b"wanted 2"],
            id="the mark in one that is too long",
        ),
    ],
)
def test_exactly_the_wanted_events_are_shown(chunks: list[bytes], shown: list[bytes]) -> None:
    """The events around a wanted one are left out, wherever the stream is cut."""
    splitter = EventSplitter(MARK)
    assert [data for chunk in chunks for data in splitter.feed(chunk)] == shown


class Counting:
    """A pattern that counts the searches for it, and the bytes that they read."""

    def __init__(self) -> None:
        self.searches = self.length = 0

    def search(self, content: bytes, start: int = 0) -> re.Match[bytes] | None:
        """Search like `re.Pattern.search`, and count."""
        self.searches += 1
        self.length += len(content) - start
        return MARK.search(content, start)


@pytest.mark.parametrize("before", [b"", b"data: " + b"x" * MAX_EVENT_LENGTH * 2], ids=["first", "after a long one"])
def test_unwanted_chunks_are_searched_once(before: bytes) -> None:
    """A chunk of events without a mark costs one search, and no byte is read again but for the few that may be cut."""
    marks = Counting()
    splitter = EventSplitter(cast("re.Pattern[bytes]", marks))
    splitter.feed(before)
    splitter.feed(b"x\n\n")
    marks.searches = marks.length = 0
    for _ in range(100):
        assert splitter.feed(b"data: " + b"x" * 1_000 + b"\n\ndata: b\n\ndata: c") == []
        assert splitter.feed(b"\n\n") == []
    assert marks.searches == 200
    assert marks.length < 200 * 64 + 100 * 1_100
    marks.searches = marks.length = 0
    for _ in range(1_000):
        assert splitter.feed(b"x") == []
    assert marks.searches == 1_000
    assert marks.length <= 1_000 * 65


@given(
    st.lists(
        st.sampled_from([b"data: ", b"data:", b"wanted", b"want", b"ed", b"x", b"\r", b"\n", b"event: "]), max_size=60
    ),
    st.lists(st.integers(0, 400), max_size=8),
)
def test_unwanted_events_are_left_out(parts: list[bytes], cuts: list[int]) -> None:
    """However a stream is cut, exactly the events with a mark in their data are shown, in their order.

    A mark in another field (the name of the event) may show an event, too.
    """
    stream = b"".join(parts)
    everything = split([stream])
    splitter = EventSplitter(MARK)
    shown = [
        data for chunk in cut(stream, sorted(at for at in cuts if at < len(stream))) for data in splitter.feed(chunk)
    ]

    rest = iter(everything)
    assert all(data in rest for data in shown)  # in the order of the stream
    assert [data for data in shown if MARK.search(data)] == [data for data in everything if MARK.search(data)]


@pytest.mark.parametrize("marks", [None, MARK], ids=["all wanted", "few wanted"])
def test_memory_is_bounded(marks: re.Pattern[bytes] | None) -> None:
    """An event without an end is not held beyond the maximum length."""
    splitter = EventSplitter(marks)
    for _ in range(100):
        assert splitter.feed(b"x" * 65_536) == []
        assert len(splitter._rest) <= MAX_EVENT_LENGTH + 3
