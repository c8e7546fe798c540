"""The hosts whose connections are decrypted, how further ones are learned, and the check of every name of a flow.

A response to chatgpt.com's ``accounts/check`` can lead Codex to another host of the same backend.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from store import coerce
from store.models import SightingKind
from store.settings import MAX_LEARNED_HOSTS, WATCHED_HOSTS, checked_host, may_be_learned, plain_host

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TEACHER = "chatgpt.com"
"""The host whose responses are believed about further hosts."""

UNREADABLE_ORIGIN = "not an origin"
"""The name under which a backend's origin is counted that is not scheme, host and port."""

_ORIGIN_FIELD = b"workspace_backend_origin"
_NO_ORIGIN = "NO_CONSTRAINT"
_MAX_ACCOUNTS = 50
_MAX_ORIGIN_LENGTH = 300

_PORT = re.compile(r":[0-9]*$")
_ORIGIN = re.compile(r"(https?)://(?:[^/@]*@)?([^/?#:@]+)(:[0-9]{1,5})?(/[^@]*)?", re.ASCII | re.IGNORECASE)


class Hosts:
    """The hosts whose connections are decrypted and whose figures are believed."""

    def __init__(self, more: Iterable[str] = ()) -> None:
        """Create the set of watched hosts.

        Args:
            more: Hosts in addition to Codex's own.

        Raises:
            ValueError: One of them is not a host name.

        """
        self._gateways = set(map(checked_host, more)) - set(WATCHED_HOSTS)
        self._learned: set[str] = set()
        self._names = {*WATCHED_HOSTS, *self._gateways}
        self.watches = lru_cache(maxsize=1024)(self._watches)

    def __str__(self) -> str:
        return ", ".join(sorted(self._names, key=lambda name: (name not in WATCHED_HOSTS, name)))

    def _watches(self, address: str | None, server_name: str | None) -> bool:
        """Return True if a connection leads to a watched host.

        `address` is the client's destination, `server_name` the name in its TLS handshake. A client that looked up
        the address itself asks for a bare IP address; there the name in the handshake, which the server's certificate
        is checked against, decides alone.
        """
        if address is None or _is_ip(address):
            return self._holds(server_name) or (address is not None and self._holds(address))
        return self._holds(address) and (server_name is None or self._holds(server_name))

    def names(self, authority: bytes | None) -> bool:
        """Return True if an authority, as in a ``Host`` header, names a watched host, or if there is none."""
        return not authority or self._holds(_PORT.sub("", decode_ascii(authority)))

    def is_gateway(self, address: str) -> bool:
        """Return True if a host is watched in addition to Codex's own, which allows plain HTTP.

        Without TLS there is no proof that a host is one of Codex's own.
        """
        return plain_host(address) in self._gateways

    @property
    def learned(self) -> frozenset[str]:
        """The hosts that were learned."""
        return frozenset(self._learned)

    def learn(self, name: str) -> bool:
        """Watch a host from now on if it is one of Codex's backend; return True if it is watched for that reason."""
        if name not in self._learned:
            if name in self._names or not may_be_learned(name) or len(self._learned) >= MAX_LEARNED_HOSTS:
                return False
            self._learned.add(name)
            self._names.add(name)
            self.watches.cache_clear()
        return True

    def sight(self, origin: str) -> tuple[SightingKind, str] | None:
        """Learn the host of a backend's origin; return what was seen, or None for a host that is watched anyway.

        Only an https origin on the default port is learned. What is returned has no user, password or path.
        """
        found = _ORIGIN.fullmatch(origin) if len(origin) <= _MAX_ORIGIN_LENGTH else None
        host = plain_host(found[2]) if found else ""
        if found is None or not _is_host_name(host):
            return SightingKind.OTHER_HOST, UNREADABLE_ORIGIN
        scheme = found[1].lower()
        if scheme == "https" and host in self._names:
            return (SightingKind.HOST, host) if host in self._learned else None
        if origin.lower().rstrip("/") != f"https://{host}":
            return SightingKind.OTHER_HOST, f"{scheme}://{host}{found[3] or ''}"[:200]
        return SightingKind.HOST if self.learn(host) else SightingKind.OTHER_HOST, host

    def _holds(self, name: str | None) -> bool:
        return name is not None and plain_host(name) in self._names


def _is_host_name(name: str) -> bool:
    try:
        return len(name) <= 200 and checked_host(name) == name
    except ValueError:
        return False


def is_teacher(address: str, server_name: str | None, *authorities: bytes | None) -> bool:
    """Return True if each name of a connection and request that there is names chatgpt.com, and no other host."""
    names = [server_name] if _is_ip(address) else [address, server_name or TEACHER]
    names += [_PORT.sub("", decode_ascii(authority)) for authority in authorities if authority]
    return all(name is not None and plain_host(name) == TEACHER for name in names)


def backend_origins(body: bytes) -> Iterator[str]:
    """Yield each origin that the body of an ``accounts/check`` response names for an account's backend."""
    if _ORIGIN_FIELD not in body:
        return
    accounts = (coerce.json_object(body) or {}).get("accounts")
    entries = list(accounts.values()) if isinstance(accounts, dict) else accounts
    found = entries[:_MAX_ACCOUNTS] if isinstance(entries, list) else []
    origins = [each.get(_ORIGIN_FIELD.decode()) for each in found if isinstance(each, dict)]
    yield from dict.fromkeys(each for each in origins if isinstance(each, str) and each and each != _NO_ORIGIN)


def decode_ascii(value: bytes | None) -> str:
    """Return the text of a header value; what is not ASCII is replaced."""
    return (value or b"").decode("ascii", "replace")


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True
