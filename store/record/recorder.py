"""The queue between the hooks and the disk, and its one writer thread.

`Recorder.put` never blocks and never touches the disk. The writer thread owns the one writing connection, takes what
has gathered, parses it, and writes it in one transaction. What cannot be written now (a lock, a full disk) is held and
tried again; when too much is held, the newest snapshot of each limit is chosen and the rest is counted as dropped. What
cannot be written by the end of a stop is put beside the database (`store.record.spill`), and imported by the next
start. A damaged database is set aside, and a new one is created.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from store.database import open_writer
from store.errors import DamagedError, DatabaseError, FullError, LockedError, error_place, is_damage, is_locked
from store.files import quarantine, spill_files
from store.models import Limit, Sighting, Snapshot, Turn
from store.record import spill
from store.record.statements import Loss
from store.record.writer import SnapshotWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from store.errors import Inode
    from store.record.writer import Entry

logger = logging.getLogger(__name__)

BATCH_SECONDS = 0.06
"""How long a first snapshot waits for others to share its transaction: a kill loses no more than this and a commit."""

BATCH = 1_000
"""Entries of one transaction at most, so that other writers get their turn."""

RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0)
"""Pauses between tries at a database that cannot be written; the last one repeats."""

LOCKED_QUIETLY = 2
"""Tries that may find the database locked before it is logged: other proxies have their turns, too."""

MAX_HELD = 20_000
"""Entries held for a database that cannot be written, before the newest of each limit are chosen."""

MAX_TURNS_HELD = 5_000
"""Turns that remain when that is done."""

CLOSE_SECONDS = 5.0
"""How long a stop waits for a database that cannot be written; what remains then waits in a file for the next start."""

PRUNE_SECONDS = 3_600.0
"""Time between two searches for rows that are old enough to be deleted."""

PRUNE_BATCH = 500
"""Rows deleted at once: a few after each write, so that snapshots of the traffic never wait for it."""

MAX_QUARANTINED = 3
"""Damaged databases that one run sets aside: a disk that breaks every file must not be filled with them."""

# The fault of these is in the entry, not in the database.
_DATA_ERRORS = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)


Observed = TypeVar("Observed")
"""What is put into a recorder; its `parse` function makes an entry of it, or None."""


class Recorder(Generic[Observed]):
    """Takes observations from the hooks and brings the entry of each to the disk.

    A recorder is started once and closed once; a new one can be started on the same file afterwards. ``keep_days`` can
    be set at any time: older entries are deleted as new ones come in, 0 keeps everything.
    """

    @overload
    def __init__(self: Recorder[Entry], path: Path) -> None: ...

    @overload
    def __init__(self, path: Path, parse: Callable[[Observed], Entry | None]) -> None: ...

    def __init__(self, path: Path, parse: Callable[[Any], Entry | None] = lambda entry: entry) -> None:
        """Create the recorder; `start` begins to write.

        Args:
            path: The database.
            parse: Pure function that makes an entry of an observation, or None; called on the writer thread. By
                default the observations are entries themselves.

        """
        self._path = path
        self._parse = parse
        self._queue: queue.SimpleQueue[Observed | None] = queue.SimpleQueue()
        self._held: list[Entry] = []
        self._spills: list[Path] = []
        self._losses: Counter[str] = Counter()
        self._logged: set[str] = set()
        self._writer: SnapshotWriter | None = None
        self._failures = 0
        self._quarantined = 0
        self._stop = threading.Event()
        self._deadline = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="codex-tap recorder", daemon=True)
        self._next_prune = 0.0
        self.dropped = 0
        self.keep_days = 0

    def start(self) -> None:
        """Check that the database can be used, and start the writer thread.

        Raises:
            DatabaseError: The database cannot be used. A lock or a full disk is not an error.

        """
        try:
            self._probe()
        except (LockedError, FullError) as error:
            logger.info("codex-tap: %s; keeping changes in memory until it can be written", error)
        self._thread.start()

    def put(self, observed: Observed) -> None:
        """Queue an observation; never blocks.

        Observations are parsed in batches on the writer thread, off the proxy's event loop. After `close` they are
        written synchronously.
        """
        self._queue.put(observed)
        if self._closed:
            self._run()

    def close(self, timeout: float = CLOSE_SECONDS) -> bool:
        """Write everything queued and end the writer thread; return True if all of it is on the disk.

        A database that cannot be written is waited for no longer than `timeout` seconds. Closing twice is harmless.
        """
        self._deadline = time.monotonic() + timeout
        self._stop.set()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout + 1)
        self._closed = not self._thread.is_alive()
        return self._closed and not self._held

    def _probe(self) -> None:
        try:
            open_writer(self._path).close()
        except DamagedError as error:
            self._replace_database(str(error.__cause__), error.inode)
            open_writer(self._path).close()

    def _run(self) -> None:
        self._spills = spill_files(self._path)
        while not self._is_finished():
            self._collect_batch()
            if self._has_work():
                self._write_held()
        if self._held or self._losses:
            self._spill_held()
        self._close_writer()

    def _has_work(self) -> bool:
        return bool(self._held or self._spills or self._losses)

    def _is_finished(self) -> bool:
        if not self._stop.is_set() or not self._queue.empty():
            return False
        return not (self._held or self._losses) or time.monotonic() >= self._deadline

    def _collect_batch(self) -> None:
        """Wait for a first observation, let others join it, and parse what is there."""
        if not self._has_work():
            first = self._queue.get()
            # Parsing would otherwise fall into the middle of the response that the observation is from.
            self._stop.wait(BATCH_SECONDS)
            self._take(first)
        while not self._queue.empty() and (self._failures or len(self._held) < BATCH):
            self._take(self._queue.get())

    def _take(self, observed: Observed | None) -> None:
        if observed is None:
            return
        try:
            entry = self._parse(observed)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (one that cannot be parsed must not hold up the others)
            self._drop(1, f"could not be read ({type(error).__name__})", f" at {error_place(error)}")
            return
        if entry is None:
            return
        if isinstance(entry, Snapshot) and entry.reading.left_out:
            self._log_once(f"a response named too many limits; {entry.reading.left_out} were left out", "left out")
        self._held.append(entry)

    def _write_held(self) -> None:
        try:
            writer = self._open_writer()
            self._import_spills(writer)
            self._write(writer, min(len(self._held), BATCH))
            self._prune(writer)
        except Exception as error:  # noqa: BLE001 (no error may end the writer thread)
            self._failed(error)
        else:
            if self._failures > LOCKED_QUIETLY:
                _log(logging.INFO, "the database can be written again")
            if self._failures:
                # Another proxy may have given up waiting for the database.
                self._spills = spill_files(self._path)
            self._failures = 0

    def _write(self, writer: SnapshotWriter, count: int) -> None:
        """Write the first `count` held entries, and release them."""
        losses = self._unsaved_losses()
        try:
            writer.write(self._held[:count], losses)
        except (DatabaseError, OSError):
            raise
        except Exception as error:
            if isinstance(error, sqlite3.Error) and not isinstance(error, _DATA_ERRORS):
                raise
            # An entry that cannot be written must not hold up the others.
            if count > 1:
                for _ in range(count):
                    self._write(writer, 1)
                return
            self._drop(1, f"could not be written ({type(error).__name__})")
        else:
            self._losses.clear()
        del self._held[:count]

    def _prune(self, writer: SnapshotWriter) -> None:
        if self.keep_days and not self._stop.is_set() and time.monotonic() >= self._next_prune:
            deleted = writer.prune(time.time() - self.keep_days * 86_400, PRUNE_BATCH)
            self._next_prune = 0.0 if deleted else time.monotonic() + PRUNE_SECONDS

    def _import_spills(self, writer: SnapshotWriter) -> None:
        """Import the files that earlier stops left."""
        while self._spills:
            path = self._spills[0]
            try:
                found = spill.read(path)
            except FileNotFoundError:
                pass
            except OSError as error:
                _log(logging.WARNING, "cannot import changes of an earlier stop: %s", error)
            else:
                self._import_spill(writer, path, found)
            del self._spills[0]

    def _import_spill(self, writer: SnapshotWriter, path: Path, found: spill.Spill) -> None:
        now, entries, unreadable = time.time(), found.entries, found.unreadable
        try:
            is_new = writer.import_spill(path.name, now, entries, _with_unreadable(found.losses, unreadable, now))
        except (DatabaseError, OSError):
            raise
        except Exception as error:
            if isinstance(error, sqlite3.Error) and not isinstance(error, _DATA_ERRORS):
                raise
            entries = [entry for entry in entries if writer.can_write(entry)]
            unreadable += len(found.entries) - len(entries)
            is_new = writer.import_spill(path.name, now, entries, _with_unreadable(found.losses, unreadable, now))
        if is_new:
            _log(logging.INFO, "imported %d changes of an earlier stop", len(entries))
        spill.remove(path)

    def _open_writer(self) -> SnapshotWriter:
        if self._writer and not self._writer.is_current():
            _log(logging.WARNING, "%s was moved while open; creating a new database", self._path)
            self._close_writer()
        if not self._writer:
            self._writer = SnapshotWriter(self._path)
        return self._writer

    def _failed(self, error: Exception) -> None:
        """Hold the entries, log it once, and pause before the next try."""
        try:
            if self._is_replaced(error):
                return
        except DatabaseError as further:
            error = further
        locked = isinstance(error, LockedError) or (isinstance(error, sqlite3.Error) and is_locked(error))
        if not locked:
            self._close_writer()
            self._failures = max(self._failures, LOCKED_QUIETLY)
        if self._failures == LOCKED_QUIETLY:
            reason = error if isinstance(error, (DatabaseError, sqlite3.Error, OSError)) else type(error).__name__
            _log(logging.WARNING, "cannot write to the database (%s); keeping changes in memory", reason)
        pause = RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS) - 1)]
        self._failures += 1
        if len(self._held) > MAX_HELD:
            self._shed_load()
        if self._stop.is_set():
            time.sleep(RETRY_SECONDS[0])
        else:
            self._stop.wait(pause)

    def _is_replaced(self, error: Exception) -> bool:
        """Replace the database if an error says that it is damaged; return True if it was replaced."""
        if self._quarantined >= MAX_QUARANTINED:
            return False
        if isinstance(error, DamagedError):
            self._replace_database(str(error.__cause__), error.inode)
            return True
        if self._writer and isinstance(error, sqlite3.Error) and is_damage(error):
            writer, self._writer = self._writer, None
            writer.close_without_checkpoint()
            self._replace_database(str(error), writer.inode)
            return True
        return False

    def _replace_database(self, why: str, damaged: Inode | None) -> None:
        """Set a damaged database aside, unless another proxy has done so.

        Raises:
            DatabaseError: It cannot be renamed.

        """
        self._quarantined += 1
        aside = quarantine(self._path, damaged)
        if aside:
            _log(
                logging.WARNING,
                "%s is damaged (%s): it was set aside as %s; creating a new database",
                self._path,
                why,
                aside.name,
            )

    def _shed_load(self) -> None:
        """Reduce the held entries to the newest snapshot of each limit, the newest turns, and one of each sighting."""
        seen: set[tuple[str, ...]] = set()
        turns = 0
        chosen: list[Entry] = []
        for entry in reversed(self._held):
            if isinstance(entry, Turn):
                turns += 1
                if turns <= MAX_TURNS_HELD:
                    chosen.append(entry)
                continue
            shown = _subjects(entry)
            if not shown <= seen:
                seen |= shown
                chosen.append(entry)
        dropped = len(self._held) - len(chosen)
        self._held = chosen[::-1]
        if dropped:
            self._drop(dropped, "could not be written for too long")

    def _spill_held(self) -> None:
        """Write the held entries into files for the next start; if there is no room for all, the newest of them."""
        count = len(self._held)
        try:
            self._spill_all()
        except OSError:
            self._shed_load()
            count = len(self._held)
            try:
                self._spill_all()
            except OSError as error:
                self._drop(len(self._held), f"could be written neither to the database nor beside it ({error})")
        written = count - len(self._held)
        if written:
            _log(logging.WARNING, "changes wait beside %s for the next start: %d", self._path, written)

    def _spill_all(self) -> None:
        while self._held or self._losses:
            spill.write(self._path, self._held[:BATCH], self._unsaved_losses())
            self._losses.clear()
            del self._held[:BATCH]

    def _unsaved_losses(self) -> list[Loss]:
        now = time.time()
        return [Loss(now, count, reason) for reason, count in self._losses.items()]

    def _drop(self, count: int, why: str, place: str = "") -> None:
        self._log_once(f"changes were dropped: {count} that {why}{place}", why + place)
        self.dropped += count
        self._losses[why] += count

    def _log_once(self, message: str, kind: str) -> None:
        if kind not in self._logged:
            self._logged.add(kind)
            _log(logging.WARNING, "%s", message)

    def _close_writer(self) -> None:
        if self._writer:
            self._writer.close()
            self._writer = None


def _with_unreadable(losses: Iterable[Loss], unreadable: int, now: float) -> list[Loss]:
    return [*losses, *([Loss(now, unreadable, "could not be read again")] if unreadable else [])]


def _subjects(entry: Snapshot | Sighting) -> set[tuple[str, ...]]:
    """Return what an entry is about: the limits of a snapshot, or the name of a sighting."""
    if isinstance(entry, Sighting):
        return {(entry.kind.value, entry.name)}
    who = entry.identity
    return {(who.account_id, who.user_id, limit.limit_id) for limit in entry.reading.limits or (Limit(),)}


def _log(level: int, message: str, *arguments: object) -> None:
    # mitmproxy's log ends a thread for which it cannot print, and the writer has to go on.
    with contextlib.suppress(SystemExit):
        logger.log(level, "codex-tap: " + message, *arguments)  # noqa: G003 (one prefix for all)
