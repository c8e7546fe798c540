"""What is fuzzed: each target takes any bytes, lets a parser have them, and checks what the parser promises.

A promise that does not hold is an exception: AssertionError, or whatever the parser raised.
"""

from __future__ import annotations

import base64
import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

from addon import headers, messages, turns
from addon.bodies import BodyTap, Document, events
from addon.exchange import OpenTurn, RequestInfo
from addon.hosts import UNREADABLE_ORIGIN, Hosts, backend_origins
from addon.identity import AUTH_CLAIM, PROFILE_CLAIM, Identities, identify, login_scheme
from addon.raw_fields import _ALLOWED_FIELDS
from addon.sse import MAX_EVENT_LENGTH, EventSplitter
from addon.turn_metadata import TurnMetadata
from scripts.alerts import settings_schema
from scripts.install import env_block
from scripts.launch import holder
from scripts.launch.codex_env_file import parse
from scripts.support.errors import CommandError
from store import stored_json
from store.models import Identity, Source, Transport
from store.settings import WATCHED_HOSTS
from tests.support.invariants import check_identity, check_reading, check_texts

if TYPE_CHECKING:
    from collections.abc import Callable

    Target = Callable[[bytes], None]

OBSERVED_AT = 1_795_243_200.0
_SECRET = b"secret"
_SOMEBODY = Identity(token_key="key")
_SEEN_ORIGIN = re.compile(rf"(https?://)?[a-z0-9._-]+(:[0-9]{{1,5}})?|{UNREADABLE_ORIGIN}", re.ASCII)
_LEARNED_HOST = re.compile(r"[a-z0-9.-]+\.(chatgpt|openai)\.com", re.ASCII)
_ENCODINGS = (b"", b"gzip", b"deflate", b"br", b"zstd", b"unknown")


def fuzz_headers(data: bytes) -> None:
    """Lines ``name: value`` as an answer's headers."""
    pairs = [line.partition(b":") for line in data.split(b"\n")]
    check_reading(headers.read(headers.collect([(name, value) for name, _, value in pairs]), OBSERVED_AT), OBSERVED_AT)


def fuzz_header_mapping(data: bytes) -> None:
    """A JSON object as the headers inside a websocket error."""
    check_reading(headers.read_mapping(_mapping(data), OBSERVED_AT), OBSERVED_AT)


def fuzz_event(data: bytes) -> None:
    """A websocket message or the data of a server-sent event."""
    for carrier in (Source.WEBSOCKET, Source.SSE):
        told = messages.read_event(data, OBSERVED_AT, carrier)
        check_reading(told and told.reading, OBSERVED_AT)


def fuzz_usage(data: bytes) -> None:
    """A usage document."""
    told = messages.read_usage(data, OBSERVED_AT)
    check_reading(told and told.reading, OBSERVED_AT)


def fuzz_error_body(data: bytes) -> None:
    """The body of a refused answer."""
    told = messages.read_error_body(data, OBSERVED_AT)
    check_reading(told and told.reading, OBSERVED_AT)


def fuzz_sse(data: bytes) -> None:
    """A stream of events, cut in pieces of a length that its first byte tells: the events are the same."""
    size, stream = (data[0] % 64 + 1, data[1:]) if data else (1, b"")
    whole, pieces = EventSplitter(), EventSplitter()
    expected = whole.feed(stream)
    found = [event for at in range(0, len(stream), size) for event in pieces.feed(stream[at : at + size])]
    assert found == expected
    assert all(0 < len(event) <= MAX_EVENT_LENGTH for event in found)


def fuzz_body(data: bytes) -> None:
    """A body in an encoding that its first byte tells: it passes as it is, whatever is in it."""
    encoding, body = (_ENCODINGS[data[0] % len(_ENCODINGS)], data[1:]) if data else (b"", b"")
    shown: list[bytes] = []
    for read in (events, Document):
        tap = BodyTap(read(shown.append), encoding)
        for chunk in (body[:7], body[7:], b""):
            assert tap(chunk) is chunk


def fuzz_token(data: bytes) -> None:
    """A bearer, as it is."""
    _check_identity(identify(data, _SECRET, b"acct"), data)
    Identities(_SECRET).identify(b"Bearer " + data, data)
    Identities(_SECRET).identify(data, None)
    assert login_scheme(data).isprintable()


def fuzz_claims(data: bytes) -> None:
    """A bearer whose claims these are."""
    segments = (b'{"alg":"RS256"}', data, b"signature")
    token = b".".join(base64.urlsafe_b64encode(segment).rstrip(b"=") for segment in segments)
    _check_identity(identify(token, _SECRET), token)


def fuzz_hosts(data: bytes) -> None:
    """Three lines as the names of a connection: a name that is believed is a watched host's, letter by letter."""
    lines = [*data.split(b"\n", 2), b"", b""]
    address, server_name = (line.decode("utf-8", "surrogateescape") for line in lines[:2])
    hosts = Hosts()
    if hosts.watches(address, server_name):
        assert _is_watched(server_name)
    if lines[2] and hosts.names(lines[2]):
        assert _is_watched(lines[2].decode("ascii").rpartition(":")[0] or lines[2].decode("ascii")), lines[2]


def fuzz_backend_origins(data: bytes) -> None:
    """The body of an accounts/check response, and an origin: no name of another domain is ever watched."""
    hosts = Hosts()
    for origin in [*backend_origins(data), data.decode("utf-8", "surrogateescape")]:
        seen = hosts.sight(origin)
        assert seen is None or _SEEN_ORIGIN.fullmatch(seen[1]), seen
    assert all(_LEARNED_HOST.fullmatch(name) for name in hosts.learned), hosts.learned


def fuzz_client_message(data: bytes) -> None:
    """A websocket message of the client."""
    turn = turns.parse_response_create(data, 1.0, RequestInfo(_SOMEBODY))
    check_texts((*turn.info[1:8], turn.tier) if turn else ())


def fuzz_turn_ending(data: bytes) -> None:
    """An event or a body that ends a turn: whatever it says makes a row or nothing."""
    turn = OpenTurn(
        Transport.HTTP,
        1.0,
        RequestInfo(_SOMEBODY),
        TurnMetadata(data.decode("utf-8", "replace")),
        warm_up=False,
    )
    for ending in (turns.parse_turn_end(data), turns.parse_turn_body(data)):
        if ending:
            found = turns.finished_turn(turn, "codex", ending, 2.0)
            check_texts([found.error_type, found.model, found.response_model, found.reasoning_effort, found.subagent])


def fuzz_env_file(data: bytes) -> None:
    """Codex's ``.env``: the block is read in it and leaves no trace, or it is refused."""
    chosen = {"HTTPS_PROXY": "http://127.0.0.1:26339", "SSL_CERT_FILE": "/a b.pem"}
    lines = env_block.block_lines(chosen)
    before = env_block.restore(data, None).content
    try:
        changed = env_block.insert(before, chosen, {}, "file")
    except CommandError:
        return
    found = parse(changed.decode("utf-8", "surrogateescape"), {})
    assert {name: found.get(name) for name in chosen} == chosen
    assert env_block.restore(changed, lines) == (before, ())


def fuzz_proxy_request(data: bytes) -> None:
    """The head of a request to the tunnel: nothing that is meant for the proxy alone goes on to a server."""
    try:
        request = holder._parse_request(data + b"\r\n\r\n")
    except holder._RefusedError:
        return
    assert request.host
    assert 0 < request.port <= 65_535
    if not request.is_connect:
        first, *fields = request.head(request.path).decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        assert first.split(" ")[1].startswith("/")
        assert not any(field.startswith((" ", "\t")) for field in fields)
        assert "proxy-authorization" not in {field.partition(":")[0].strip().lower() for field in fields}
        assert not {"\r", "\n", "\0"} & set("".join(fields))


def fuzz_stored_json(data: bytes) -> None:
    """A JSON text in the database: what is read can be written again, so no figure in it is endless."""
    text = data.decode("utf-8", "replace")
    json.dumps(stored_json.read_json(text), allow_nan=False)
    json.dumps(stored_json.read_mapping(text), allow_nan=False)


def fuzz_alerts_file(data: bytes) -> None:
    """The alerts file: it is read, or refused without a URL in the message."""
    text = data.decode("utf-8", "replace")
    try:
        settings_schema.parse(text, tomllib.loads(text))
    except settings_schema.InvalidError as error:
        message = str(error)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        message = ""
    else:
        message = ""
    assert "://" not in message.replace("://…", ""), message


TARGETS: dict[str, Target] = {
    name.removeprefix("fuzz_").replace("_", "-"): target
    for name, target in list(globals().items())
    if name.startswith("fuzz_")
}

DICTIONARY: list[bytes] = sorted(
    word.encode()
    for word in {
        *_ALLOWED_FIELDS,
        *headers._FAMILY_PARTS,
        *headers._RESPONSE_PARTS,
        *WATCHED_HOSTS,
        *("x-codex-", "x-codex-fox-", "codex.rate_limits", "usage_limit_reached", "headers", "message", "accounts"),
        *("workspace_backend_origin", "NO_CONSTRAINT", "https://", "http://", "@", ":443", ".openai.com", "xn--"),
        *(
            "x-base-model-inference-",
            "tertiary",
            "2026-11-30T14:38:22Z",
        ),
        *(AUTH_CLAIM, PROFILE_CLAIM, "chatgpt_account_id", "chatgpt_user_id", "chatgpt_plan_type", "email", "exp"),
        *("NaN", "1e999", "-1", "null", "true", "False", "\\ud800", "\\u0000", "data:", "\n\n", "\r\n\r\n", "event:"),
        *(
            "#codex-tap: ",
            "HTTPS_PROXY=",
            "SSL_CERT_FILE=",
            "# >>> codex-tap >>>\n",
            "# <<< codex-tap <<<\n",
            "$A",
            "${A}",
        ),
        *(
            "CONNECT ",
            "GET http://",
            " HTTP/1.1\r\n",
            "Proxy-Authorization: Basic eg==",
            "Connection: upgrade",
            "[::1]:",
        ),
        *("[[rules]]\n", "[targets]\n", "at = [80]\n", "ntfys://u:p@h/t", "targets = [", "quiet_hours = "),
        *('{"type":"response.create","model":"', '{"type":"error"', "\x1b[2J", "9" * 30, "[[[[", "{}"),
    }
)
"""Words that parsers look for, and values that have broken some."""


def _mapping(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _check_identity(found: Identity, token: bytes) -> None:
    """Check that an identity is valid, and that of the token it holds no more than a key shows."""
    check_identity(found)
    assert len(token) < 4 or token.decode("latin-1") not in found.model_dump().values()


def _is_watched(name: str) -> bool:
    return name.isascii() and name.lower().rstrip(".") in WATCHED_HOSTS
