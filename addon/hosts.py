"""The hosts whose connections are decrypted, and the check of every name of a flow."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from store.settings import WATCHED_HOSTS, checked_host, plain_host

if TYPE_CHECKING:
    from collections.abc import Iterable


_PORT = re.compile(r":[0-9]*$")


class Hosts:
    """The hosts whose connections are decrypted and whose figures are believed."""

    def __init__(self, more: Iterable[str] = ()) -> None:
        """Create the set of watched hosts.

        Args:
            more: Hosts in addition to Codex's own.

        Raises:
            ValueError: One of them is not a host name.

        """
        self._names = {*WATCHED_HOSTS, *map(checked_host, more)}
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
        return self._holds(address) and plain_host(address) not in WATCHED_HOSTS

    def _holds(self, name: str | None) -> bool:
        return name is not None and plain_host(name) in self._names


def decode_ascii(value: bytes | None) -> str:
    """Return the text of a header value; what is not ASCII is replaced."""
    return (value or b"").decode("ascii", "replace")


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True
