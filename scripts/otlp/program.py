"""The ``codex-tap otlp`` process: sends metrics at an interval, independent of the proxy."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Self

from scripts.otlp.delivery import Delivery
from scripts.otlp.instruments import Instruments
from scripts.support.exclusive import exclusive_lock
from scripts.support.log_line import log
from scripts.support.place import state_path
from store.errors import DatabaseError, failure_text
from store.files import otlp_lock_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from scripts.otlp.settings import Settings
    from scripts.support.place import Place

_FINISH_SECONDS = 3.0
"""How long a shutdown waits for the last metrics to be sent."""

_CLOSE_SECONDS = 0.5

_SIGNAL_SECONDS = 1.0
"""The longest wait of the main thread: on Windows, signals are handled between two waits."""


class Export:
    """Reads the database and sends its metrics, step by step."""

    def __init__(self, database: Place, settings: Settings, log: Callable[[str], None] = log) -> None:
        """Start to count turns.

        Args:
            database: the database; a file need not exist yet.
            settings: where the metrics go.
            log: gets the lines of the log; a failure that lasts is one line.
        """
        self._settings, self._log = settings, log
        self._delivery = Delivery(settings)
        self._instruments = Instruments(database, self._delivery.reader, time.time())
        self._failing: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._delivery.close()
        self._instruments.close()

    def read(self) -> bool:
        """Read the database; return False if it has nothing to send yet.

        Raises:
            DatabaseError: it cannot be read.
            sqlite3.Error: likewise.
        """
        return self._instruments.update(time.time())

    def send(self) -> str | None:
        """Send the metrics of the last reading; return why that failed, or None."""
        problem = self._delivery.send()
        return f"metrics cannot be sent to {self._settings.endpoint}: {problem}" if problem else None

    def run(self, stop: threading.Event) -> None:
        """Send at each interval until `stop` is set, and once more then."""
        while True:
            began = time.monotonic()
            self._step()
            if stop.wait(max(0.0, began + self._settings.interval_seconds - time.monotonic())):
                break
        self._step()

    def _step(self) -> None:
        try:
            self.read()
        except (DatabaseError, sqlite3.Error) as error:
            reason = failure_text(error) if isinstance(error, sqlite3.Error) else error
            self._note("database", f"the database cannot be read: {reason}")
        else:
            self._note("database", None)
        problem = self.send()
        self._note("delivery", problem and f"{problem}; codex-tap keeps trying", "metrics are sent again")

    def _note(self, about: str, failure: str | None, recovery: str | None = None) -> None:
        """Log a failure when it begins, and its end."""
        is_new, is_over = failure and about not in self._failing, not failure and about in self._failing
        if failure and is_new:
            self._failing.add(about)
            self._log(failure)
        elif is_over:
            self._failing.discard(about)
            if recovery:
                self._log(recovery)


def sender_lock(database: Place) -> AbstractContextManager[None]:
    """Return the lock of a database's sender: two of them would send every turn twice."""
    running = f"another codex-tap already sends the metrics of {database}"
    return exclusive_lock(otlp_lock_path(state_path(database)), running)


def run(database: Place, settings: Settings, stop: threading.Event) -> None:
    """Send metrics until `stop` is set or Ctrl-C; the last ones are given a few seconds."""
    with Export(database, settings) as export:
        # A thread of its own, because a collector that does not respond holds up what sends.
        sending = threading.Thread(target=export.run, args=(stop,), name="metrics", daemon=True)
        sending.start()
        with contextlib.suppress(KeyboardInterrupt):
            while sending.is_alive() and not stop.wait(_SIGNAL_SECONDS):
                pass
        stop.set()
        with contextlib.suppress(KeyboardInterrupt):
            sending.join(_FINISH_SECONDS)
    sending.join(_CLOSE_SECONDS)  # closed, it gives up what is left to try
