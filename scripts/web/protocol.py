"""HTTP/1.1 as uvicorn speaks it, with a bound on how long a request may take to arrive.

Uvicorn itself waits for ever for the rest of a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

ARRIVAL_SECONDS = 10.0
"""How long a request may take to arrive, its body included."""


class BoundedProtocol(H11Protocol):
    """A connection that is closed if a request does not arrive in time."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request."""
        super().connection_made(transport)
        self._watch_arrival()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a request, or stop waiting if it is complete."""
        super().data_received(data)
        if self._is_arriving():
            self._watch_arrival()
        else:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Wait for the rest of a request that began to arrive before the response was sent."""
        super().on_response_complete()
        if self._is_arriving() and self.conn.trailing_data[0]:
            self._watch_arrival()

    def _is_arriving(self) -> bool:
        return self.conn.their_state in {h11.IDLE, h11.SEND_BODY}

    def _watch_arrival(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(ARRIVAL_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self._is_arriving() and not self.transport.is_closing():
            self.transport.close()
