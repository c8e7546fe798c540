"""Is this flow Codex's, and whose? Which thread, session and model?

A flow is believed when every name it goes by is a watched host: where the connection leads, the name the TLS handshake
asked for, and the host the request names. One foreign name among them and nothing of it is read.
"""

from __future__ import annotations

import re
from operator import itemgetter
from typing import TYPE_CHECKING

from addon import coerce, headers
from addon.exchange import Exchange, OpenTurn, RequestInfo
from addon.hosts import Hosts, decode_ascii
from addon.identity import Identities
from addon.memory import Memory
from addon.turns import is_turn, mentions_warm_up
from store.models import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mitmproxy.http import HTTPFlow, RequestData


_ROUTING_MODEL = re.compile(r"(?:^|[;,\s])model=([^;,\s]+)")

_MAX_ROUTING_LENGTH = 1024
_USAGE_PATHS = ("/wham/usage", "/api/codex/usage")
_WANTED = (
    b"host",
    b"authorization",
    b"chatgpt-account-id",
    b"thread-id",
    b"session-id",
    b"x-codex-routing-hint",
    b"x-codex-turn-metadata",
)
_MAX_CALLERS = 256
_REMEMBERED_SETS = 64


class FlowClassifier:
    """Who stands behind requests, with a bounded memory: those of a client differ in little that matters here."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self._identities = Identities()
        # By Python's own keyed hash, as in `Identities`: what is hashed holds a token.
        self._known: dict[int, RequestInfo | None] = {}
        self._places = Memory(_places, _REMEMBERED_SETS)

    def open_exchange(self, flow: HTTPFlow) -> Exchange | None:
        """Return what a request says of itself, or None for one that is not Codex's or says not whose it is.

        One that asks for a turn has it opened.
        """
        # Each answer finds this code cold: one look-up of all that tells requests apart, and as few calls as can be.
        data, server_name = flow.request.data, flow.client_conn.sni
        fields = data.headers.fields
        wanted = self._places.find(tuple(map(headers.NAME, fields)))((*map(headers.VALUE, fields), None))
        # The metadata, which comes last, is that of the turn.
        key = hash((data.scheme, data.host, server_name, data.authority, data.method, data.path, wanted[:-1]))
        try:
            caller = self._known[key]
        except KeyError:
            if len(self._known) >= _MAX_CALLERS:
                self._known.clear()
            caller = self._known[key] = self._read(data, server_name, wanted)
        if caller is None:
            return None
        if not caller.asks_for_turn:
            return Exchange(caller, data.timestamp_start)
        is_warm_up = mentions_warm_up(wanted[-1] or b"") is not None
        started_at = data.timestamp_start
        return Exchange(caller, started_at, OpenTurn(Transport.HTTP, started_at, caller, warm_up=is_warm_up))

    def _read(self, data: RequestData, server_name: str | None, wanted: Sequence[bytes | None]) -> RequestInfo | None:
        named_host, authorization, account, thread_id, session_id, routing, _ = wanted
        hosts, address = self._hosts, data.host
        if not (hosts.is_gateway(address) if data.scheme == b"http" else hosts.watches(address, server_name)):
            return None
        if not (hosts.names(named_host) and hosts.names(data.authority)):
            return None
        identity = self._identities.identify(authorization, account)
        if identity is None:
            return None
        method, path = decode_ascii(data.method), decode_ascii(data.path)
        thread, session, model = _id(thread_id), _id(session_id), _routed_model(routing)
        of_codex = "/codex/" in path or thread is not None or session is not None
        return RequestInfo(
            identity,
            thread,
            session,
            model,
            of_codex=of_codex,
            asks_for_turn=of_codex and is_turn(method, path),
            asks_for_usage=_is_usage_request(method, path),
        )


def _is_usage_request(method: str, path: str) -> bool:
    return method == "GET" and path.partition("?")[0].endswith(_USAGE_PATHS)


def _places(names: tuple[bytes, ...]) -> Callable[[tuple[bytes | None, ...]], tuple[bytes | None, ...]]:
    """Return what picks the values of `_WANTED`; the place behind the last stands for "not there"."""
    lower = [name.lower() for name in names]
    return itemgetter(*(lower.index(name) if name in lower else len(names) for name in _WANTED))


def _id(value: bytes | None) -> str | None:
    return coerce.text(decode_ascii(value))


def _routed_model(routing: bytes | None) -> str | None:
    found = _ROUTING_MODEL.search(decode_ascii(routing)[:_MAX_ROUTING_LENGTH])
    return coerce.text(found[1]) if found else None
