"""Bytes → server-sent events, as they stream by.

Incremental and pure: `EventSplitter.feed` takes a chunk and returns the data of each complete event. The buffer is
bounded: an event that grows beyond the limit is skipped, and the next one is read again.
"""

from __future__ import annotations

import re

MAX_EVENT_LENGTH = 256 * 1024
"""Bytes of one event; a ``codex.rate_limits`` has about 500."""

# A blank line ends an event; lines end with \n, \r\n or \r (WHATWG HTML, "parsing an event stream").
_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_MAX_CUT = 3
_LINE = re.compile(rb"\r\n|\n|\r")


class EventSplitter:
    """Splits a stream of server-sent events into the data of each."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the data of each event that `chunk` completes; an event without data is left out."""
        # The end of an event may be cut in two; everything before was searched already.
        buffer, searched = self._rest + chunk, max(0, len(self._rest) - _MAX_CUT)
        blocks, start = [], 0
        for blank in _BLANK_LINE.finditer(buffer, searched):
            blocks.append(buffer[start : blank.start()])
            start = blank.end()
        self._rest = buffer[start:]
        if blocks and self._skipping:
            del blocks[0]
            self._skipping = False
        if len(self._rest) > MAX_EVENT_LENGTH + _MAX_CUT:
            self._rest, self._skipping = self._rest[-_MAX_CUT:], True
        return [data for data in map(_data, blocks) if data]


def _data(block: bytes) -> bytes:
    if len(block) > MAX_EVENT_LENGTH:
        return b""
    lines = [line[5:].removeprefix(b" ") for line in _LINE.split(block) if line.startswith(b"data:")]
    return b"\n".join(lines)
