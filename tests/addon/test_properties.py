"""Whatever comes off the wire makes a valid model or None, never an exception, and nothing harmful is stored.

``HYPOTHESIS_PROFILE=thorough`` tries many more examples.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import brotli
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from addon import headers, messages, turns
from addon.bodies import BodyTap, Document, events
from addon.decoders import decoder
from addon.exchange import Exchange, RequestInfo
from addon.hosts import Hosts
from addon.identity import AUTH_CLAIM, PROFILE_CLAIM, identify
from addon.raw_fields import _ALLOWED_FIELDS
from addon.sse import MAX_EVENT_LENGTH, EventSplitter
from store import coerce
from store.models import Identity, Source, Window
from store.windows import normalize
from tests.support.invariants import check_identity, check_reading, check_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MOMENTS = st.floats(0, 1e11)

_TEXTS = st.text(st.characters(exclude_categories=()), max_size=200)
_ODD = st.sampled_from(
    ["", "0", "100", "1e999", "NaN", "-5", "0x10", "１２", "True", "codex_fox", "\x1b[2J", "9" * 300]
)
_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.integers(0, 2**40), st.floats(), _TEXTS, _ODD)
_FIELDS = st.sampled_from(sorted(_ALLOWED_FIELDS | {"headers", "claims", AUTH_CLAIM, PROFILE_CLAIM}))
JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_FIELDS | _TEXTS, inner, max_size=6),
    max_leaves=40,
)
_MAPS = st.dictionaries(_FIELDS, JSON, max_size=8)
EVENTS = st.builds(
    lambda kind, fields: json.dumps({**fields, "type": kind}).encode(),
    st.sampled_from(["codex.rate_limits", "error"]),
    _MAPS,
)
DOCUMENTS = st.one_of(st.binary(), EVENTS, st.builds(lambda value: json.dumps(value).encode(), JSON | _MAPS))

_NAMES = st.one_of(
    st.binary(max_size=60),
    st.builds(
        lambda family, part: f"X-{family}-{part}".encode(),
        st.sampled_from(
            ["Codex", "Codex-fox", "Codex-f_x", "Codex-", "Codex-\xe9", "Base-Model-Inference", "premium", "7", ""]
        ),
        st.sampled_from([*headers._FAMILY_PARTS, *sorted(headers._RESPONSE_PARTS), "primary-mood", "spend-limit"]),
    ),
)
_VALUES = st.binary(max_size=60) | _ODD.map(str.encode) | st.integers(0, 2**40).map(lambda number: b"%d" % number)


@given(st.lists(st.tuples(_NAMES, _VALUES), max_size=40), MOMENTS)
@example([(b"x-codex-primary-reset-at", b"500"), (b"x-codex-primary-reset-after-seconds", b"0")], 0.0)
def test_headers(fields: list[tuple[bytes, bytes]], observed_at: float) -> None:
    """Any headers make a valid reading or none."""
    check_reading(headers.read(headers.collect(fields), observed_at), observed_at)


@given(st.lists(_NAMES, min_size=1, max_size=12), st.data())
def test_headers_remembered(names: list[bytes], data: st.DataObject) -> None:
    """The cached results of earlier responses change nothing: each is read as if it were the first."""
    responses = []
    for _ in range(data.draw(st.integers(2, 40))):
        values = data.draw(st.tuples(*[_VALUES | st.just(b"0") for _ in names]))
        responses.append((headers.collect(list(zip(names, values, strict=True))), data.draw(MOMENTS)))
    warm = [headers.read(found, at) for found, at in responses]
    for (found, at), expected in zip(responses, warm, strict=True):
        headers._cached_static.cache_clear()
        headers._limits_by_resets.cache_clear()
        assert headers.read(found, at) == expected


@given(st.dictionaries(_NAMES.map(lambda name: name.decode("latin-1")) | _TEXTS, JSON), MOMENTS)
def test_header_mapping(mapping: dict[str, Any], observed_at: float) -> None:
    """Any map of headers inside a message makes a valid reading or none."""
    check_reading(headers.read_mapping(mapping, observed_at), observed_at)


@given(DOCUMENTS, MOMENTS)
@example(b'{"type":"error","error":{"code":"usage_limit_reached","resets_at":1,"resets_in_seconds":0}}', 0.0)
def test_messages(content: bytes, observed_at: float) -> None:
    """Any bytes and any JSON make a valid reading or none."""
    for told in (
        messages.read_event(content, observed_at, Source.SSE),
        messages.read_usage(content, observed_at),
        messages.read_error_body(content, observed_at),
    ):
        check_reading(told and told.reading, observed_at)


def _segment(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


TOKENS = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda header, claims: b".".join(
            [_segment(json.dumps(header).encode()), _segment(json.dumps(claims).encode()), b""]
        ),
        st.just({"alg": "RS256"}) | st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64"]), JSON) | JSON,
        st.dictionaries(st.sampled_from([AUTH_CLAIM, PROFILE_CLAIM, "exp", "nbf", "iat", "aud", "sub", "jti"]), JSON)
        | JSON,
    ),
    st.lists(st.binary(max_size=40).map(_segment), max_size=4).map(b".".join),
)


@given(TOKENS, st.none() | st.binary(max_size=200))
def test_identity(token: bytes, account_header: bytes | None) -> None:
    """Any token makes a valid identity that text can hold."""
    check_identity(identify(token, b"secret", account_header))


@given(st.binary() | EVENTS, st.none() | _TEXTS, st.none() | _TEXTS, st.none() | st.binary())
def test_flows(content: bytes, address: str | None, server_name: str | None, authority: bytes | None) -> None:
    """Any names and messages of a flow are judged without an exception."""
    exchange = Exchange(RequestInfo(Identity(token_key="t~0")), 0.0)
    turn = turns.parse_response_create(b'{"type":"response.create",' + content, 1.0, exchange.info)
    assert turn
    ending = turns.parse_turn_end(content) or turns.parse_turn_body(content)
    row = turns.finished_turn(turn, "codex", ending, 2.0)
    check_texts([turn.info.model, turn.info.thread, turn.info.session, row.error_type])
    hosts = Hosts()
    assert isinstance(hosts.watches(address, server_name), bool)
    assert isinstance(hosts.names(authority), bool)


WINDOWS = st.none() | st.builds(
    Window,
    used_percent=st.none() | st.floats(0, 1000),
    window_minutes=st.none() | st.sampled_from([300, 10_080]) | st.integers(1, 50_000),
    resets_at=st.none() | st.integers(1, 10**6),
)


@given(WINDOWS, WINDOWS, st.none() | st.floats(0, 10**6))
def test_normalize(primary: Window | None, secondary: Window | None, observed_at: float | None) -> None:
    """Windows are neither altered nor invented, and only the lesser of two of one length is left out."""
    told = [window for window in (primary, secondary) if window]
    slots = normalize(primary, secondary, observed_at)
    assert all(window in told for window in slots.values())
    lengths = [window.window_minutes for window in told if window.window_minutes]
    assert len(slots) == len(told) - (len(lengths) - len(set(lengths)))
    if (
        primary
        and secondary
        and primary.window_minutes != secondary.window_minutes
        and all(lengths)
        and len(lengths) == 2
    ):
        both_ways = normalize(secondary, primary, observed_at)
        assert sorted(map(repr, both_ways.values())) == sorted(map(repr, slots.values()))


@st.composite
def pieces(draw: st.DrawFn, contents: st.SearchStrategy[bytes]) -> list[bytes]:
    """Draw bytes cut anywhere, into no empty pieces."""
    content = draw(contents)
    cuts = draw(st.lists(st.integers(0, len(content)), max_size=20))
    return [content[start:end] for start, end in pairwise(sorted({0, *cuts, len(content)}))]


STREAMS = st.lists(
    st.sampled_from([b"\n", b"\r", b"\r\n", b"data:", b"data: ", b"event: x", b"{}", b":", b"x" * 40])
    | st.binary(max_size=5)
    | st.integers(MAX_EVENT_LENGTH - 8, MAX_EVENT_LENGTH + 8).map(lambda size: b"x" * size),
    max_size=40,
).map(b"".join)


@given(pieces(STREAMS))
def test_events_however_cut(chunks: list[bytes]) -> None:
    """The events are the same however the stream is cut."""
    in_pieces, whole = EventSplitter(), EventSplitter()
    assert [data for chunk in chunks for data in in_pieces.feed(chunk)] == whole.feed(b"".join(chunks))


def _raw_deflate(content: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(content) + compressor.flush()


ENCODERS = st.sampled_from(
    [
        (b"", bytes),
        (b"gzip", gzip.compress),
        (b"deflate", zlib.compress),
        (b"deflate", _raw_deflate),
        (b"br", brotli.compress),
        (b"zstd", zstandard.compress),
    ]
)
ENCODINGS = st.sampled_from([b"", b"gzip", b"deflate", b"br", b"zstd", b"unknown"]) | st.binary(max_size=8)


@given(ENCODERS, st.binary(max_size=2_000), st.data())
def test_decoder_however_cut(
    encoder: tuple[bytes, Callable[[bytes], bytes]], content: bytes, data: st.DataObject
) -> None:
    """A decoder reads back what was compressed, however it is cut."""
    encoding, encode = encoder
    decode = decoder(encoding)
    assert decode is not None
    assert b"".join(map(decode, data.draw(pieces(st.just(encode(content)))))) == content


def _shown(
    chunks: Iterable[bytes], encoding: bytes, reader: Callable[[Callable[[bytes], None]], Callable[[bytes], None]]
) -> list[bytes]:
    """Pass chunks through a tap and return what it showed."""
    shown: list[bytes] = []
    tap = BodyTap(reader(shown.append), encoding)
    for chunk in [*chunks, b""]:
        assert tap(chunk) is chunk
    return shown


@given(st.lists(st.binary(max_size=200), max_size=10), ENCODINGS)
def test_body_is_untouched(chunks: list[bytes], encoding: bytes) -> None:
    """Whatever the bytes and their encoding, a tap gives back exactly its input."""
    _shown(chunks, encoding, events)
    _shown(chunks, encoding, Document)


@given(ENCODERS, st.binary(max_size=2_000), st.data())
def test_body_is_shown_once(
    encoder: tuple[bytes, Callable[[bytes], bytes]], content: bytes, data: st.DataObject
) -> None:
    """A compressed body is shown whole and once, however it is cut."""
    encoding, encode = encoder
    assert _shown(data.draw(pieces(st.just(encode(content)))), encoding, Document) == [content]


@given(_SCALARS | JSON, _SCALARS | JSON, MOMENTS)
def test_reset(at: object, after: object, observed_at: float) -> None:
    """A reset is a moment after the epoch or none, and the server's time no moment before it."""
    found = coerce.reset(at, after, observed_at)
    assert found.resets_at is None or found.resets_at > 0
    assert found.server_time is None or found.server_time >= 0
