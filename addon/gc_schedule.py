"""Keeps the proxy's memory flat, however many connections come and go.

A connection that mitmproxy has closed is garbage in cycles, and with it go some hundred kilobytes of OpenSSL's.
Python's collector knows nothing of those: it goes by the number of objects, and lets a hundred such connections
gather. So what they leave is collected soon after; and what was there before the first of them, which never becomes
garbage, is kept out of all collections, which makes each a matter of milliseconds.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

DELAY_SECONDS = 5.0
"""How long the first closed connection waits for others, so that a crowd that comes and goes costs one collection."""


class GcSchedule:
    """When garbage is collected; there is one for the process."""

    def __init__(self, call_later: Callable[[float, Callable[[], None]], object]) -> None:
        """Take what calls a function so many seconds later, in the thread of the proxy."""
        self._call_later = call_later
        self._has_begun = self._is_due = False

    def begin(self) -> None:
        """Leave all that is there now out of what is looked through: once, before there is traffic."""
        if not self._has_begun:
            self._has_begun = True
            gc.collect()
            gc.freeze()

    def connection_closed(self) -> None:
        """Collect soon what a connection leaves behind."""
        if not self._is_due:
            self._is_due = True
            self._call_later(DELAY_SECONDS, self._collect)

    def _collect(self) -> None:
        self._is_due = False
        gc.collect()
