"""Bounded, incremental decoders for the content codings of responses."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import brotli
import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable


MAX_DECODED = 4 * 1024 * 1024
"""Bytes that one chunk may decode to; every real response stays far below."""

# These decoders have no output limit: they get a chunk in steps, each of which decodes to about 16 MiB at most.
_BROTLI_STEP = 16
_ZSTD_STEP = 256


def decoder(encoding: bytes) -> Callable[[bytes], bytes] | None:
    """Return a decoder for the chunks of a body with this ``content-encoding``, or None if the encoding is unknown.

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
        # Bytes after the end of the stream would pile up in `unused_data`.
        decoded = b"" if stream.eof else stream.decompress(chunk, MAX_DECODED)
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
            if len(decoded) > MAX_DECODED:
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
