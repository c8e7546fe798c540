"""Is this flow Codex's, and whose? Which thread, session and model?

A flow is believed when every name it goes by is a watched host: where the connection leads, the name the TLS handshake
asked for, and the host the request names. One foreign name among them and nothing of it is read.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from addon import headers, values
from addon.identity import Identities
from addon.memory import Memory
from addon.turns import Turn, asks_for_turn, says_warm_up
from store.models import Transport
from store.settings import WATCHED_HOSTS
from store.standing import MAIN_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mitmproxy.http import HTTPFlow, RequestData

    from store.models import Identity

_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.ASCII)
_PORT = re.compile(r":[0-9]*$")
_ROUTING_MODEL = re.compile(r"(?:^|[;,\s])model=([^;,\s]+)")

_LONGEST_ROUTING = 1024
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
_REMEMBERED_CALLERS = 256
_REMEMBERED_SETS = 64


class Hosts:
    """The hosts whose connections are decrypted and whose figures are believed."""

    def __init__(self, more: Iterable[str] = ()) -> None:
        """Take hosts beside Codex's own.

        Raises:
            ValueError: One of them is no host name.

        """
        self._names = {*WATCHED_HOSTS, *map(_host_name, more)}
        self.watches = lru_cache(maxsize=1024)(self._watches)

    def __str__(self) -> str:
        return ", ".join(sorted(self._names, key=lambda name: (name not in WATCHED_HOSTS, name)))

    def _watches(self, address: str | None, server_name: str | None) -> bool:
        """Tell whether a connection leads to a watched host.

        `address` is where the client wants to go, `server_name` what its TLS handshake names. A client that looked up
        the address itself asks for a bare IP address; there the name in the handshake, which the server's certificate
        is checked against, decides alone.
        """
        if address is None or _is_ip(address):
            return self._holds(server_name) or (address is not None and self._holds(address))
        return self._holds(address) and (server_name is None or self._holds(server_name))

    def names(self, authority: bytes | None) -> bool:
        """Tell whether an authority, as in a ``Host`` header, is that of a watched host; none at all will do."""
        return not authority or self._holds(_PORT.sub("", _decoded(authority)))

    def is_gateway(self, address: str) -> bool:
        """Tell whether a host is watched beside Codex's own, and so may be spoken to in plain HTTP.

        Without TLS nobody has shown to be one of Codex's own hosts.
        """
        return self._holds(address) and _plain_name(address) not in WATCHED_HOSTS

    def _holds(self, name: str | None) -> bool:
        return name is not None and _plain_name(name) in self._names


class Caller(NamedTuple):
    """What a request says of itself: whose it is, its thread, session and model, and what it asks for.

    ``of_codex`` tells whether its turns are Codex's: the hosts also serve programs that have nothing to do with it.
    """

    identity: Identity
    thread: str | None = None
    session: str | None = None
    model: str | None = None
    of_codex: bool = False
    asks_for_turn: bool = False
    asks_for_usage: bool = False


class Exchange:
    """A request while its answer is under way: who asked and when, the answer's headers, and the turn that runs on it.

    On a websocket one turn follows the other; ``caller`` and ``requested_at`` are those of the latest.
    """

    __slots__ = ("answer", "caller", "requested_at", "turn")

    def __init__(self, caller: Caller, requested_at: float, turn: Turn | None = None) -> None:
        self.caller = caller
        self.requested_at = requested_at
        self.turn = turn
        self.answer: headers.Found | None = None

    @property
    def charged(self) -> str:
        """The id of the limit that the request was charged to."""
        return headers.charged_limit(self.answer) if self.answer else MAIN_LIMIT


class Callers:
    """Who stands behind requests, with a bounded memory: those of a client differ in little that matters here."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self._identities = Identities()
        # By Python's own keyed hash, as in `Identities`: what is hashed holds a token.
        self._known: dict[int, Caller | None] = {}
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
            if len(self._known) >= _REMEMBERED_CALLERS:
                self._known.clear()
            caller = self._known[key] = self._read(data, server_name, wanted)
        if caller is None:
            return None
        if not caller.asks_for_turn:
            return Exchange(caller, data.timestamp_start)
        is_warm_up = says_warm_up(wanted[-1] or b"") is not None
        started_at = data.timestamp_start
        return Exchange(caller, started_at, Turn(Transport.HTTP, started_at, caller, warm_up=is_warm_up))

    def _read(self, data: RequestData, server_name: str | None, wanted: Sequence[bytes | None]) -> Caller | None:
        named_host, authorization, account, thread_id, session_id, routing, _ = wanted
        hosts, address = self._hosts, data.host
        if not (hosts.is_gateway(address) if data.scheme == b"http" else hosts.watches(address, server_name)):
            return None
        if not (hosts.names(named_host) and hosts.names(data.authority)):
            return None
        identity = self._identities.identify(authorization, account)
        if identity is None:
            return None
        method, path = _decoded(data.method), _decoded(data.path)
        thread, session, model = _id(thread_id), _id(session_id), _routed_model(routing)
        of_codex = "/codex/" in path or thread is not None or session is not None
        return Caller(
            identity,
            thread,
            session,
            model,
            of_codex=of_codex,
            asks_for_turn=of_codex and asks_for_turn(method, path),
            asks_for_usage=_asks_for_usage(method, path),
        )


def _asks_for_usage(method: str, path: str) -> bool:
    return method == "GET" and path.partition("?")[0].endswith(_USAGE_PATHS)


def _places(names: tuple[bytes, ...]) -> Callable[[tuple[bytes | None, ...]], tuple[bytes | None, ...]]:
    """Return what picks the values of `_WANTED`; the place behind the last stands for "not there"."""
    lower = [name.lower() for name in names]
    return itemgetter(*(lower.index(name) if name in lower else len(names) for name in _WANTED))


def _id(value: bytes | None) -> str | None:
    return values.text(_decoded(value))


def _routed_model(routing: bytes | None) -> str | None:
    found = _ROUTING_MODEL.search(_decoded(routing)[:_LONGEST_ROUTING])
    return values.text(found[1]) if found else None


def _decoded(value: bytes | None) -> str:
    return (value or b"").decode("ascii", "replace")


def _host_name(given: str) -> str:
    name = _plain_name(given.strip())
    if not (_HOST.fullmatch(name) and len(name) <= 253):
        raise ValueError(f"{given!r} is no host name; give it without scheme, port and path, such as gateway.example")
    return name


def _plain_name(name: str) -> str:
    return name.lower().rstrip(".")


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True
