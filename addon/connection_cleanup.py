"""Keeps the proxy's memory flat, however many connections come and go, without a pause for the open ones.

A connection that mitmproxy has closed is garbage in cycles, and holds some hundred kilobytes of OpenSSL's memory. The
collector of Python goes by the number of objects and knows nothing of that memory: it lets a hundred such connections
gather. A collection of our own would free it, but takes the longer the more connections are open. So what holds
OpenSSL's memory is taken out of the closed connection's layers; the small rest waits for Python's own collections.

The objects from before the first connection never become garbage: they are excluded from all collections.
"""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

from mitmproxy.connection import ConnectionState
from mitmproxy.proxy.layers.tls import TLSLayer
from mitmproxy.tls import TlsData

if TYPE_CHECKING:
    from collections.abc import Callable

    from mitmproxy.connection import Client
    from mitmproxy.proxy.context import Context

DELAY_SECONDS = 0.5
"""How long after a client's disconnection its TLS is freed; mitmproxy closes the connections to servers after it."""


class ConnectionCleanup:
    """Frees the TLS objects of closed connections. One instance per process."""

    def __init__(self, call_later: Callable[[float, Callable[[], None]], object]) -> None:
        """Create it.

        Args:
            call_later: Calls a function after so many seconds, in the thread of the proxy.

        """
        self._call_later = call_later
        self._has_begun = False
        # Weak references: what a connection leaves behind must not live longer because of this.
        self._started: dict[str, list[weakref.ref[TlsData] | weakref.ref[Context]]] = {}

    def begin(self) -> None:
        """Exclude all present objects from collections: once, before there is traffic."""
        if not self._has_begun:
            self._has_begun = True
            gc.collect()
            gc.freeze()

    def tls_started(self, data: TlsData) -> None:
        """Remember a TLS connection with a client, or with a server on its behalf."""
        self._started.setdefault(data.context.client.id, []).extend((weakref.ref(data), weakref.ref(data.context)))

    def client_disconnected(self, client: Client) -> None:
        """Schedule the end of the client's TLS, and of that of the servers that it was connected to."""
        started = self._started.pop(client.id, None)
        if started:
            self._call_later(DELAY_SECONDS, lambda: _free([reference() for reference in started]))


def _free(holders: list[TlsData | Context | None]) -> None:
    """Free the TLS of closed connections; one that is still open, against all expectation, is left to Python."""
    for holder in holders:
        if isinstance(holder, TlsData):
            if holder.conn.state is ConnectionState.CLOSED:
                holder.ssl_conn = None
        elif holder:
            for layer in holder.layers:
                if isinstance(layer, TLSLayer) and layer.conn.state is ConnectionState.CLOSED:
                    layer.tls = None  # type: ignore[assignment]  # as it is before the connection
