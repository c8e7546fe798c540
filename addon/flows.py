"""Decides whether a flow is Codex's, whose it is, and its thread, session and model.

A flow is believed when every name it goes by is a watched host: where the connection leads, the name the TLS handshake
asked for, and the host the request names. One foreign name among them and nothing of it is read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from addon.exchange import Exchange, OpenTurn, RequestInfo
from addon.header_names import HeaderLayouts
from addon.hosts import Hosts, decode_ascii, is_teacher
from addon.identity import NOBODY, Identities, login_scheme
from addon.turn_metadata import TurnMetadata
from addon.turns import is_turn
from store import coerce
from store.models import Transport

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mitmproxy.http import HTTPFlow, RequestData


_ROUTING_MODEL = re.compile(r"(?:^|[;,\s])model=([^;,\s]+)")
_ROUTING_TIER = re.compile(r"(?:^|[;,\s])tier=([^;,\s]+)")

_MAX_ROUTING_LENGTH = 1024
_ACCOUNTS_CHECK_PATH = "/wham/accounts/check"
_USAGE_PATHS = (
    "/wham/usage",
    "/api/codex/usage",
    "/wham/rate-limit-reset-credits",
    "/api/codex/rate-limit-reset-credits",
)
_INFO_HEADERS = (
    b"host",
    b"authorization",
    b"chatgpt-account-id",
    b"thread-id",
    b"session-id",
    b"session_id",
    b"conversation_id",
    b"x-codex-routing-hint",
    b"x-openai-subagent",
    b"x-codex-parent-thread-id",
    b"originator",
)
_SESSION_HEADERS = (b"session-id", b"session_id", b"conversation_id")
"""The first of them that is there names the session: clients other than Codex write it with an underscore."""
_TURN_METADATA = b"x-codex-turn-metadata"
_MAX_CACHED_REQUESTS = 256


class _RequestLayout(NamedTuple):
    """Where the headers of `_INFO_HEADERS` that are there, and the metadata, stand among all headers of a request."""

    info_at: tuple[int, ...]
    metadata_at: int | None


def _layout(names: tuple[bytes, ...]) -> _RequestLayout:
    """Decide the layout; the first of a repeated header counts."""
    first: dict[bytes, int] = {}
    for at, name in enumerate(names):
        first.setdefault(name.lower(), at)
    return _RequestLayout(tuple([first[name] for name in _INFO_HEADERS if name in first]), first.get(_TURN_METADATA))


_LAYOUTS = HeaderLayouts(_layout)


class FlowClassifier:
    """Classifies requests. Results are cached because the requests of one client differ in few relevant fields."""

    def __init__(self, hosts: Hosts, secret: bytes) -> None:
        """Create the classifier; `secret` keys the digests of short tokens."""
        self._hosts = hosts
        self._identities = Identities(secret)
        # Keyed by Python's own keyed hash, as in `Identities`: the hashed values include a token.
        self._cache: dict[int, RequestInfo | None] = {}

    def forget(self) -> None:
        """Forget all results: the watched hosts have changed."""
        self._cache.clear()

    def classify(self, flow: HTTPFlow) -> Exchange | None:
        """Return the exchange of a request; None if it is not to a watched host.

        The exchange of a request for a turn has the turn open.
        """
        data, server_name = flow.request.data, flow.client_conn.sni
        fields = data.headers.fields
        info_at, metadata_at = _LAYOUTS[tuple([header[0] for header in fields])]
        info_headers = [fields[at] for at in info_at]
        key = hash((data.scheme, data.host, server_name, data.authority, data.method, data.path, *info_headers))
        try:
            info = self._cache[key]
        except KeyError:
            if len(self._cache) >= _MAX_CACHED_REQUESTS:
                self._cache.clear()
            info = self._cache[key] = self._read(data, server_name, info_headers)
        if info is None:
            return None
        requested_at = data.timestamp_start
        if not info.is_turn:
            return Exchange(info, requested_at)
        metadata = "" if metadata_at is None else fields[metadata_at][1].decode("utf-8", "replace")
        sent = TurnMetadata(metadata)
        turn = OpenTurn(Transport.HTTP, requested_at, info, sent, tier=info.tier, warm_up=sent.is_warm_up)
        return Exchange(info, requested_at, turn)

    def _read(
        self, data: RequestData, server_name: str | None, info_headers: Iterable[tuple[bytes, bytes]]
    ) -> RequestInfo | None:
        wanted = {name.lower(): value for name, value in info_headers}
        hosts, address = self._hosts, data.host
        if not (hosts.is_gateway(address) if data.scheme == b"http" else hosts.watches(address, server_name)):
            return None
        if not (hosts.names(wanted.get(b"host")) and hosts.names(data.authority)):
            return None
        identity = self._identities.identify(wanted.get(b"authorization"), wanted.get(b"chatgpt-account-id"))
        method, path = decode_ascii(data.method), decode_ascii(data.path)
        is_usage_request = _is_usage_request(method, path)
        if identity is None:
            scheme = login_scheme(wanted.get(b"authorization"))
            return RequestInfo(NOBODY, is_usage_request=is_usage_request, unknown_login=scheme)
        thread = _text(wanted.get(b"thread-id"))
        session = next((each for name in _SESSION_HEADERS if (each := _text(wanted.get(name)))), None)
        routing = decode_ascii(wanted.get(b"x-codex-routing-hint"))[:_MAX_ROUTING_LENGTH]
        is_codex = "/codex/" in path or thread is not None or session is not None
        return RequestInfo(
            identity,
            thread,
            session,
            _routed(_ROUTING_MODEL, routing),
            _routed(_ROUTING_TIER, routing),
            _text(wanted.get(b"x-openai-subagent")),
            _text(wanted.get(b"x-codex-parent-thread-id")),
            _text(wanted.get(b"originator")),
            is_codex=is_codex,
            is_turn=is_codex and is_turn(method, path),
            is_usage_request=is_usage_request,
            is_accounts_check=data.scheme == b"https"
            and is_teacher(address, server_name, wanted.get(b"host"), data.authority)
            and _is_accounts_check(method, path),
        )


def _is_usage_request(method: str, path: str) -> bool:
    return method == "GET" and path.partition("?")[0].endswith(_USAGE_PATHS)


def _is_accounts_check(method: str, path: str) -> bool:
    return method == "GET" and path.partition("?")[0].endswith(_ACCOUNTS_CHECK_PATH)


def _text(value: bytes | None) -> str | None:
    return coerce.text(decode_ascii(value))


def _routed(part: re.Pattern[str], routing: str) -> str | None:
    found = part.search(routing)
    return coerce.text(found[1]) if found else None
