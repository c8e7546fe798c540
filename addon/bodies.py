"""Reads a response's body as it streams by, without holding, delaying or altering a byte of it.

mitmproxy guards hooks, not stream callables: one that raises or returns None crashes the proxy and hangs the client.
`BodyTap` therefore always returns its input, catches everything, and switches itself off after its first error.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from addon.decoders import decoder
from addon.sse import EventSplitter

if TYPE_CHECKING:
    import re
    from collections.abc import Callable


logger = logging.getLogger(__name__)

MAX_JSON_LENGTH = 1024 * 1024
"""Bytes of a JSON body, decoded; a longer one is not read."""

MAX_DECODED_LENGTH = 128 * 1024 * 1024
"""Bytes of a whole body, decoded; the rest of a longer one is not read. The longest turn has about 40 MB of events."""

MAX_EVENTS = 10_000
"""Events of one body that are looked into; a real one has a few."""


MAX_ENDS = 10
"""Empty chunks of one JSON body at which it is read."""


class TooLongError(ValueError):
    """A body has more bytes or events than are looked into."""


class BodyTap:
    """A callable for ``flow.response.stream``: passes each chunk to a reader, decoded, and returns it as it is."""

    __slots__ = ("_begin", "_decode", "_feed", "_length")

    def __init__(
        self, feed: Callable[[bytes], None], encoding: bytes, begin: Callable[[bytes], bool] | None = None
    ) -> None:
        """Create the callable for one response.

        Args:
            feed: Called with each decoded chunk, then with ``b""`` at the end.
            encoding: The ``content-encoding`` header.
            begin: Called with each decoded chunk that is not empty before `feed`, until it returns True.

        """
        self._feed: Callable[[bytes], None] | None = feed
        self._begin = begin
        self._decode = decoder(encoding) if encoding else bytes
        self._length = 0

    def __call__(self, chunk: bytes) -> bytes:
        """Return the chunk; mitmproxy passes ``b""`` at the end of the body."""
        if self._feed and self._decode:
            try:
                decoded = self._decode(chunk) if chunk else b""
                self._length += len(decoded)
                if self._length > MAX_DECODED_LENGTH:
                    raise TooLongError  # noqa: TRY301 (handled like every other reason to stop)
                # A chunk may decode to nothing yet, which is not the end.
                if decoded or not chunk:
                    if self._begin and decoded and self._begin(decoded):
                        self._begin = None
                    self._feed(decoded)
            except Exception as error:  # noqa: BLE001 (nothing may reach the proxy from here)
                self._feed = None
                logger.info("codex-tap: stopped parsing a response body (%s)", type(error).__name__)
        return chunk


def events(show: Callable[[bytes], None], marks: re.Pattern[bytes] | None = None) -> Callable[[bytes], None]:
    """Return a reader of server-sent events; it calls `show` with the data of each in which `marks` match."""
    splitter = EventSplitter(marks)
    count = 0

    def feed(chunk: bytes) -> None:
        nonlocal count
        for data in splitter.feed(chunk):
            count += 1
            if count > MAX_EVENTS:
                raise TooLongError
            show(data)

    return feed


class Document:
    """A reader of a JSON body; it calls `show` with the whole body, unless that is too long."""

    __slots__ = ("_ends", "_length", "_parts", "_show", "_shown")

    def __init__(self, show: Callable[[bytes], None]) -> None:
        self._show = show
        self._parts: list[bytes] = []
        self._length = 0
        self._ends = 0
        self._shown = False

    def __call__(self, chunk: bytes) -> None:
        """Add a chunk; ``b""`` is the end."""
        self._length += len(chunk)
        if self._length > MAX_JSON_LENGTH:
            self._parts.clear()
        elif chunk:
            self._parts.append(chunk)
            self._shown = False
        elif not self._shown and self._ends < MAX_ENDS:
            # An empty chunk (an empty DATA frame) may also come before the end, and then nothing new after it.
            self._shown = True
            self._ends += 1
            self._show(b"".join(self._parts))
