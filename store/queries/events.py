"""What happened to accounts and their limits: the documents of ``events --json`` and ``/api/events``.

Events from up to one or two hours ago are read where they are kept (`store.queries.kept_events`), the others are made
of the rows of the database; without kept ones all are.
"""

from __future__ import annotations

import datetime as dt
import functools
import math
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from store.analysis.event_text import event_note, event_text, text_beside_time
from store.analysis.events import Event, is_routine, token_events
from store.analysis.formatting import DAY, length_code
from store.connection import is_file
from store.kept.kind import floor_to
from store.kept.reading import ask_kept
from store.queries.accounts import in_order
from store.queries.cursors import edit_number, is_among, read_transaction
from store.queries.event_rows import EventRange, events_of, limits_before, rows_state
from store.queries.kept_events import (
    EVENTS,
    FINAL_SECONDS,
    STEP,
    EventChoice,
    ListedEvent,
    listed,
    load_kept_events,
    parse_events,
)
from store.queries.machines import with_silent_machines
from store.queries.recent import computed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from store.connection import Connection
    from store.documents import EventEntry, EventsDocument, EventsPageDocument
    from store.kept.kind import Kept
    from store.queries.accounts import Account
    from store.queries.kept_events import KeptHistory
    from store.queries.recent import Recent

_NOTHING_PRUNED = 1_735_689_600.0
"""What a team's database says of where its rows begin before it was ever pruned: no Codex is as old."""

_BEGIN_STEP = 6 * STEP
"""Events are looked for from a multiple of this on."""

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
    query = _Query(now, EventChoice(since, kinds, limit_id))
    found = _find(connection, query, accounts)
    document: EventsDocument = {
        **_head(found, query),
        "events": list(_entries(found.events, zone)),
    }
    return with_silent_machines(document, connection, now, found.accounts)


def load_event_page(
    connection: Connection,
    now: float,
    *,
    accounts: Sequence[Account],
    since: float | None = None,
    kinds: Collection[str] | None = None,
    limit_id: str | None = None,
    routine: bool = True,
    most: int,
    recent: Recent | None = None,
) -> EventsPageDocument:
    """Return the newest events of those that `load_events` returns, at most so many.

    Without `routine` the resets that came when they were due are left out. Events of the last hours that are those of a
    `recent` are used again.
    """
    query = _Query(now, EventChoice(since, kinds, limit_id), recent)
    found = _find(connection, query, accounts)
    wanted = [each for each in found.events if routine or not each[0].is_routine]
    document: EventsPageDocument = {
        **_head(found, query),
        "events": list(_entries(wanted[-most:], None)),
        "left_out": max(0, len(wanted) - most),
        "routine_left_out": len(found.events) - len(wanted),
    }
    return with_silent_machines(document, connection, now, found.accounts)


def empty_events(now: float, *, since: float | None = None, limit_id: str | None = None) -> EventsDocument:
    """Return the document of a database that does not exist yet."""
    return _head(_Found([], [], 0, -math.inf), _Query(now, EventChoice(since, None, limit_id)))


def empty_event_page(now: float, *, since: float | None = None, limit_id: str | None = None) -> EventsPageDocument:
    """Return the page of a database that does not exist yet."""
    return {**empty_events(now, since=since, limit_id=limit_id), "left_out": 0, "routine_left_out": 0}


def events_begin(since: float | None) -> float:
    """Return from when on events are shown that happened since a time, or that a question since then compares."""
    return -math.inf if since is None else floor_to(_BEGIN_STEP, since - DAY)


# Finding


class _Query(NamedTuple):
    """What is asked for; `load_events` describes the fields."""

    now: float
    choice: EventChoice
    recent: Recent | None = None


class _Found(NamedTuple):
    """The events of accounts in order, and what a document says of them as a whole."""

    accounts: list[Account]
    events: list[tuple[ListedEvent, Account]]
    snapshots: int
    turns_known_since: float


def _find(connection: Connection, query: _Query, accounts: Sequence[Account]) -> _Found:
    chosen = in_order(accounts)
    with read_transaction(connection):
        known_since = (
            turns_known_since(connection) if is_file(connection) else _machines_know_turns_since(connection, chosen)
        )
        kept = _kept_histories(connection, query, chosen, known_since)
        histories = [_history(connection, query, account, kept.get(account.id), known_since) for account in chosen]
    events = [(event, account) for each, account in zip(histories, chosen, strict=True) for event in each.events]
    # Use elsewhere comes last of what happened at one time: it is found after the rest.
    events.sort(key=lambda each: (each[0].at, each[0].kind == "used_elsewhere"))
    return _Found(chosen, events, sum(each.snapshots for each in histories), known_since)


class _History(NamedTuple):
    """The events of an account that are asked for, and the number of snapshots that were examined for them."""

    events: list[ListedEvent]
    snapshots: int


class _MadeEvents(NamedTuple):
    """The events that the rows of a range show, and the number of its snapshots."""

    events: list[Event]
    snapshots: int


def _kept_histories(
    connection: Connection, query: _Query, accounts: Sequence[Account], known_since: float
) -> Mapping[int, KeptHistory]:
    """Return what is kept of the events of accounts, by their ids."""

    def read(kept: Kept) -> dict[int, KeptHistory]:
        found = {}
        begin = events_begin(query.choice.since)
        # Before a clock was set back, what was final then may have been filled.
        final_at = floor_to(STEP, query.now - FINAL_SECONDS)
        for account in accounts:
            wanted = EventRange(account.id, begin, final_at, turns_known_since=known_since)
            history = load_kept_events(connection, kept, wanted, query.choice)
            if history is not None:
                found[account.id] = history
        return found

    return ask_kept(connection, EVENTS, read) or {}


def _history(
    connection: Connection, query: _Query, account: Account, kept: KeptHistory | None, known_since: float
) -> _History:
    """Return the events of an account that are asked for: the kept ones, and those of the rows before and after."""
    begin = events_begin(query.choice.since)
    rest = [(begin, math.inf)]
    events: list[ListedEvent] = []
    made: list[Event] = []
    snapshots = limits_before(connection, account.id, begin)
    if kept is not None:
        since, until = kept.coverage
        # From 0 on is from the first row on.
        rest = [(begin, since)] if begin < since and since > 0 else []
        rest.append((until, math.inf))
        snapshots += kept.snapshots
        events += kept.events
    recent = query.recent if kept else None
    for since, until in rest:
        wanted = EventRange(account.id, since, until, query.now, known_since)
        part = computed(
            recent,
            ("events", account.key, since, until),
            _state(connection, wanted, query.now) if recent else None,
            query.now,
            functools.partial(_made, connection, wanted),
        )
        made += part.events
        snapshots += part.snapshots
    made += token_events(_tokens(connection, account.id))
    events += [listed(each) for each in made if query.choice.includes(each)]
    return _History(events, snapshots)


def _state(connection: Connection, wanted: EventRange, now: float) -> object:
    """Return a value that is another one whenever the events of a range may be."""
    return edit_number(connection), wanted._replace(now=None), rows_state(connection, wanted, now)


def _made(connection: Connection, wanted: EventRange) -> _MadeEvents:
    """Return the events of a range, made of the rows."""
    found = events_of(connection, wanted)
    return _MadeEvents([shown.event for shown in found.shown], len(found.snapshots_at))


def _tokens(connection: Connection, account: int) -> Iterator[Mapping[str, Any]]:
    rows = connection.execute(_TOKENS, (account,))
    return map(dict, rows)


_TOKENS = "SELECT * FROM tokens WHERE account = ? ORDER BY first_seen_at, token_key"


# Documents


def _head(found: _Found, query: _Query) -> EventsDocument:
    """Return a document without its events."""
    return {
        "generated_at": int(query.now),
        "since": query.choice.since,
        "limit_id": query.choice.limit_id,
        "turns_known_since": found.turns_known_since if found.turns_known_since > 0 else None,
        "readings": found.snapshots,
        "accounts": [account.reference for account in found.accounts],
        "events": [],
    }


def _entries(found: Sequence[tuple[ListedEvent, Account]], zone: dt.tzinfo | None) -> Iterator[EventEntry]:
    parsed = iter(parse_events([each.event for each, _ in found if isinstance(each.event, str)]))
    for each, account in found:
        yield _event_entry(next(parsed) if isinstance(each.event, str) else each.event, account, zone)


def _event_entry(event: Event, account: Account, zone: dt.tzinfo | None) -> EventEntry:
    text = event_text(event, zone)
    return {
        "at": event.at,
        "kind": event.kind,
        **account.reference,
        "limit_id": event.limit_id,
        "limit_name": event.limit_name,
        "slot": event.slot,
        "window_minutes": event.window_minutes,
        "length": length_code(event.window_minutes),
        "text": text,
        "note": event_note(event),
        "short_text": text_beside_time(text, event, zone),
        "routine": is_routine(event),
        "seconds": event.seconds,
        "points": event.points,
        "credits": event.credits,
        "before": event.before.document,
        "after": event.after.document,
    }


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
