"""Bodies on their way through the tap: unchanged for the client, decoded for the reader."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from addon import bodies
from addon.bodies import MAX_ENDS, MAX_JSON_LENGTH, BodyTap, Document, events
from tests.support.encodings import ENCODINGS, PLAIN, pieces

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("encoding", ["compress", "gzip, br", "zstd;q=1", "\x00"])
def test_unknown_encoding(encoding: str) -> None:
    """A body in an unknown encoding passes unread."""
    shown: list[bytes] = []
    tap = BodyTap(shown.append, encoding.encode())
    assert [tap(b"abc"), tap(b"")] == [b"abc", b""]
    assert shown == []


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize(("encoding", "encode"), ENCODINGS.values(), ids=ENCODINGS.keys())
def test_tap(encoding: str, encode: Callable[[bytes], bytes], size: int) -> None:
    """The client gets the body byte for byte; the reader gets the decoded body, and then one end."""
    shown: list[bytes] = []
    tap = BodyTap(shown.append, encoding.encode())
    for piece in pieces(encode(PLAIN), size):
        assert tap(piece) is piece
    assert tap(b"") == b""
    assert b"".join(shown) == PLAIN
    assert [index for index, content in enumerate(shown) if not content] == [len(shown) - 1]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_broken_body(encoding: str, caplog: pytest.LogCaptureFixture) -> None:
    """A body that does not match its encoding passes unchanged; the one log line about it quotes none of it."""
    caplog.set_level(logging.INFO, "addon")
    shown: list[bytes] = []
    tap = BodyTap(shown.append, encoding.encode())
    for piece in (b"\xffsecret-secret", b"secret" * 1000, b"", b"more"):
        assert tap(piece) == piece
    assert shown == []
    (line,) = caplog.messages
    assert line.startswith("codex-tap: stopped parsing a response body (")
    assert "secret" not in line


def test_failing_reader(caplog: pytest.LogCaptureFixture) -> None:
    """A reader that fails is not called again, and the body passes."""
    caplog.set_level(logging.INFO, "addon")
    calls: list[bytes] = []

    def fail(content: bytes) -> None:
        calls.append(content)
        raise RuntimeError("secret")

    tap = BodyTap(fail, b"")
    assert [tap(piece) for piece in (b"a", b"b", b"")] == [b"a", b"b", b""]
    assert calls == [b"a"]
    assert caplog.messages == ["codex-tap: stopped parsing a response body (RuntimeError)"]


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ([b"{}", b""], [b"{}"]),
        ([b"{", b"}", b""], [b"{}"]),
        ([b""], [b""]),
        ([b"{}"], []),
        ([b"{}", b"", b""], [b"{}"]),
        ([b"{", b"", b"}", b""], [b"{", b"{}"]),
        ([b"x" * MAX_JSON_LENGTH, b""], [b"x" * MAX_JSON_LENGTH]),
        ([b"x" * MAX_JSON_LENGTH, b"x", b""], []),
        ([b"x" * (MAX_JSON_LENGTH + 1), b""], []),
        ([b"x" * (MAX_JSON_LENGTH + 1), b"{}", b""], []),
    ],
    ids=[
        "one piece",
        "two pieces",
        "none",
        "no end",
        "two ends",
        "an empty piece",
        "longest",
        "longer",
        "too long",
        "on",
    ],
)
def test_document(content: list[bytes], shown: list[bytes]) -> None:
    """A JSON body is shown once it is complete; a body above the maximum length is never shown."""
    seen: list[bytes] = []
    feed = Document(seen.append)
    for piece in content:
        feed(piece)
    assert seen == shown


def test_events() -> None:
    """Each event is shown as soon as it is complete."""
    seen: list[bytes] = []
    feed = events(seen.append)
    feed(b"data: a\n\nda")
    assert seen == [b"a"]
    feed(b"ta: b\n\ndata: c\n\n")
    feed(b"")
    assert seen == [b"a", b"b", b"c"]


def test_many_empty_chunks() -> None:
    """A body with an empty chunk after each byte is not read again and again."""
    seen: list[bytes] = []
    feed = Document(seen.append)
    for _ in range(1_000):
        feed(b"x")
        feed(b"")
    assert len(seen) == MAX_ENDS


def test_the_events_of_a_body_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """Past the maximum number of events, a body passes unread."""
    caplog.set_level(logging.INFO, "addon")
    seen: list[bytes] = []
    tap = BodyTap(events(seen.append), b"")
    chunk = b"data: a\n\n" * 1_000
    for _ in range(20):
        assert tap(chunk) is chunk
    assert len(seen) == bodies.MAX_EVENTS
    assert caplog.messages == ["codex-tap: stopped parsing a response body (TooLongError)"]


@pytest.mark.parametrize(("encoding", "encode"), ENCODINGS.values(), ids=ENCODINGS.keys())
def test_the_length_of_a_body_is_bounded(
    encoding: str, encode: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the maximum length of what it decodes to, a body passes unread, whatever each chunk decodes to."""
    monkeypatch.setattr(bodies, "MAX_DECODED_LENGTH", len(PLAIN) // 2)
    shown: list[bytes] = []
    tap = BodyTap(shown.append, encoding.encode())
    body = encode(PLAIN)
    assert b"".join(map(tap, [*pieces(body, 100), b""])) == body
    assert len(b"".join(shown)) <= len(PLAIN) // 2
    assert b"" not in shown


def test_the_beginning_of_a_body() -> None:
    """Each decoded chunk is asked whether the body begins with it, up to the one that does; the end is not asked."""
    asked: list[bytes] = []

    def begins(chunk: bytes) -> bool:
        asked.append(chunk)
        return chunk == b"b"

    tap = BodyTap(lambda _: None, b"", begins)
    assert [tap(piece) for piece in (b"", b"a", b"b", b"c", b"")] == [b"", b"a", b"b", b"c", b""]
    assert asked == [b"a", b"b"]
