"""Decoders of every content coding: incremental, and bounded in memory."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import brotli
import pytest
import zstandard

from addon.decoders import decoder
from tests.support.encodings import ENCODINGS, PLAIN, pieces

if TYPE_CHECKING:
    from collections.abc import Callable


BOMB = 1 << 26


@pytest.mark.parametrize("size", [1, 7, 100, 100_000])
@pytest.mark.parametrize(("encoding", "encode"), ENCODINGS.values(), ids=ENCODINGS.keys())
def test_decoder(encoding: str, encode: Callable[[bytes], bytes], size: int) -> None:
    """Each encoding is decoded, however the body is cut into pieces."""
    decode = decoder(encoding.encode())
    assert decode is not None
    assert b"".join(map(decode, pieces(encode(PLAIN), size))) == PLAIN


@pytest.mark.parametrize("encoding", ["compress", "gzip, br", "zstd;q=1", "\x00"])
def test_unknown_encoding(encoding: str) -> None:
    """There is no decoder for an encoding that Codex's backend does not use, nor for two in a row."""
    assert decoder(encoding.encode()) is None


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(("gzip", gzip.compress), id="gzip"),
        pytest.param(("deflate", zlib.compress), id="deflate"),
        pytest.param(("br", lambda content: brotli.compress(content, quality=5)), id="br"),
        pytest.param(("zstd", zstandard.compress), id="zstd"),
    ],
)
def test_bomb(encoded: tuple[str, Callable[[bytes], bytes]]) -> None:
    """Decoding a decompression bomb fails before the whole of it is in memory."""
    encoding, encode = encoded
    decode = decoder(encoding.encode())
    assert decode is not None
    bomb = encode(bytes(BOMB))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="too much"):
            decode(bomb)
        assert tracemalloc.get_traced_memory()[1] < BOMB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_garbage_after_the_end(encoding: str) -> None:
    """Bytes after the end of a compressed body decode to nothing and take no memory."""
    decode = decoder(encoding.encode())
    assert decode is not None
    assert decode(zlib.compress(PLAIN)) == PLAIN
    tracemalloc.start()
    try:
        for _ in range(100):
            assert decode(bytes(65_536)) == b""
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
