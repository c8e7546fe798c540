"""Bytes → server-sent events, as they stream by.

Incremental and pure: `EventSplitter.feed` takes a chunk and returns the data of each complete event. The buffer is
bounded: an event that grows beyond the limit is skipped, and the next one is read again.
"""

from __future__ import annotations

import re

MAX_EVENT_LENGTH = 256 * 1024
"""Bytes of one event; a ``codex.rate_limits`` has about 500."""

# A blank line ends an event. A line ends with \n, \r\n or \r, and one stream may have all three (WHATWG HTML, "parsing
# an event stream").
_BLANK_LINE = re.compile(rb"\r\n\r\n?|\r\n\n|\n\r\n?|\n\n|\r\r\n?")
_BLANK_LINE_ENDS = (b"\n\n", b"\n\r", b"\r\r")
"""Each blank line has one of these, and each of these is in a blank line."""

_MAX_CUT = 3
_MAX_MARK_LENGTH = 64
_LINE = re.compile(rb"\r\n|\n|\r")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventSplitter:
    """Splits a stream of server-sent events into the data of each."""

    def __init__(self, marks: re.Pattern[bytes] | None = None) -> None:
        """Create the splitter of one stream.

        Args:
            marks: Matches in each event that is wanted, at most 64 bytes of it; None wants all. Nearly all events of a
                stream are unwanted, and a chunk without a match costs little.

        """
        self._marks = marks
        self._rest = b""
        self._is_marked = self._is_skipping = self._is_begun = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the data of each wanted event that `chunk` completes; an event without data is left out."""
        # The end of an event and a mark may be cut in two; everything before was searched already.
        held = len(self._rest)
        buffer = self._rest + chunk
        if not self._is_marked:
            self._is_marked = self._has_mark(buffer, max(0, held - _MAX_MARK_LENGTH))
        searched = max(0, held - _MAX_CUT)
        blocks = self._cut(buffer, searched) if self._is_marked else self._skip(buffer, searched)
        if len(self._rest) > MAX_EVENT_LENGTH + _MAX_CUT:
            self._rest, self._is_skipping, self._is_marked = self._rest[-_MAX_CUT:], True, False
        return [data for data in map(_data, blocks) if data]

    def _has_mark(self, content: bytes, start: int = 0) -> bool:
        return self._marks is None or self._marks.search(content, start) is not None

    def _cut(self, buffer: bytes, searched: int) -> list[bytes]:
        """Return the wanted events of the buffer, and hold the beginning of the next one."""
        blocks, start = [], 0
        for blank in _BLANK_LINE.finditer(buffer, searched):
            block = buffer[start : blank.start()]
            start = blank.end()
            if not self._is_begun:
                self._is_begun, block = True, block.removeprefix(_BYTE_ORDER_MARK)
            if self._is_skipping:
                self._is_skipping = False
            elif self._has_mark(block):
                blocks.append(block)
        self._rest = buffer[start:]
        self._is_marked = self._has_mark(self._rest)
        return blocks

    def _skip(self, buffer: bytes, searched: int) -> list[bytes]:
        """Hold the beginning of the next event, and return no event."""
        last = max(buffer.rfind(end, searched) for end in _BLANK_LINE_ENDS)
        if last != -1:
            # A \n may be left of a \r\n; the next event then begins with a blank line, which is harmless.
            buffer = buffer[last + 2 :]
            self._is_skipping, self._is_begun = False, True
        self._rest = buffer
        return []


def _data(block: bytes) -> bytes:
    if len(block) > MAX_EVENT_LENGTH:
        return b""
    lines = [line[5:].removeprefix(b" ") for line in _LINE.split(block) if line.startswith(b"data:")]
    return b"\n".join(lines)
