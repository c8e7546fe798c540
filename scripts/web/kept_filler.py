"""Keeps what is expensive to make again (`store.kept`) while the server runs.

That is done in a process of its own: a long history takes a minute the first time, and responses must not wait for it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from scripts.support.place import own_file
from store.kept.filling import Wish, fill, is_long
from store.queries.kept_kinds import KINDS

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.support.place import Place

_SECONDS = 3_600.0
"""Time between two fillings: meanwhile a question asks the rows of some more hours."""

_POLL_SECONDS = 0.2
_NICENESS = 10


class KeptFiller:
    """Fills what is kept of a database now and then; it is started and stopped once."""

    def __init__(self, place: Place) -> None:
        """Create the filler.

        Args:
            place: the database, a file that need not exist yet; of a team's database nothing is kept.
        """
        self._stopping = threading.Event()
        database = own_file(place)
        self._thread = (
            None
            if database is None
            else threading.Thread(target=self._run, args=(database,), name="kept answers", daemon=True)
        )

    def start(self) -> None:
        """Start the first filling, and the thread that waits for the next ones."""
        if self._thread is not None:
            self._thread.start()

    def stop(self) -> None:
        """End a filling that is under way; what it has stored stays."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, database: Path) -> None:
        while not self._stopping.is_set():
            if is_long(database):
                self._fill(database)
            self._stopping.wait(_SECONDS)

    def _fill(self, database: Path) -> None:
        # Not a fork, which would copy the server's threads in the middle of their work.
        process = multiprocessing.get_context("spawn").Process(target=fill_all, args=(database,), daemon=True)
        process.start()
        while process.is_alive() and not self._stopping.is_set():
            process.join(_POLL_SECONDS)
        process.terminate()
        process.join()


def fill_all(database: Path) -> None:
    """Fill what is kept of a database, of all kinds and with a low priority; Ctrl-C is left to the server."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        with contextlib.suppress(OSError):
            os.nice(_NICENESS)
    fill(database, [Wish(kind) for kind in KINDS], time.time())
