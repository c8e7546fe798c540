"""What happened to accounts and their limits: the document of ``events --json``.

Rows are read as a stream, however long the history, and increases are attributed to turns some thousands at a time.
"""

from __future__ import annotations

import datetime as dt
import heapq
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from store.analysis.attribution import TurnUse
from store.analysis.event_text import event_note, event_text, event_text_beside_time
from store.analysis.events import (
    ACCOUNT_KINDS,
    Event,
    Increase,
    account_events,
    is_routine,
    token_events,
    unattributed,
)
from store.analysis.formatting import DAY, length_code
from store.analysis.limit_status import FACT_COLUMNS, STATE_COLUMNS, WINDOW_COLUMNS
from store.connection import is_file
from store.constants import MAIN_LIMIT
from store.queries.accounts import in_order
from store.queries.cursors import is_among, read_transaction, tuple_cursor
from store.queries.limits import MAX_LIMITS
from store.queries.machines import with_silent_machines
from store.queries.turns import OF_LIMIT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from store.analysis.limit_status import Row
    from store.connection import Connection
    from store.documents import EventEntry, EventsDocument
    from store.queries.accounts import Account

_BATCH = 4_000
"""Increases that are attributed to turns at once."""

_MAX_TURN_SECONDS = DAY
"""How long after an increase a turn may end that explains it: the event of that increase is withdrawn then."""

_MAX_STEP_BACK = DAY
"""How far back rows are read from before the time range, in case the clock was set back, in seconds."""

_NOTHING_PRUNED = 1_735_689_600.0
"""What a team's database says of where its rows begin before it was ever pruned: no Codex is as old."""

_SAME_MIGRATION_SECONDS = 60.0
"""Migrations that were applied this close to each other created a new database."""


def load_events(
    connection: Connection,
    now: float,
    *,
    accounts: Sequence[Account],
    since: float | None = None,
    kinds: Collection[str] | None = None,
    limit_id: str | None = None,
    zone: dt.tzinfo | None = None,
) -> EventsDocument:
    """Return what happened to the accounts until `now` (Unix seconds), the oldest first.

    Without `since` it covers all that is stored, without `kinds` all of `store.constants.EVENT_KINDS`. With a
    `limit_id` it covers that limit alone, without the events of whole accounts. Sentences give local times in `zone`,
    by default the machine's own.
    """
    chosen = in_order(accounts)
    with read_transaction(connection):
        query = _EventQuery(connection, now, since, limit_id, chosen)
        found = [
            (event, account)
            for account in chosen
            for event in query.events_of(account)
            if (kinds is None or event.kind in kinds) and (since is None or event.at >= since)
        ]
    found.sort(key=lambda each: each[0].at)
    known_since = query.turns_known_since
    document: EventsDocument = {
        **empty_events(now, since=since, limit_id=limit_id),
        "turns_known_since": known_since if known_since > 0 else None,
        "readings": query.readings,
        "accounts": [account.reference for account in chosen],
        "events": [_event_entry(event, account, zone) for event, account in found],
    }
    return with_silent_machines(document, connection, now, chosen)


def empty_events(now: float, *, since: float | None = None, limit_id: str | None = None) -> EventsDocument:
    """Return the document of a database that does not exist yet."""
    return {
        "generated_at": int(now),
        "since": since,
        "limit_id": limit_id,
        "turns_known_since": None,
        "readings": 0,
        "accounts": [],
        "events": [],
    }


def _event_entry(event: Event, account: Account, zone: dt.tzinfo | None) -> EventEntry:
    return {
        "at": event.at,
        "kind": event.kind,
        **account.reference,
        "limit_id": event.limit_id,
        "limit_name": event.limit_name,
        "slot": event.slot,
        "window_minutes": event.window_minutes,
        "length": length_code(event.window_minutes),
        "text": event_text(event, zone),
        "note": event_note(event),
        "short_text": event_text_beside_time(event, zone),
        "routine": is_routine(event),
        "seconds": event.seconds,
        "points": event.points,
        "credits": event.credits,
        "before": event.before.document,
        "after": event.after.document,
    }


class _EventQuery:
    """The reads of one `load_events`; ``readings`` counts the rows read so far."""

    def __init__(
        self,
        connection: Connection,
        now: float,
        since: float | None,
        limit_id: str | None,
        accounts: Sequence[Account],
    ) -> None:
        self._connection = connection
        self._now = now
        self._since = float("-inf") if since is None else since
        self._limit_id = limit_id
        self.turns_known_since = (
            turns_known_since(connection) if is_file(connection) else _machines_know_turns_since(connection, accounts)
        )
        self.readings = 0

    def events_of(self, account: Account) -> Iterator[Event]:
        """Yield the events of an account and its limits, in no order, some of them from before `since`."""
        waiting_by_limit: dict[str, list[Increase]] = {}
        for event in account_events(self._rows(account.id)):
            if isinstance(event, Event):
                if self._limit_id is None or event.kind not in ACCOUNT_KINDS:
                    yield event
            elif event.interval.end >= self._since:
                waiting = waiting_by_limit.setdefault(event.after["limit_id"], [])
                waiting.append(event)
                if len(waiting) >= _BATCH:
                    yield from self._unattributed(account.id, waiting)
                    waiting.clear()
        for waiting in waiting_by_limit.values():
            yield from self._unattributed(account.id, waiting)
        if self._limit_id is None:
            yield from token_events(self._tokens(account.id))

    def _rows(self, account: int) -> Iterator[Row]:
        """Yield the snapshots of an account's limits in the order of arrival, from the last ones before `since` on."""
        limits = self._connection.execute(
            "SELECT limit_id FROM limits WHERE account = ? AND (? IS NULL OR limit_id = ?)"
            " ORDER BY limit_id != ?, limit_id LIMIT ?",
            (account, self._limit_id, self._limit_id, MAIN_LIMIT, MAX_LIMITS),
        ).fetchall()
        values = [
            {"account": account, "limit_id": row["limit_id"], "since": self._since - _MAX_STEP_BACK} for row in limits
        ]
        for row in heapq.merge(*(self._connection.execute(_ROWS, each) for each in values), key=itemgetter("id")):
            self.readings += 1
            yield dict(row)

    def _unattributed(self, account: int, increases: Sequence[Increase]) -> Iterator[Event]:
        if not increases:
            return
        start = max(self.turns_known_since, min(each.interval.start for each in increases))
        end = max(each.interval.end for each in increases) + _MAX_TURN_SECONDS
        limit_id = increases[0].after["limit_id"]
        values = (account, limit_id, limit_id, start, end)
        turns = [TurnUse._make(row) for row in tuple_cursor(self._connection).execute(_TURNS, values)]
        yield from unattributed(increases, turns, self._now, self.turns_known_since)

    def _tokens(self, account: int) -> Iterator[Mapping[str, Any]]:
        rows = self._connection.execute(_TOKENS, (account,))
        return map(dict, rows)


_ROWS = f"""
SELECT id, limit_id, limit_name, token_key, first_seen_at, last_seen_at, windows_seen_at, {WINDOW_COLUMNS},
    {STATE_COLUMNS}, {FACT_COLUMNS}, plan_type, reset_credits, source
FROM snapshots
WHERE account = :account AND limit_id = :limit_id AND late = 0 AND first_seen_at >= coalesce(
    (SELECT max(first_seen_at) FROM snapshots
     WHERE account = :account AND limit_id = :limit_id AND first_seen_at < :since AND late = 0),
    :since)
ORDER BY +id
"""  # noqa: S608 (constant columns)
"""The index finds the rows by their time; without the `+` SQLite would walk the table by id."""

_TOKENS = "SELECT * FROM tokens WHERE account = ? ORDER BY first_seen_at, token_key"

_TURNS = f"""
SELECT {", ".join(TurnUse._fields)} FROM requests
WHERE account = ? AND {OF_LIMIT} AND ended_at > ? AND ended_at <= ? ORDER BY ended_at, id
"""  # noqa: S608 (constant columns)


def turns_known_since(connection: Connection) -> float:
    """Return since when a file has turns: minus infinity for "always".

    A database of the first schema has turns only since its migration.
    """
    first = connection.execute("SELECT id, started_at FROM requests ORDER BY id LIMIT 1").fetchone()
    # Ids begin with 1: earlier turns were pruned.
    stored_since = first["started_at"] if first and first["id"] > 1 else float("-inf")
    return max(stored_since, _schema_had_turns_since(connection))


def _machines_know_turns_since(connection: Connection, accounts: Sequence[Account]) -> float:
    """Return since when the machines that have seen the accounts have recorded turns that are still stored."""
    accounts_in, ids = is_among("a.account", [account.id for account in accounts])
    (told,) = connection.execute(
        "SELECT max(m.turns_known_since) FROM machines m JOIN machine_accounts a ON a.machine = m.machine"  # noqa: S608 (marks)
        f" WHERE {accounts_in}",
        ids,
    ).fetchone()
    (kept,) = connection.execute("SELECT kept_since FROM installation").fetchone()
    return max(float("-inf") if told is None else told, float("-inf") if kept <= _NOTHING_PRUNED else kept)


def _schema_had_turns_since(connection: Connection) -> float:
    rows = connection.execute(
        "SELECT applied_at FROM _sqlite_migrations WHERE migration_set = 'codex-tap'"
        " AND name IN ('m001_initial', 'm002_requests') ORDER BY name"
    )
    try:
        applied = [dt.datetime.fromisoformat(row["applied_at"]).timestamp() for row in islice(rows, 2)]
    except (ValueError, TypeError, OverflowError):
        return float("-inf")
    if len(applied) < 2 or applied[1] - applied[0] < _SAME_MIGRATION_SECONDS:
        return float("-inf")
    return applied[1]
