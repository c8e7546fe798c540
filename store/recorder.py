"""The queue between the hooks and the disk, and its one writer.

`Recorder.put` never blocks and never touches the disk. One thread owns the one writing connection, takes what has
gathered, and writes it in one transaction. What cannot be written now (a lock, a full disk) is held and tried again;
when too much is held, the newest reading of each limit is kept and the rest is counted as dropped.
"""

from __future__ import annotations

import functools
import logging
import queue
import sqlite3
import threading
import time
from typing import TYPE_CHECKING

from store import database, rows
from store.database import DatabaseError, LockedError
from store.merge import Facts, is_late, merge, merge_facts, renew, same
from store.models import Limit
from store.rows import Newest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from store.models import Identity, Snapshot

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.05
"""How long a first snapshot waits for others to share its transaction: a kill loses no more than this and a commit."""

BATCH = 1_000
"""The most snapshots of one transaction, so that other writers get their turn."""

RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0)
"""Pauses between tries at a database that cannot be written; the last one repeats."""

HELD_MOST = 20_000
"""How many snapshots are held for a database that cannot be written, before the newest of each limit are chosen."""

CLOSE_SECONDS = 10.0
"""How long a stop waits for a database that cannot be written."""

SIGHTING_SECONDS = 60.0
"""How often it is noted that an account was seen."""

REMEMBERED_MOST = 10_000
"""How many accounts the writer remembers before it begins anew."""


class Ledger:
    """Writes snapshots through one connection; keeps in memory what the next snapshot is compared with."""

    def __init__(self, path: Path) -> None:
        """Open the database.

        Raises:
            DatabaseError: It cannot be used.

        """
        self._connection = database.open_writer(path)
        self._path = path
        self._inode = _inode(path)
        self._version = -1
        self._forget()

    def _forget(self) -> None:
        self._accounts: dict[Identity, tuple[int, float]] = {}
        self._facts: dict[int, Facts | None] = {}
        self._newest: dict[tuple[int, str], Newest | None] = {}

    def is_current(self) -> bool:
        """Tell whether the path still leads to the open file, which may have been deleted or replaced."""
        return _inode(self._path) == self._inode

    def write(self, snapshots: Iterable[Snapshot]) -> None:
        """Write snapshots in one transaction: all of them or none.

        Raises:
            sqlite3.Error: None was written.

        """
        try:
            with database.transaction(self._connection):
                self._refresh()
                for snapshot in snapshots:
                    self._write_one(snapshot)
        except BaseException:
            self._forget()
            raise

    def close(self) -> None:
        """Close the connection; the last one of all folds the write-ahead log into the file."""
        if _inode(self._path) in (self._inode, None):
            self._connection.close()
        else:
            database.abandon(self._connection)

    def _refresh(self) -> None:
        """Drop what is remembered if another connection changed the file since."""
        version = rows.data_version(self._connection)
        if version != self._version or len(self._accounts) > REMEMBERED_MOST:
            self._forget()
            self._version = version

    def _write_one(self, snapshot: Snapshot) -> None:
        account = self._account(snapshot)
        known = self._known_facts(account)
        facts = merge_facts(snapshot, known)
        told = facts != known
        # What tells of the account alone needs a row for it, but says nothing new of any limit.
        home = (Limit(),) if told else ()
        for limit in snapshot.reading.limits or home:
            row_id = self._write_limit(account, limit, snapshot, facts)
            if row_id and told:
                rows.point_facts(self._connection, account, row_id)
                self._facts[account] = facts
                told = False

    def _write_limit(self, account: int, limit: Limit, snapshot: Snapshot, facts: Facts) -> int | None:
        """Write one limit and return its row, or None for a late reading, which tells nothing of the present."""
        key = (account, limit.limit_id)
        newest = self._known_newest(key)
        state = merge(limit, snapshot, newest.state if newest else None, facts)
        reading = snapshot.reading
        windows_seen_at = newest.windows_seen_at if newest else None
        if limit.windows is not None:
            windows_seen_at = snapshot.observed_at
        insert = functools.partial(
            rows.insert_snapshot, self._connection, account, limit.limit_id, snapshot, windows_seen_at=windows_seen_at
        )
        if newest and is_late(reading, newest.server_time):
            insert(state, late=True, current=False)
            return None
        if newest is None and not reading.limits:
            return insert(state, current=False)
        if newest and same(state, newest.state):
            row_id, state = newest.row_id, renew(state, newest.state)
            rows.touch_snapshot(self._connection, row_id, snapshot, state, windows_seen_at=windows_seen_at)
        else:
            row_id = insert(state)
        server_time = reading.server_time or (newest.server_time if newest else None)
        self._newest[key] = Newest(row_id, state, server_time, windows_seen_at)
        return row_id

    def _account(self, snapshot: Snapshot) -> int:
        """Return the account's row; that it was seen is noted once in a while, not at each message."""
        account, noted_at = self._accounts.get(snapshot.identity, (0, 0.0))
        if not account or abs(snapshot.observed_at - noted_at) >= SIGHTING_SECONDS:
            account = rows.save_identity(self._connection, snapshot.identity, snapshot.observed_at)
            self._accounts[snapshot.identity] = (account, snapshot.observed_at)
        return account

    def _known_facts(self, account: int) -> Facts | None:
        if account not in self._facts:
            self._facts[account] = rows.find_facts(self._connection, account)
        return self._facts[account]

    def _known_newest(self, key: tuple[int, str]) -> Newest | None:
        if key not in self._newest:
            self._newest[key] = rows.find_newest(self._connection, *key)
        return self._newest[key]


class Recorder:
    """Takes snapshots from the hooks and brings each of them to the disk.

    It is started once and closed once; a new one can be started on the same file afterwards.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue: queue.SimpleQueue[Snapshot | Callable[[], Snapshot | None] | None] = queue.SimpleQueue()
        self._held: list[Snapshot] = []
        self._ledger: Ledger | None = None
        self._failures = 0
        self._stop = threading.Event()
        self._deadline = 0.0
        self._thread = threading.Thread(target=self._run, name="codex-tap recorder", daemon=True)
        self.dropped = 0

    def start(self) -> None:
        """Make sure that the database can be used, and begin to write.

        Raises:
            DatabaseError: It cannot be used. A database that is merely locked is not an error.

        """
        try:
            database.open_writer(self._path).close()
        except LockedError as error:
            logger.info("codex-tap: %s; readings are held until it is free", error)
        self._thread.start()

    def put(self, made: Snapshot | Callable[[], Snapshot | None]) -> None:
        """Take in a snapshot, or what makes one or none; returns at once, whatever the disk does.

        What makes one is called by the writer, many in a row: that costs far less than each in the middle of traffic.
        """
        self._queue.put(made)

    def close(self, timeout: float = CLOSE_SECONDS) -> bool:
        """Write all that was taken in and end the writer; tell whether all is on the disk.

        A database that cannot be written is waited for no longer than `timeout` seconds. Closing twice is harmless.
        """
        self._deadline = time.monotonic() + timeout
        self._stop.set()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout + 1)
        return not self._held and not self._thread.is_alive()

    def _run(self) -> None:
        while not self._is_finished():
            self._gather()
            if self._held:
                self._write_held()
        if self._held:
            self._drop(len(self._held), "at the stop, because the database could not be written")
        if self._ledger:
            self._ledger.close()

    def _is_finished(self) -> bool:
        if not self._stop.is_set() or not self._queue.empty():
            return False
        return not self._held or time.monotonic() >= self._deadline

    def _gather(self) -> None:
        """Wait for a first snapshot, let others join it, and take what is there."""
        if not self._held:
            self._take(self._queue.get())
            self._stop.wait(GATHER_SECONDS)
        while not self._queue.empty() and (self._failures or len(self._held) < BATCH):
            self._take(self._queue.get())

    def _take(self, made: Snapshot | Callable[[], Snapshot | None] | None) -> None:
        try:
            snapshot = made() if callable(made) else made
        except Exception as error:  # noqa: BLE001 (one that cannot be made must not hold up the others)
            self._drop(1, f"because it could not be read ({type(error).__name__})")
            return
        if snapshot is not None:
            self._held.append(snapshot)

    def _write_held(self) -> None:
        try:
            self._write(min(len(self._held), BATCH))
        except (DatabaseError, sqlite3.Error, OSError) as error:
            self._failed(error)
        else:
            if self._failures:
                logger.info("codex-tap: the database can be written again")
            self._failures = 0

    def _write(self, count: int) -> None:
        """Write the first of what is held, and let go of what is written."""
        ledger = self._open_ledger()
        try:
            ledger.write(self._held[:count])
        except (sqlite3.Error, OSError):
            raise
        except Exception as error:  # noqa: BLE001 (one that cannot be written must not hold up the others)
            if count > 1:
                for _ in range(count):
                    self._write(1)
                return
            self._drop(1, f"because it could not be written ({type(error).__name__})")
        del self._held[:count]

    def _open_ledger(self) -> Ledger:
        if self._ledger and not self._ledger.is_current():
            logger.warning("codex-tap: %s was moved away while in use; a new one is begun", self._path)
            self._close_ledger()
        if not self._ledger:
            self._ledger = Ledger(self._path)
        return self._ledger

    def _failed(self, error: Exception) -> None:
        """Hold what is here, say so once, and pause before the next try."""
        if not (isinstance(error, sqlite3.Error) and database.is_locked(error)):
            self._close_ledger()
        if not self._failures:
            logger.warning("codex-tap: readings are held in memory, the database cannot be written: %s", error)
        pause = RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS) - 1)]
        self._failures += 1
        if len(self._held) > HELD_MOST:
            self._condense()
        if self._stop.is_set():
            time.sleep(RETRY_SECONDS[0])
        else:
            self._stop.wait(pause)

    def _condense(self) -> None:
        """Keep the newest snapshot of each limit of what is held."""
        seen: set[tuple[str, str, str]] = set()
        kept: list[Snapshot] = []
        for snapshot in reversed(self._held):
            who = snapshot.identity
            limits = {(who.account_id, who.user_id, limit.limit_id) for limit in snapshot.reading.limits or (Limit(),)}
            if not limits <= seen:
                seen |= limits
                kept.append(snapshot)
        dropped = len(self._held) - len(kept)
        self._held = kept[::-1]
        self._drop(dropped, "because the database could not be written for too long")

    def _drop(self, count: int, why: str) -> None:
        if not self.dropped:
            logger.warning("codex-tap: %d readings were dropped %s", count, why)
        self.dropped += count

    def _close_ledger(self) -> None:
        if self._ledger:
            self._ledger.close()
            self._ledger = None


def _inode(path: Path) -> tuple[int, int] | None:
    """Return what tells one file from another at the same path; None where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
