"""Looks into an answer's body as it streams by, without holding, delaying or altering a byte of it.

mitmproxy guards hooks, not stream callables: one that raises or returns None crashes the proxy and hangs the client.
`BodyTap` therefore always returns its input, catches everything, and switches itself off after its first error.
"""

from __future__ import annotations

import logging
import zlib
from typing import TYPE_CHECKING

import brotli
import zstandard

from addon.sse import EventSplitter

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

LONGEST_JSON = 1024 * 1024
"""Bytes of a JSON body, decoded; a longer one is not looked into."""

MOST_DECODED = 16 * 1024 * 1024
"""Bytes that one chunk may decode to; no honest answer comes near it."""

# These decoders cannot be told where to stop: they get a chunk in steps, of which each decodes to about 16 MiB at most.
_BROTLI_STEP = 16
_ZSTD_STEP = 256


class BodyTap:
    """A callable for ``flow.response.stream``: shows each chunk, decoded, to a reader and passes it on as it is."""

    __slots__ = ("_decode", "_feed")

    def __init__(self, feed: Callable[[bytes], None], encoding: bytes) -> None:
        """Take what is shown the decoded bytes (``b""`` at the end) and the answer's ``content-encoding``."""
        self._feed: Callable[[bytes], None] | None = feed
        self._decode = decoder(encoding) if encoding else bytes

    def __call__(self, chunk: bytes) -> bytes:
        """Return the chunk; ``b""`` is mitmproxy's word for the end of the body."""
        if self._feed and self._decode:
            try:
                decoded = self._decode(chunk) if chunk else b""
                # A piece may decode to nothing yet, which is not the end.
                if decoded or not chunk:
                    self._feed(decoded)
            except Exception as error:  # noqa: BLE001 (nothing may reach the proxy from here)
                self._feed = None
                logger.info("codex-tap: a body is not looked into any further (%s)", type(error).__name__)
        return chunk


def events(show: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Return a reader of server-sent events that shows the data of each."""
    splitter = EventSplitter()

    def feed(chunk: bytes) -> None:
        for data in splitter.feed(chunk):
            show(data)

    return feed


class Document:
    """A reader of a JSON body: shows it once it is whole, unless it is too long."""

    __slots__ = ("_length", "_parts", "_show", "_shown")

    def __init__(self, show: Callable[[bytes], None]) -> None:
        self._show = show
        self._parts: list[bytes] = []
        self._length = 0
        self._shown = False

    def __call__(self, chunk: bytes) -> None:
        """Take a piece; ``b""`` is the end."""
        self._length += len(chunk)
        if self._length > LONGEST_JSON:
            self._parts.clear()
        elif chunk:
            self._parts.append(chunk)
            self._shown = False
        elif not self._shown:
            # An empty piece may also come before the end (an empty DATA frame), and then nothing new after it.
            self._shown = True
            self._show(b"".join(self._parts))


def decoder(encoding: bytes) -> Callable[[bytes], bytes] | None:
    """Return what decodes a body of this ``content-encoding`` piece by piece, or None for an unknown one.

    It raises ValueError or the codec's own error on broken input and on a decompression bomb.
    """
    make = _DECODERS.get(encoding.strip().lower())
    return make() if make else None


def _identity() -> Callable[[bytes], bytes]:
    return bytes


def _gzip() -> Callable[[bytes], bytes]:
    # 32: gzip and zlib headers alike.
    return _bounded_zlib(32 + zlib.MAX_WBITS)


def _deflate() -> Callable[[bytes], bytes]:
    """Decode "deflate", which is zlib by its specification and raw in many servers."""
    decode: Callable[[bytes], bytes] | None = None

    def decode_either(chunk: bytes) -> bytes:
        nonlocal decode
        if decode is None:
            # The first byte of a zlib stream names method 8 and a window of at most 32 KiB.
            zlib_header = chunk[0] & 0x0F == 8 and chunk[0] >> 4 <= 7
            decode = _bounded_zlib(zlib.MAX_WBITS if zlib_header else -zlib.MAX_WBITS)
        return decode(chunk)

    return decode_either


def _bounded_zlib(wbits: int) -> Callable[[bytes], bytes]:
    stream = zlib.decompressobj(wbits)

    def decode(chunk: bytes) -> bytes:
        # What follows the end of the stream would pile up in `unused_data`.
        decoded = b"" if stream.eof else stream.decompress(chunk, MOST_DECODED)
        if stream.unconsumed_tail:
            raise ValueError("decodes to too much")
        return decoded

    return decode


def _brotli() -> Callable[[bytes], bytes]:
    return _in_steps(brotli.Decompressor().process, _BROTLI_STEP)


def _zstd() -> Callable[[bytes], bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=8 * 1024 * 1024)
    return _in_steps(decompressor.decompressobj(read_across_frames=True).decompress, _ZSTD_STEP)


def _in_steps(decode: Callable[[bytes], bytes], step: int) -> Callable[[bytes], bytes]:
    def decode_bounded(chunk: bytes) -> bytes:
        decoded = bytearray()
        for start in range(0, len(chunk), step):
            decoded += decode(chunk[start : start + step])
            if len(decoded) > MOST_DECODED:
                raise ValueError("decodes to too much")
        return bytes(decoded)

    return decode_bounded


_DECODERS = {
    b"": _identity,
    b"identity": _identity,
    b"gzip": _gzip,
    b"x-gzip": _gzip,
    b"deflate": _deflate,
    b"br": _brotli,
    b"zstd": _zstd,
}
