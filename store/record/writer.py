"""Writes snapshots and turns through one connection, and remembers what the next snapshot is compared with.

Most messages say what the one before said. Of those only the counts change, so they are gathered in memory and written
with the transaction: one statement for each row that was seen again, however often.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from store.database import close_without_checkpoint, open_writer, transaction
from store.files import inode
from store.models import Limit, Snapshot, Turn
from store.record import statements
from store.record.merge import (
    Facts,
    is_credible,
    is_late,
    merge,
    merge_facts,
    read_clock,
    same,
    with_current_resets,
)
from store.record.statements import CurrentSnapshot
from store.retention import prune
from store.schema import schema_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from store.models import Identity, RateLimits
    from store.record.merge import Clock, State
    from store.record.statements import Loss

SIGHTING_SECONDS = 60.0
"""How often it is noted that an account or a thread was seen."""

MAX_REMEMBERED = 10_000
"""How many accounts or limits are remembered before it begins anew."""

Entry = Snapshot | Turn
"""What is written: what a message said of limits, or a turn that has ended."""

_Key = tuple[int, str]
"""A limit or a thread: its account's row and its id."""


class SnapshotWriter:
    """The one writing connection of a recorder."""

    def __init__(self, path: Path) -> None:
        """Open the database.

        Raises:
            DatabaseError: It cannot be used.

        """
        self._connection = open_writer(path)
        self._path = path
        self.inode = inode(path)
        self._version = -1
        self._newest_before = 0
        self._forget()

    def is_current(self) -> bool:
        """Tell whether the path still leads to the open file, which may have been deleted or replaced."""
        return inode(self._path) == self.inode

    def write(self, entries: Iterable[Entry], losses: Iterable[Loss] = ()) -> None:
        """Write entries in one transaction: all of them or none.

        Raises:
            sqlite3.Error: None was written.
            DatabaseError: None was written, because a newer program has taken the file over.

        """
        with self._changes():
            self._write_all(entries, losses)

    def import_spill(self, name: str, at: float, entries: Iterable[Entry], losses: Iterable[Loss]) -> bool:
        """Write what an earlier stop left in the file `name`, unless that was done before; tell whether it was not.

        Between those readings and the rows that are there, only the clock tells which is the newer.

        Raises:
            sqlite3.Error: None was written.
            DatabaseError: None was written, because a newer program has taken the file over.

        """
        try:
            with self._changes():
                unknown = statements.mark_spill_imported(self._connection, name, at)
                if unknown:
                    self._newest_before = statements.last_id(self._connection)
                    self._write_all(entries, losses)
        finally:
            self._newest_before = 0
        return unknown

    def prune(self, before: float, most: int) -> int:
        """Delete at most so many rows from before a moment (Unix seconds); return how many went.

        Raises:
            sqlite3.Error: None was deleted.

        """
        return prune(self._connection, before, most)

    def close(self) -> None:
        """Close the connection; the last one of all folds the write-ahead log into the file."""
        if inode(self._path) in (self.inode, None):
            self._connection.close()
        else:
            close_without_checkpoint(self._connection)

    def close_without_checkpoint(self) -> None:
        """Close a damaged file without another write to it."""
        close_without_checkpoint(self._connection)

    @contextlib.contextmanager
    def _changes(self) -> Iterator[None]:
        """Hold a transaction; where it fails, what is remembered of it is forgotten with it."""
        try:
            with transaction(self._connection):
                self._refresh()
                yield
        except BaseException:
            self._forget()
            raise

    def _forget(self) -> None:
        # By what tells identities apart: hashing a whole one takes three times as long.
        self._accounts: dict[tuple[str, str, str], tuple[int, float]] = {}
        self._facts: dict[int, Facts | None] = {}
        self._newest: dict[_Key, CurrentSnapshot | None] = {}
        self._last: dict[int, Snapshot] = {}
        self._threads: dict[_Key, float] = {}
        self._touched: dict[int, CurrentSnapshot] = {}
        self._requests: list[tuple[int, Turn]] = []
        self._limit_pointers: dict[_Key, int] = {}
        self._fact_pointers: dict[int, int] = {}

    def _refresh(self) -> None:
        """Drop what is remembered if another connection changed the file since.

        Raises:
            DatabaseError: That other one has brought the schema beyond what is known here.

        """
        version = statements.data_version(self._connection)
        if version != self._version or max(len(self._accounts), len(self._newest), len(self._threads)) > MAX_REMEMBERED:
            schema_version(self._connection, self._path)
            self._forget()
            self._version = version

    def _write_all(self, entries: Iterable[Entry], losses: Iterable[Loss]) -> None:
        for entry in entries:
            if isinstance(entry, Turn):
                self._write_request(entry)
            else:
                self._write_snapshot(entry)
        statements.update_last_seen(self._connection, self._touched.values())
        statements.set_current_snapshots(self._connection, self._limit_pointers)
        statements.set_facts_snapshots(self._connection, self._fact_pointers)
        statements.insert_turns(self._connection, self._requests)
        statements.insert_losses(self._connection, losses)
        for newest in self._touched.values():
            newest.unsaved = 0
        self._touched.clear()
        self._requests.clear()
        self._limit_pointers.clear()
        self._fact_pointers.clear()

    def _write_request(self, request: Turn) -> None:
        account = self._account(request.identity, request.ended_at)
        self._requests.append((account, request))
        if request.thread:
            key = account, request.thread
            if abs(request.ended_at - self._threads.get(key, 0.0)) >= SIGHTING_SECONDS:
                statements.save_thread(self._connection, *key, request.started_at, request.ended_at)
                self._threads[key] = request.ended_at

    def _write_snapshot(self, snapshot: Snapshot) -> None:
        account = self._account(snapshot.identity, snapshot.observed_at)
        known = self._known_facts(account)
        last = self._last.get(account)
        if known is None or last is None or not _same_facts(snapshot, last):
            facts = merge_facts(snapshot, known)
        elif _same_limits(snapshot, last) and self._write_again(account, snapshot):
            return
        else:
            facts = known
        self._last[account] = snapshot
        self._write_limits(account, snapshot, known, facts)

    def _write_limits(self, account: int, snapshot: Snapshot, known: Facts | None, facts: Facts) -> None:
        told = facts != known
        # What tells of the account alone needs a row for it, but says nothing new of any limit.
        home = (Limit(),) if told else ()
        for limit in snapshot.reading.limits or home:
            row_id = self._write_limit((account, limit.limit_id), limit, snapshot, facts)
            if row_id and told:
                self._fact_pointers[account] = row_id
                self._facts[account] = facts
                told = False

    def _write_again(self, account: int, snapshot: Snapshot) -> bool:
        """Count a message that says what the one before it said; False where it may not be counted there."""
        limits = snapshot.reading.limits
        known = [self._newest.get((account, limit.limit_id)) for limit in limits]
        found = [newest for newest in known if newest is not None and not self._is_late(snapshot, newest)]
        if len(found) < len(limits):
            return False
        for limit, newest in zip(limits, found, strict=True):
            self._touch(newest, snapshot, limit)
        return True

    def _write_limit(self, key: _Key, limit: Limit, snapshot: Snapshot, facts: Facts) -> int | None:
        """Write one limit and return its row, or None for a late reading, which tells nothing of the present."""
        newest = self._known_newest(key)
        state = merge(limit, snapshot, newest.state if newest else None, facts)
        if limit.windows is not None:
            windows_seen_at: float | None = snapshot.observed_at
        else:
            windows_seen_at = newest.windows_seen_at if newest else None
        if newest and self._is_late(snapshot, newest):
            server_time = snapshot.reading.server_time
            statements.insert_snapshot(
                self._connection,
                *key,
                snapshot,
                state,
                server_time=server_time,
                windows_seen_at=windows_seen_at,
                late=True,
            )
            # The next message is not the same as the present one for being the same as this.
            self._last.pop(key[0], None)
            return None
        if newest and same(state, newest.state):
            newest.state = with_current_resets(state, newest.state)
            self._touch(newest, snapshot, limit)
            return newest.row_id
        clock = _clock(snapshot, state, newest)
        server_time = clock.server_time if clock else None
        row_id = statements.insert_snapshot(
            self._connection, *key, snapshot, state, server_time=server_time, windows_seen_at=windows_seen_at
        )
        if newest or snapshot.reading.limits:
            latest = clock or (newest.clock if newest else None)
            self._newest[key] = CurrentSnapshot(
                row_id, state, latest, server_time, windows_seen_at, snapshot.observed_at
            )
            self._limit_pointers[key] = row_id
        return row_id

    def _touch(self, newest: CurrentSnapshot, snapshot: Snapshot, limit: Limit) -> None:
        """Note that a row's state was seen again."""
        newest.last_seen_at = snapshot.observed_at
        if limit.windows is not None:
            newest.windows_seen_at = snapshot.observed_at
        clock = _clock(snapshot, newest.state, newest)
        if clock:
            newest.clock, newest.server_time = clock, clock.server_time
        newest.unsaved += 1
        self._touched[newest.row_id] = newest

    def _is_late(self, snapshot: Snapshot, newest: CurrentSnapshot) -> bool:
        """Tell whether a reading is older than the newest row of its limit."""
        if newest.row_id <= self._newest_before:
            seen_at = newest.windows_seen_at or newest.last_seen_at
            return snapshot.observed_at < seen_at or is_late(snapshot, newest.clock)
        return is_late(snapshot, newest.clock)

    def _account(self, identity: Identity, seen_at: float) -> int:
        """Return the account's row; that it was seen is noted once in a while, not at each message."""
        key = identity.token_key, identity.account_id, identity.user_id
        account, noted_at = self._accounts.get(key, (0, 0.0))
        if not account or abs(seen_at - noted_at) >= SIGHTING_SECONDS:
            account = statements.save_identity(self._connection, identity, seen_at)
            self._accounts[key] = (account, seen_at)
        return account

    def _known_facts(self, account: int) -> Facts | None:
        if account not in self._facts:
            self._facts[account] = statements.find_facts(self._connection, account)
        return self._facts[account]

    def _known_newest(self, key: _Key) -> CurrentSnapshot | None:
        if key not in self._newest:
            self._newest[key] = statements.find_current_snapshot(self._connection, *key)
        return self._newest[key]


def _clock(snapshot: Snapshot, state: State, newest: CurrentSnapshot | None) -> Clock | None:
    """Return the clock that a message tells, or None if it tells none that is credible after the newest row."""
    told = read_clock(snapshot)
    if told is None or newest is None or is_credible(told, state.windows, newest.clock, newest.state.windows):
        return told
    return None


def _same_facts(new: Snapshot, last: Snapshot) -> bool:
    """Return True if a message says of the account what the previous one said."""
    return _account_facts(new.reading) == _account_facts(last.reading)


def _account_facts(reading: RateLimits) -> tuple[object, ...]:
    return (
        reading.credits,
        reading.plan_type,
        reading.spend_control_reached,
        reading.reset_credits,
        reading.promo,
    )


def _same_limits(new: Snapshot, last: Snapshot) -> bool:
    """Return True if a message says of limits what the previous one said, by a source of the same authority."""
    limits = new.reading.limits
    return bool(limits) and new.source is last.source and new.status == last.status and limits == last.reading.limits
