"""Writes snapshots and turns through one connection, and caches what the next snapshot is compared with.

Most messages say what the previous one said. Of those only the counts change, so they are gathered in memory and
written with the transaction: one statement for each row that was seen again, however often.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from store.constants import BUDGET_LIMIT, MAIN_LIMIT, MAIN_NAMES, limit_slug
from store.database import close_without_checkpoint, open_writer, transaction
from store.errors import DatabaseError
from store.files import inode
from store.imports import has_imported_turns
from store.limit_state import ended_by_turn
from store.models import Limit, RateLimits, Sighting, SightingKind, Snapshot, Source, Transport, Turn
from store.record import statements
from store.record.merge import (
    Facts,
    is_credible,
    is_late,
    merge,
    merge_facts,
    read_clock,
    renewed,
    same,
)
from store.record.statements import CurrentSnapshot, Loss, NewTurn
from store.retention import prune
from store.schema import schema_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from store.models import Identity
    from store.record.merge import Clock, State

SIGHTING_SECONDS = 60.0
"""Time between two updates of when an account or a thread was last seen."""

MAX_CACHED = 10_000
"""Accounts, limits or threads in the cache before it is cleared."""

Entry = Snapshot | Turn | Sighting
"""What is written: the rate limits of one message, a turn that has ended, or something seen by name."""

_Key = tuple[int, str]
"""A limit or a thread: its account's row and its id."""


@dataclass
class _Cache:
    """What is known of the rows in the file, so that it need not be read for each snapshot."""

    # By what tells identities apart: hashing a whole one takes three times as long.
    accounts: dict[tuple[str, str, str], tuple[int, float]] = field(default_factory=dict)
    facts: dict[int, Facts | None] = field(default_factory=dict)
    current: dict[_Key, CurrentSnapshot | None] = field(default_factory=dict)
    last: dict[int, Snapshot] = field(default_factory=dict)
    threads: dict[_Key, float] = field(default_factory=dict)
    imported_threads: dict[str, bool] = field(default_factory=dict)
    limits: dict[int, set[str]] = field(default_factory=dict)
    names: dict[str, str] | None = None

    @property
    def is_full(self) -> bool:
        return max(len(self.accounts), len(self.current), len(self.threads)) > MAX_CACHED


@dataclass
class _Pending:
    """The changes that the end of the transaction writes, each kind in one statement."""

    touched: dict[int, CurrentSnapshot] = field(default_factory=dict)
    turns: list[NewTurn] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    current_snapshots: dict[_Key, int] = field(default_factory=dict)
    named: set[_Key] = field(default_factory=set)
    facts_snapshots: dict[int, int] = field(default_factory=dict)
    losses: Counter[str] = field(default_factory=Counter)

    def write(self, connection: sqlite3.Connection) -> None:
        statements.update_last_seen(connection, self.touched.values())
        statements.set_current_snapshots(connection, self.current_snapshots, self.named)
        statements.set_facts_snapshots(connection, self.facts_snapshots)
        statements.insert_turns(connection, self.turns)
        statements.save_sightings(connection, self.sightings)
        now = time.time()
        statements.insert_losses(connection, [Loss(now, count, reason) for reason, count in self.losses.items()])
        for current in self.touched.values():
            current.pending_observations = 0


class _UndoneError(Exception):
    """Undoes a transaction."""


def _undo() -> NoReturn:
    raise _UndoneError


class SnapshotWriter:
    """The one writing connection of a recorder."""

    def __init__(self, path: Path) -> None:
        """Open the database.

        Raises:
            DatabaseError: The database cannot be used.

        """
        self._connection = open_writer(path)
        # Without this, a text that is none is reported like a fault of the whole database.
        self._connection.text_factory = bytes.decode
        self._path = path
        self.inode = inode(path)
        self._version = -1
        self._cache = _Cache()
        self._pending = _Pending()

    def is_current(self) -> bool:
        """Return True if the path still leads to the open file, which may have been deleted or replaced."""
        return inode(self._path) == self.inode

    def write(self, entries: Iterable[Entry], losses: Iterable[Loss] = ()) -> None:
        """Write entries in one transaction: all of them or none.

        Raises:
            sqlite3.Error: None was written.
            DatabaseError: None was written, because a newer program has taken the file over.

        """
        with self._transaction():
            self._write_all(entries, losses)

    def import_spill(self, name: str, at: float, entries: Iterable[Entry], losses: Iterable[Loss]) -> bool:
        """Write the entries of the spill file `name`. Return False if the file was already imported.

        Only the clock tells the order of these entries and of the rows that are already there.

        Raises:
            sqlite3.Error: None was written.
            DatabaseError: None was written, because a newer program has taken the file over.

        """
        with self._transaction():
            is_new = statements.mark_spill_imported(self._connection, name, at)
            if is_new:
                self._write_all(entries, losses, ordered_by_clock_to=statements.last_id(self._connection))
        return is_new

    def can_write(self, entry: Entry) -> bool:
        """Return True if an entry can be written, by doing so and undoing it.

        Raises:
            sqlite3.OperationalError: The database cannot be written now.
            DatabaseError: A newer program has taken the file over.

        """
        try:
            with self._transaction():
                self._write_all([entry], ())
                _undo()
        except _UndoneError:
            return True
        except (sqlite3.OperationalError, DatabaseError):
            raise
        except Exception:  # noqa: BLE001 (whatever is wrong with one entry, the others are written)
            return False

    def prune(self, before: float, most: int) -> int:
        """Delete at most `most` rows from before a timestamp (Unix seconds); return the number of deleted rows.

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
    def _transaction(self) -> Iterator[None]:
        """Hold a transaction; if it fails, the cache is cleared."""
        self._pending = _Pending()
        try:
            with transaction(self._connection):
                self._refresh()
                yield
        except BaseException:
            self._cache = _Cache()
            raise

    def _refresh(self) -> None:
        """Clear the cache if another connection has changed the file.

        Raises:
            DatabaseError: The other one has migrated the schema to a newer version.

        """
        version = statements.data_version(self._connection)
        if version != self._version or self._cache.is_full:
            schema_version(self._connection, self._path)
            self._cache = _Cache()
            self._version = version

    def _write_all(self, entries: Iterable[Entry], losses: Iterable[Loss], *, ordered_by_clock_to: int = 0) -> None:
        """Write entries; the rows up to the id `ordered_by_clock_to` may be newer than they are."""
        for entry in entries:
            if isinstance(entry, Turn):
                self._write_turn(entry, ordered_by_clock_to)
            elif isinstance(entry, Sighting):
                self._pending.sightings.append(entry)
            else:
                self._write_snapshot(entry, ordered_by_clock_to)
        self._write_pending()
        statements.insert_losses(self._connection, losses)

    def _write_turn(self, turn: Turn, ordered_by_clock_to: int) -> None:
        account = self._account(turn.identity, turn.ended_at)
        if turn.limit_id == MAIN_LIMIT and turn.transport is Transport.WEBSOCKET:
            # The headers of a socket, which has many turns, do not name the limit of each.
            turn = turn.model_copy(update={"limit_id": self._limit_of_model(account, turn.model) or MAIN_LIMIT})
        self._pending.turns.append(NewTurn(account, turn, self._take_over_imported(turn)))
        thread = turn.thread or turn.session
        if thread:
            key = account, thread
            if abs(turn.ended_at - self._cache.threads.get(key, 0.0)) >= SIGHTING_SECONDS:
                statements.save_thread(
                    self._connection, *key, turn.started_at, turn.ended_at, is_session=turn.thread is None
                )
                self._cache.threads[key] = turn.ended_at
        if _was_completed(turn):
            self._note_answer((account, turn.limit_id), turn, ordered_by_clock_to)

    def _take_over_imported(self, turn: Turn) -> str | None:
        """Delete the row that an import made of a turn, and return its session key."""
        thread, known = turn.thread, self._cache.imported_threads
        if thread is None:
            return None
        if thread not in known:
            known[thread] = has_imported_turns(self._connection, thread)
        return statements.take_over_imported(self._connection, turn) if known[thread] else None

    def _note_answer(self, key: _Key, turn: Turn, ordered_by_clock_to: int) -> None:
        """Let a turn that the server completed end what it contradicts: the word that its limit is closed.

        On a websocket the end of a turn is the only sign of it; over HTTP the headers were one already.
        """
        current = self._current_snapshot(key)
        if current is None or not current.state.verdict.closes:
            return
        answer, facts = _answer(turn), self._known_facts(key[0]) or current.state.facts
        ended = ended_by_turn(current.state.verdict, turn.started_at, on_credits=facts.credits_carry)
        if ended and not _is_late(answer, current, ordered_by_clock_to):
            self._write_limit(key, answer.reading.limits[0], answer, facts, ordered_by_clock_to)
            # The next message is compared with what holds now, not with the one before.
            self._cache.last.pop(key[0], None)

    def _write_snapshot(self, snapshot: Snapshot, ordered_by_clock_to: int) -> None:
        account = self._account(snapshot.identity, snapshot.observed_at)
        self._pending.sightings += [
            Sighting(kind=SightingKind.UNKNOWN_FIELD, name=name, seen_at=snapshot.observed_at)
            for name in snapshot.reading.unknown_fields
        ]
        self._learn_names(snapshot.reading.limits)
        snapshot = self._without_budget(account, self._identified(account, snapshot))
        known = self._known_facts(account)
        last = self._cache.last.get(account)
        if known is None or last is None or not _same_facts(snapshot, last):
            facts = merge_facts(snapshot, known)
        elif _same_limits(snapshot, last) and self._write_again(account, snapshot, ordered_by_clock_to):
            return
        else:
            facts = known
        self._cache.last[account] = snapshot
        has_new_facts = facts != known
        # A message about the account alone needs a row for it, but says nothing new of any limit.
        home = (Limit(),) if has_new_facts else ()
        for limit in snapshot.reading.limits or home:
            row_id = self._write_limit((account, limit.limit_id), limit, snapshot, facts, ordered_by_clock_to)
            if row_id and has_new_facts:
                self._pending.facts_snapshots[account] = row_id
                self._cache.facts[account] = facts
                has_new_facts = False

    def _write_again(self, account: int, snapshot: Snapshot, ordered_by_clock_to: int) -> bool:
        """Count a message that says what the previous one said; return False if it may not be counted there."""
        limits = snapshot.reading.limits
        cached = [self._cache.current.get((account, limit.limit_id)) for limit in limits]
        found = [
            current
            for current in cached
            if current is not None and not _is_late(snapshot, current, ordered_by_clock_to)
        ]
        # While a request is refused, each message either repeats it or ends it.
        if len(found) < len(limits) or any(current.state.verdict.refuses for current in found):
            return False
        for limit, current in zip(limits, found, strict=True):
            self._touch(current, snapshot, limit)
        return True

    def _write_limit(
        self, key: _Key, limit: Limit, snapshot: Snapshot, facts: Facts, ordered_by_clock_to: int
    ) -> int | None:
        """Write one limit and return its row, or None for a late snapshot, which says nothing of the present."""
        if not self._may_be_stored(key):
            return None
        current = self._current_snapshot(key)
        state = merge(limit, snapshot, current.state if current else None, facts)
        if current and _is_late(snapshot, current, ordered_by_clock_to):
            self._insert(key, limit, snapshot, state, current, server_time=snapshot.reading.server_time, late=True)
            # The next message is compared with the present one, not with this.
            self._cache.last.pop(key[0], None)
            return None
        if current and same(state, current.state, snapshot.observed_at - _seen_at(current)):
            current.state = renewed(state, current.state)
            self._touch(current, snapshot, limit)
            return current.row_id
        clock = _clock(snapshot, state, current)
        server_time = clock.server_time if clock else None
        row_id = self._insert(key, limit, snapshot, state, current, server_time=server_time)
        if current or snapshot.reading.limits:
            latest = clock or (current.clock if current else None)
            self._cache.current[key] = CurrentSnapshot(
                row_id, state, latest, server_time, _windows_seen_at(limit, snapshot, current), snapshot.observed_at
            )
            self._pending.current_snapshots[key] = row_id
            (self._pending.named.add if limit.by_name else self._pending.named.discard)(key)
        return row_id

    def _insert(
        self,
        key: _Key,
        limit: Limit,
        snapshot: Snapshot,
        state: State,
        current: CurrentSnapshot | None,
        *,
        server_time: float | None,
        late: bool = False,
    ) -> int:
        return statements.insert_snapshot(
            self._connection,
            *key,
            snapshot,
            state,
            server_time=server_time,
            windows_seen_at=_windows_seen_at(limit, snapshot, current),
            late=late,
        )

    def _touch(self, current: CurrentSnapshot, snapshot: Snapshot, limit: Limit) -> None:
        """Count one more observation of a row's state."""
        current.last_seen_at = snapshot.observed_at
        current.windows_seen_at = _windows_seen_at(limit, snapshot, current)
        clock = _clock(snapshot, current.state, current)
        if clock:
            current.clock, current.server_time = clock, clock.server_time
        current.pending_observations += 1
        self._pending.touched[current.row_id] = current

    def _learn_names(self, limits: Iterable[Limit]) -> None:
        """Store which limits the display names of a message belong to, and move what was stored under a name alone."""
        told: set[str] = set()
        for limit in limits:
            name = limit.limit_name
            if name is None or name in told or limit.by_name or limit.budget:
                continue
            told.add(name)
            names, slug = self._names(), limit_slug(name)
            is_new = names.get(name) != limit.limit_id and (name in names or len(names) < statements.MAX_LIMIT_NAMES)
            if is_new and slug not in {limit.limit_id, *MAIN_NAMES} and limit.limit_id != MAIN_LIMIT:
                # The rows are moved as they are in the file.
                self._pending.write(self._connection)
                self._pending = _Pending()
                statements.save_limit_name(self._connection, name, limit.limit_id)
                statements.move_named_limit(self._connection, slug, limit.limit_id)
                self._cache.names = None
                self._cache.limits.clear()
                self._cache.current.clear()
                self._cache.last.clear()

    def _identified(self, account: int, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot with the ids of the limits that its message calls by a display name, or not at all."""
        reading = snapshot.reading
        if not (reading.unnamed or any(limit.by_name for limit in reading.limits)):
            return snapshot
        ids = {limit_slug(name): limit_id for name, limit_id in self._names().items()}
        own = self._limit_of_model(account, snapshot.model, reading.limits) if reading.unnamed else None
        limits: dict[str, Limit] = {}
        # The figures without a name are a copy where the limit is there by its name as well.
        for limit in sorted(reading.limits, key=lambda each: own is not None and each.limit_id == MAIN_LIMIT):
            changed: dict[str, object] = {}
            if limit.by_name and limit.limit_id in ids:
                changed = {"limit_id": ids[limit.limit_id], "limit_name": None, "by_name": False}
            elif own and limit.limit_id == MAIN_LIMIT:
                changed = {"limit_id": ids.get(own, own), "by_name": own not in {*ids, *ids.values()}}
            found = limit.model_copy(update=changed)
            limits.setdefault(found.limit_id, found)
        return snapshot.model_copy(update={"reading": reading.model_copy(update={"limits": tuple(limits.values())})})

    def _without_budget(self, account: int, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot with an empty budget if its message says that the known one no longer exists."""
        reading = snapshot.reading
        if not reading.no_budget or self._current_snapshot((account, BUDGET_LIMIT)) is None:
            return snapshot
        limits = (*reading.limits, Limit(limit_id=BUDGET_LIMIT, windows={}))
        return snapshot.model_copy(update={"reading": reading.model_copy(update={"limits": limits})})

    def _limit_of_model(self, account: int, model: str | None, told: Iterable[Limit] = ()) -> str | None:
        """Return the id of the limit whose display name is a model's name; None if the model has no limit of its own.

        `told` are the limits of the message itself.
        """
        if model is None:
            return None
        known = self._names().get(model)
        slug = limit_slug(model)
        if known or slug in MAIN_NAMES or not slug:
            return known
        if any(limit.by_name and (limit.limit_name or limit.limit_id) == model for limit in told):
            return slug
        current = self._current_snapshot((account, slug))
        return slug if current and (current.state.limit_name or slug) == model else None

    def _names(self) -> dict[str, str]:
        if self._cache.names is None:
            self._cache.names = statements.find_limit_names(self._connection)
        return self._cache.names

    def _account(self, identity: Identity, seen_at: float) -> int:
        """Return the account's row; when it was seen is written once in a while, not for each message."""
        key = identity.token_key, identity.account_id, identity.user_id
        account, noted_at = self._cache.accounts.get(key, (0, 0.0))
        if not account or abs(seen_at - noted_at) >= SIGHTING_SECONDS:
            # Rows that go to another account have to be complete.
            self._write_pending()
            account, moved_rows = statements.save_identity(self._connection, identity, seen_at)
            if moved_rows:
                self._cache = _Cache()
            self._cache.accounts[key] = (account, seen_at)
        return account

    def _write_pending(self) -> None:
        self._pending.write(self._connection)
        self._pending = _Pending()

    def _known_facts(self, account: int) -> Facts | None:
        facts = self._cache.facts
        if account not in facts:
            with self._unreadable_counted():
                facts[account] = statements.find_facts(self._connection, account)
            facts.setdefault(account, None)
        return facts[account]

    def _current_snapshot(self, key: _Key) -> CurrentSnapshot | None:
        current = self._cache.current
        if key not in current:
            with self._unreadable_counted():
                current[key] = statements.find_current_snapshot(self._connection, *key)
            current.setdefault(key, None)
        return current[key]

    @contextlib.contextmanager
    def _unreadable_counted(self) -> Iterator[None]:
        """Count a row that cannot be read as lost: it counts as not there, and the new reading begins another."""
        try:
            yield
        except statements.UNREADABLE:
            self._pending.losses["were stored and can no longer be read"] += 1

    def _may_be_stored(self, key: _Key) -> bool:
        """Return True unless a limit is a new one beyond the most of its account."""
        account, limit_id = key
        known = self._cache.limits.get(account)
        if known is None:
            known = self._cache.limits[account] = statements.find_limit_ids(self._connection, account)
        if limit_id in known or limit_id in {MAIN_LIMIT, BUDGET_LIMIT} or len(known) < statements.MAX_LIMITS:
            known.add(limit_id)
            return True
        self._pending.losses[f"were of a limit beyond the first {statements.MAX_LIMITS} of an account"] += 1
        return False


def _was_completed(turn: Turn) -> bool:
    """Return True if the server completed a turn; a warm-up uses nothing, and says nothing of the limit."""
    return turn.error_type is None and not turn.warm_up and (turn.status is None or turn.status < 400)


def _answer(turn: Turn) -> Snapshot:
    """Return the message that stands for the end of a turn: it mentions the limit, and says nothing of its windows."""
    return Snapshot(
        identity=turn.identity,
        observed_at=turn.ended_at,
        requested_at=turn.started_at,
        source=Source.WEBSOCKET if turn.transport is Transport.WEBSOCKET else Source.HEADERS,
        reading=RateLimits(limits=(Limit(limit_id=turn.limit_id),), active_limit=turn.limit_id),
        status=200,
        model=turn.model,
        thread=turn.thread,
    )


def _seen_at(current: CurrentSnapshot) -> float:
    """Return when a row's windows were last seen."""
    return current.last_seen_at if current.windows_seen_at is None else current.windows_seen_at


def _windows_seen_at(limit: Limit, snapshot: Snapshot, current: CurrentSnapshot | None) -> float | None:
    """Return when a message last contained the limit's windows."""
    if limit.windows is not None:
        return snapshot.observed_at
    return current.windows_seen_at if current else None


def _is_late(snapshot: Snapshot, current: CurrentSnapshot, ordered_by_clock_to: int) -> bool:
    """Return True if a snapshot is older than the current row of its limit."""
    if current.row_id <= ordered_by_clock_to:
        return snapshot.observed_at < _seen_at(current) or is_late(snapshot, current.clock)
    return is_late(snapshot, current.clock)


def _clock(snapshot: Snapshot, state: State, current: CurrentSnapshot | None) -> Clock | None:
    """Return the clock of a message, or None if it has none that is credible after the current row."""
    clock = read_clock(snapshot)
    if clock is None or current is None or is_credible(clock, state.windows, current.clock, current.state.windows):
        return clock
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
        reading.reset_credits_applicable,
        reading.reset_credits_expire,
        reading.model_usage,
        reading.promo,
    )


def _same_limits(new: Snapshot, last: Snapshot) -> bool:
    """Return True if a message says of limits what the previous one said, by a source of the same authority."""
    limits = new.reading.limits
    return bool(limits) and new.source is last.source and new.status == last.status and limits == last.reading.limits
