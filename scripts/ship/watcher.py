"""The ``codex-tap ship --watch`` process: ships what is new every minute or so, for as long as it runs.

Nothing waits for it. A team's database that cannot be reached is tried again, ever more rarely. Between two looks there
is no connection, because a server has room for fewer than a large team has machines.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from typing import TYPE_CHECKING

from scripts.support.database_watcher import DatabaseWatcher
from scripts.support.log_line import log
from store.errors import DatabaseError, MissingError, failure_text

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from scripts.ship.shipper import Shipper

MIN_SECONDS, MAX_SECONDS = 30.0, 60.0
"""The time between two looks is a random one between these, so that the machines of a team do not come at once."""

ASK_SECONDS = 600.0
"""Time after which the team's database is asked where it is, whether or not anything is new: so it knows that the
machine is there, and a clock that was set is noticed."""

MAX_BACKOFF = 10
"""While it fails, the time between two tries grows to this multiple."""


class Watch:
    """Ships what is new, look by look."""

    def __init__(self, database: Path, shipper: Shipper, *, log: Callable[[str], None] = log) -> None:
        """Prepare it.

        Args:
            database: the database, which need not be there yet.
            shipper: ships it.
            log: gets the lines of the log.
        """
        self._shipper, self._log = shipper, log
        self._watcher = DatabaseWatcher(database)
        self._seen: object = None
        self._asks_at = float("-inf")
        self._failures = 0
        self._problem: str | None = None
        self._left_out = 0

    def close(self) -> None:
        """Close the connections."""
        self._watcher.close()
        self._shipper.close()

    def look(self, stop: threading.Event) -> float:
        """Ship what is new until `stop` is set; return the multiple of the usual time to wait for the next look."""
        state, ticks = self._watcher.state(), time.monotonic()
        if ticks >= self._asks_at:
            self._shipper.close()
        elif state == self._seen and not self._failures:
            return 1.0
        try:
            while not stop.is_set():
                if not self._shipper.step():
                    break
            else:
                return 1.0  # what is left is new to the last look
        except MissingError:
            return 1.0  # the first turn creates it
        except (DatabaseError, sqlite3.Error) as error:
            self._failed(failure_text(error) if isinstance(error, sqlite3.Error) else str(error))
            return float(min(2**self._failures, MAX_BACKOFF))
        finally:
            self._shipper.disconnect()
        if ticks >= self._asks_at:
            self._asks_at = ticks + ASK_SECONDS
        # What was written since is new: the notes of the shipper's own as well, which a look finds to be nothing.
        self._seen = state
        self._worked()
        return 1.0

    def _failed(self, problem: str) -> None:
        self._failures += 1
        if problem != self._problem:
            self._problem = problem
            self._log(f"{problem}; trying again")

    def _worked(self) -> None:
        if self._failures:
            self._log("shipping again")
        self._failures, self._problem = 0, None
        if self._shipper.left_out > self._left_out:
            self._log(f"the team's database refused rows, which were left out: {self._shipper.left_out}")
            self._left_out = self._shipper.left_out


def watch(
    database: Path, shipper: Shipper, stop: threading.Event, *, interval: float | None = None, last_look: bool = False
) -> None:
    """Ship what is new until `stop` is set.

    Args:
        database: the database.
        shipper: ships it.
        stop: ends it.
        interval: seconds between two looks; None for a random time between `MIN_SECONDS` and `MAX_SECONDS`.
        last_look: look once more at the end, for what a proxy wrote while it was shutting down.
    """
    with contextlib.closing(Watch(database, shipper)) as watching:
        while not stop.is_set():
            usual = random.uniform(MIN_SECONDS, MAX_SECONDS) if interval is None else interval  # noqa: S311 (no secret)
            stop.wait(watching.look(stop) * usual)
        if last_look:
            stop.clear()
            watching.look(stop)
