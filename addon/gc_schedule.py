"""Keeps the proxy's memory flat, however many connections come and go.

A connection that mitmproxy has closed is garbage in cycles, and holds some hundred kilobytes of OpenSSL's memory. The
collector of Python goes by the number of objects and knows nothing of that memory: it lets a hundred such connections
gather. So a collection runs soon after a connection was closed. The objects from before the first connection never
become garbage: they are excluded from all collections, so that each takes milliseconds.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

DELAY_SECONDS = 5.0
"""How long the first closed connection waits for others, so that many at once cost one collection."""


class GcSchedule:
    """Schedules garbage collections. One instance per process."""

    def __init__(self, call_later: Callable[[float, Callable[[], None]], object]) -> None:
        """Create the schedule.

        Args:
            call_later: Calls a function after so many seconds, in the thread of the proxy.

        """
        self._call_later = call_later
        self._has_begun = self._is_due = False

    def begin(self) -> None:
        """Exclude all present objects from collections: once, before there is traffic."""
        if not self._has_begun:
            self._has_begun = True
            gc.collect()
            gc.freeze()

    def connection_closed(self) -> None:
        """Schedule a collection of a closed connection."""
        if not self._is_due:
            self._is_due = True
            self._call_later(DELAY_SECONDS, self._collect)

    def _collect(self) -> None:
        self._is_due = False
        gc.collect()
