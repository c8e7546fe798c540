"""The queue between the hooks and the disk, and its one writer.

`Recorder.put` never blocks and never touches the disk. One thread owns the one writing connection, takes what has
gathered, and writes it in one transaction. What cannot be written now (a lock, a full disk) is held and tried again;
when too much is held, the newest reading of each limit is kept and the rest is counted as dropped. What cannot be
written by the end of a stop is put beside the database (`store.record.spill`), and taken up by the next start. A
database that turns out to be damaged is set aside, and a new one begun.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from store.database import open_writer
from store.errors import DamagedError, DatabaseError, FullError, LockedError, is_damage, is_locked
from store.files import quarantine, spill_files
from store.models import Limit, Turn
from store.record import spill
from store.record.statements import Loss
from store.record.writer import SnapshotWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from store.errors import Inode
    from store.record.writer import Entry

logger = logging.getLogger(__name__)

BATCH_SECONDS = 0.06
"""How long a first snapshot waits for others to share its transaction: a kill loses no more than this and a commit."""

BATCH = 1_000
"""The most snapshots of one transaction, so that other writers get their turn."""

RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0)
"""Pauses between tries at a database that cannot be written; the last one repeats."""

LOCKED_QUIETLY = 2
"""How many tries may find the database locked before it is said: other proxies have their turns, too."""

MAX_HELD = 20_000
"""How many snapshots are held for a database that cannot be written, before the newest of each limit are chosen."""

MAX_TURNS_HELD = 5_000
"""How many turns are kept when that is done."""

CLOSE_SECONDS = 5.0
"""How long a stop waits for a database that cannot be written; what remains then waits in a file for the next start."""

PRUNE_SECONDS = 3_600.0
"""How often it is looked for what is older than is to be kept."""

PRUNE_BATCH = 500
"""How many rows go at once: a little after each write, so that the traffic's readings never wait for it."""

MAX_QUARANTINED = 3
"""How many damaged databases one run sets aside: a disk that breaks every file must not be filled with them."""

# What is wrong with these is the snapshot, not the database.
_OF_THE_DATA = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)


class Recorder:
    """Takes snapshots from the hooks and brings each of them to the disk.

    It is started once and closed once; a new one can be started on the same file afterwards. ``keep_days`` can be set
    at any time: what is older is deleted as new readings come in, 0 keeps everything.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue: queue.SimpleQueue[Entry | Callable[[], Entry | None] | None] = queue.SimpleQueue()
        self._held: list[Entry] = []
        self._spills: list[Path] = []
        self._losses: Counter[str] = Counter()
        self._ledger: SnapshotWriter | None = None
        self._failures = 0
        self._set_aside = 0
        self._stop = threading.Event()
        self._deadline = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="codex-tap recorder", daemon=True)
        self._next_prune = 0.0
        self.dropped = 0
        self.keep_days = 0

    def start(self) -> None:
        """Make sure that the database can be used, and begin to write.

        Raises:
            DatabaseError: It cannot be used. One that is merely locked, or lies on a full disk, is not an error.

        """
        try:
            self._try_out()
        except (LockedError, FullError) as error:
            logger.info("codex-tap: %s; readings are held until it can be written", error)
        self._thread.start()

    def put(self, made: Entry | Callable[[], Entry | None]) -> None:
        """Take in a snapshot or a turn, or what makes one or none; returns at once, whatever the disk does.

        What makes one is called by the writer, many in a row: that costs far less than each in the middle of traffic.
        After the close there is no writer, and nothing to wait for: what still comes in then is written here and now.
        """
        self._queue.put(made)
        if self._closed:
            self._run()

    def close(self, timeout: float = CLOSE_SECONDS) -> bool:
        """Write all that was taken in and end the writer; tell whether all is on the disk.

        A database that cannot be written is waited for no longer than `timeout` seconds. Closing twice is harmless.
        """
        self._deadline = time.monotonic() + timeout
        self._stop.set()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout + 1)
        self._closed = not self._thread.is_alive()
        return self._closed and not self._held

    def _try_out(self) -> None:
        try:
            open_writer(self._path).close()
        except DamagedError as error:
            self._begin_anew(str(error.__cause__), error.inode)
            open_writer(self._path).close()

    def _run(self) -> None:
        self._spills = spill_files(self._path)
        while not self._is_finished():
            self._gather()
            if self._has_work():
                self._write_held()
        if self._held or self._losses:
            self._spill_held()
        self._close_ledger()

    def _has_work(self) -> bool:
        return bool(self._held or self._spills or self._losses)

    def _is_finished(self) -> bool:
        if not self._stop.is_set() or not self._queue.empty():
            return False
        return not (self._held or self._losses) or time.monotonic() >= self._deadline

    def _gather(self) -> None:
        """Wait for a first snapshot, let others join it, and take what is there."""
        if not self._has_work():
            first = self._queue.get()
            # What makes a snapshot is not called in the middle of the answer that it came from.
            self._stop.wait(BATCH_SECONDS)
            self._take(first)
        while not self._queue.empty() and (self._failures or len(self._held) < BATCH):
            self._take(self._queue.get())

    def _take(self, made: Entry | Callable[[], Entry | None] | None) -> None:
        try:
            entry = made() if callable(made) else made
        except (Exception, SystemExit) as error:  # noqa: BLE001 (one that cannot be made must not hold up the others)
            self._drop(1, f"could not be read ({type(error).__name__})")
            return
        if entry is not None:
            self._held.append(entry)

    def _write_held(self) -> None:
        try:
            ledger = self._open_ledger()
            self._take_up_spills(ledger)
            self._write(ledger, min(len(self._held), BATCH))
            self._prune(ledger)
        except Exception as error:  # noqa: BLE001 (whatever it is: the writer must not end of it)
            self._failed(error)
        else:
            if self._failures > LOCKED_QUIETLY:
                _log(logging.INFO, "the database can be written again")
            if self._failures:
                # Another proxy may have given up waiting for it.
                self._spills = spill_files(self._path)
            self._failures = 0

    def _write(self, ledger: SnapshotWriter, count: int) -> None:
        """Write the first of what is held, and let go of what is written."""
        losses = self._unsaved_losses()
        try:
            ledger.write(self._held[:count], losses)
        except (DatabaseError, OSError):
            raise
        except Exception as error:
            if isinstance(error, sqlite3.Error) and not isinstance(error, _OF_THE_DATA):
                raise
            # One that cannot be written must not hold up the others.
            if count > 1:
                for _ in range(count):
                    self._write(ledger, 1)
                return
            self._drop(1, f"could not be written ({type(error).__name__})")
        else:
            self._losses.clear()
        del self._held[:count]

    def _prune(self, ledger: SnapshotWriter) -> None:
        if self.keep_days and not self._stop.is_set() and time.monotonic() >= self._next_prune:
            gone = ledger.prune(time.time() - self.keep_days * 86_400, PRUNE_BATCH)
            self._next_prune = 0.0 if gone else time.monotonic() + PRUNE_SECONDS

    def _take_up_spills(self, ledger: SnapshotWriter) -> None:
        """Write what earlier stops left in files."""
        while self._spills:
            path = self._spills[0]
            try:
                found = spill.read(path)
            except FileNotFoundError:
                pass
            except OSError as error:
                _log(logging.WARNING, "readings of an earlier stop cannot be taken up: %s", error)
            else:
                self._take_up(ledger, path, found)
            del self._spills[0]

    def _take_up(self, ledger: SnapshotWriter, path: Path, found: spill.Spill) -> None:
        now = time.time()
        losses = list(found.losses)
        if found.unreadable:
            losses.append(Loss(now, found.unreadable, "could not be read again"))
        if ledger.take_up(path.name, now, found.entries, losses):
            _log(logging.INFO, "%d readings of an earlier stop were taken up", len(found.entries))
        spill.remove(path)

    def _open_ledger(self) -> SnapshotWriter:
        if self._ledger and not self._ledger.is_current():
            _log(logging.WARNING, "%s was moved away while in use; a new one is begun", self._path)
            self._close_ledger()
        if not self._ledger:
            self._ledger = SnapshotWriter(self._path)
        return self._ledger

    def _failed(self, error: Exception) -> None:
        """Hold what is here, say so once, and pause before the next try."""
        try:
            if self._is_replaced(error):
                return
        except DatabaseError as further:
            error = further
        locked = isinstance(error, LockedError) or (isinstance(error, sqlite3.Error) and is_locked(error))
        if not locked:
            self._close_ledger()
            self._failures = max(self._failures, LOCKED_QUIETLY)
        if self._failures == LOCKED_QUIETLY:
            told = error if isinstance(error, (DatabaseError, sqlite3.Error, OSError)) else type(error).__name__
            _log(logging.WARNING, "readings are held in memory, the database cannot be written: %s", told)
        pause = RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS) - 1)]
        self._failures += 1
        if len(self._held) > MAX_HELD:
            self._condense()
        if self._stop.is_set():
            time.sleep(RETRY_SECONDS[0])
        else:
            self._stop.wait(pause)

    def _is_replaced(self, error: Exception) -> bool:
        """Begin a new database where an error says that this one is damaged; tell whether it did."""
        if self._set_aside >= MAX_QUARANTINED:
            return False
        if isinstance(error, DamagedError):
            self._begin_anew(str(error.__cause__), error.inode)
            return True
        if self._ledger and isinstance(error, sqlite3.Error) and is_damage(error):
            ledger, self._ledger = self._ledger, None
            ledger.abandon()
            self._begin_anew(str(error), ledger.inode)
            return True
        return False

    def _begin_anew(self, why: str, damaged: Inode | None) -> None:
        """Set a damaged database aside, unless another proxy has done so.

        Raises:
            DatabaseError: It cannot be renamed.

        """
        self._set_aside += 1
        aside = quarantine(self._path, damaged)
        if aside:
            _log(
                logging.WARNING,
                "%s is damaged (%s): it was set aside as %s, and a new one is begun",
                self._path,
                why,
                aside.name,
            )

    def _condense(self) -> None:
        """Keep the newest snapshot of each limit of what is held, and the newest turns."""
        seen: set[tuple[str, str, str]] = set()
        turns = 0
        kept: list[Entry] = []
        for entry in reversed(self._held):
            if isinstance(entry, Turn):
                turns += 1
                if turns <= MAX_TURNS_HELD:
                    kept.append(entry)
                continue
            who = entry.identity
            limits = {(who.account_id, who.user_id, limit.limit_id) for limit in entry.reading.limits or (Limit(),)}
            if not limits <= seen:
                seen |= limits
                kept.append(entry)
        dropped = len(self._held) - len(kept)
        self._held = kept[::-1]
        if dropped:
            self._drop(dropped, "could not be written for too long")

    def _spill_held(self) -> None:
        """Leave what is still held in files for the next start; where there is no room for all, the newest of it."""
        count = len(self._held)
        try:
            self._spill_all()
        except OSError:
            self._condense()
            count = len(self._held)
            try:
                self._spill_all()
            except OSError as error:
                self._drop(len(self._held), f"could be written neither to the database nor beside it ({error})")
        written = count - len(self._held)
        if written:
            _log(logging.WARNING, "readings wait beside %s for the next start: %d", self._path, written)

    def _spill_all(self) -> None:
        while self._held or self._losses:
            spill.write(self._path, self._held[:BATCH], self._unsaved_losses())
            self._losses.clear()
            del self._held[:BATCH]

    def _unsaved_losses(self) -> list[Loss]:
        now = time.time()
        return [Loss(now, count, reason) for reason, count in self._losses.items()]

    def _drop(self, count: int, why: str) -> None:
        if not self.dropped:
            _log(logging.WARNING, "readings were dropped: %d that %s", count, why)
        self.dropped += count
        self._losses[why] += count

    def _close_ledger(self) -> None:
        if self._ledger:
            self._ledger.close()
            self._ledger = None


def _log(level: int, message: str, *arguments: object) -> None:
    # mitmproxy's log ends a thread for which it cannot print, and the writer has to go on.
    with contextlib.suppress(SystemExit):
        logger.log(level, "codex-tap: " + message, *arguments)  # noqa: G003 (one prefix for all)
