"""A JSON body in every content coding, and its chunks."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING

import brotli
import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable


PLAIN = b'{"plan_type":"plus","rate_limit":{"allowed":true}}' * 50


def raw_deflate(content: bytes) -> bytes:
    """Return the content as the "deflate" of many servers: without the zlib header."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(content) + compressor.flush()


ENCODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "none": ("", bytes),
    "identity": ("identity", bytes),
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "zlib as gzip": ("gzip", zlib.compress),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstandard.compress),
    "zstd in frames": ("zstd", lambda content: zstandard.compress(content[:9]) + zstandard.compress(content[9:])),
    "in upper case, with blanks": (" GZIP ", gzip.compress),
}


def pieces(content: bytes, size: int) -> list[bytes]:
    """Return the content, cut into pieces of this size."""
    return [content[start : start + size] for start in range(0, len(content), size)]
