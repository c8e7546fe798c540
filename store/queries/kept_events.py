"""The kept events of accounts (`store.kept`): each with what sentences are made of, and without them.

What a question chooses events by has columns of its own, so that it parses no more of them than it shows.

The current snapshot of a limit is not final, however old: it moves on as the limit is seen again. So the kept events
that depend on such a snapshot are stored with what they depend on (the table ``events_open``), and made again where
that has changed.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from store.analysis.attribution import MAX_TURN_SECONDS
from store.analysis.events import Doubt, Event, EventEvidence, is_routine, server_skew
from store.analysis.limit_status import slots
from store.kept.kind import Coverage, Kind, Piece, ceil_to
from store.queries.event_rows import EventRange, current_rows, events_of, row_by_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from store.analysis.limit_status import Row
    from store.connection import Connection
    from store.constants import EventKind
    from store.kept.kind import Kept

STEP = 3_600.0
"""Snapshots are counted by spans of this many seconds."""

FINAL_SECONDS = float(MAX_TURN_SECONDS)
"""No increase is pending then. A turn that ends later is found by its start, and what it may explain is made again."""


class EventChoice(NamedTuple):
    """The events that a question is about: from ``since`` on (Unix seconds), of some kinds, of a limit; None is all."""

    since: float | None = None
    kinds: Collection[str] | None = None
    limit_id: str | None = None

    def includes(self, event: Event) -> bool:
        """Return True if the question is about an event."""
        return (
            (self.since is None or event.at >= self.since)
            and (self.kinds is None or event.kind in self.kinds)
            and (self.limit_id is None or event.limit_id == self.limit_id)
        )

    def condition(self) -> tuple[str, list[Any]]:
        """Return the same as a condition on kept events, and its values."""
        conditions, values = ["happened_at >= ?"], list[Any]([-math.inf if self.since is None else self.since])
        if self.kinds is not None:
            conditions.append(f"kind IN ({_marks(self.kinds)})")
            values += self.kinds
        if self.limit_id is not None:
            conditions.append("limit_id = ?")
            values.append(self.limit_id)
        return " AND ".join(conditions), values


class ListedEvent(NamedTuple):
    """An event in a list. That of a kept one is a text, for `parse_events`: most of them are only counted."""

    at: float
    kind: EventKind
    is_routine: bool
    event: Event | str


class KeptHistory(NamedTuple):
    """The kept events of an account, and the number of snapshots that were compared for them, within its coverage."""

    coverage: Coverage
    events: list[ListedEvent]
    snapshots: int


def load_kept_events(source: Connection, kept: Kept, wanted: EventRange, choice: EventChoice) -> KeptHistory | None:
    """Return the kept part of the events of a range, which ends at a multiple of `STEP`; None where there is none."""
    coverage = kept.coverage.get(wanted.account)
    if coverage is None:
        return None
    covered = Coverage(max(coverage.since, wanted.since), min(coverage.until, wanted.until))
    if covered.until <= covered.since:
        return None
    account, known_since = wanted.account, wanted.turns_known_since
    changed = _changed_times(source, kept.connection, account, covered)
    condition, chosen = choice.condition()
    rows = kept.connection.execute(
        f"{_EVENTS} AND at NOT IN ({_marks(changed)}) AND {condition} ORDER BY at, rowid",
        (account, *covered, known_since, *changed, *chosen),
    )
    events = list(map(ListedEvent._make, rows))
    for at in changed:
        made = events_of(source, _moment(account, at)._replace(turns_known_since=known_since))
        events += [listed(shown.event) for shown in made.shown if choice.includes(shown.event)]
    (snapshots,) = kept.connection.execute(_SNAPSHOTS, (account, *covered)).fetchone()
    return KeptHistory(covered, events, snapshots)


def listed(event: Event) -> ListedEvent:
    """Return an event as one in a list."""
    return ListedEvent(event.at, event.kind, is_routine(event), event)


def parse_events(texts: Sequence[str]) -> list[Event]:
    """Return the events of the texts of kept ones."""
    # All at once: a call for each takes as long as what it parses.
    return [_event(values) for values in json.loads(f"[{','.join(texts)}]")]


# Filling


def _fill(piece: Piece) -> float:
    account, since, until = piece[2:]
    open_rows = {row["id"]: row for row in current_rows(piece.source, account)}
    for at in _changed_times(piece.source, piece.kept, account, None):
        piece.kept.execute("DELETE FROM events_shown WHERE account = ? AND at = ?", (account, at))
        piece.kept.execute("DELETE FROM events_open WHERE account = ? AND at = ?", (account, at))
        _store(piece, _moment(account, at), open_rows)
    snapshots_at = _store(piece, EventRange(account, since, until), open_rows)
    # By spans of `STEP`, each by its end.
    counts = Counter(ceil_to(STEP, at) for at in snapshots_at)
    rows = [(account, *count) for count in counts.items()]
    piece.kept.executemany("INSERT INTO events_snapshots (account, at, snapshots) VALUES (?, ?, ?)", rows)
    return until


EVENTS = Kind(
    name="events",
    rules=4,
    tables={
        "events_shown": "happened_at REAL NOT NULL, kind TEXT NOT NULL, limit_id TEXT, is_routine INTEGER NOT NULL,"
        " seen_before_at REAL NOT NULL, event TEXT NOT NULL",
        "events_open": "snapshot_id INTEGER NOT NULL, state TEXT NOT NULL",
        "events_snapshots": "snapshots INTEGER NOT NULL",
    },
    fill=_fill,
    step=STEP,
    final=FINAL_SECONDS,
)
"""A row of ``events_shown`` has the time at which its event was shown, one of ``events_snapshots`` its span's end."""


def _store(piece: Piece, wanted: EventRange, open_rows: Mapping[int, Row]) -> list[float]:
    """Store the events of a range, and what those depend on that come from a snapshot which is not final.

    Returns:
        The first times of the range's snapshots.

    """
    account = wanted.account
    states: dict[tuple[float, int], dict[str, Any]] = {
        (row["first_seen_at"], row_id): _clock_state(row)
        for row_id, row in open_rows.items()
        if wanted.contains(row["first_seen_at"])
    }
    found = events_of(piece.source, wanted)
    for shown_at, event in found.shown:
        piece.kept.execute(_INSERT, (account, shown_at, *_columns(event)))
        for evidence, state_of in ((event.before, _end_state), (event.after, _reset_state)):
            row = open_rows.get(evidence.id or 0)
            if row is not None:
                states.setdefault((shown_at, row["id"]), {}).update(state_of(row))
    piece.kept.executemany(
        "INSERT INTO events_open (account, at, snapshot_id, state) VALUES (?, ?, ?, ?)",
        [(account, at, row_id, json.dumps(state)) for (at, row_id), state in states.items()],
    )
    return found.snapshots_at


# What events depend on of a snapshot that is not final


def _clock_state(row: Row) -> dict[str, Any]:
    return {"skew": server_skew(row), "clock": row["server_time"] is not None}


def _reset_state(row: Row) -> dict[str, Any]:
    return {"resets": {slot: window.resets_at for slot, window in slots(row)}}


def _end_state(row: Row) -> dict[str, Any]:
    return {"left_at": row["last_seen_at"]}


def _state(row: Row, names: Iterable[str]) -> dict[str, Any]:
    whole = {**_clock_state(row), **_reset_state(row), **_end_state(row)}
    return {name: whole[name] for name in names}


def _changed_times(source: Connection, kept: sqlite3.Connection, account: int, covered: Coverage | None) -> list[float]:
    """Return the times of events whose snapshots have changed since they were stored."""
    since, until = covered or (-math.inf, math.inf)
    changed = set[float]()
    for at, row_id, text in kept.execute(_OPEN, (account, since, until)).fetchall():
        row, state = row_by_id(source, row_id), json.loads(text)
        if row is None or _state(row, state) != state:
            changed.add(at)
    return sorted(changed)


def _marks(values: Collection[Any]) -> str:
    return ", ".join("?" * len(values))


def _moment(account: int, at: float) -> EventRange:
    return EventRange(account, math.nextafter(at, -math.inf), at)


# Texts


def _columns(event: Event) -> tuple[Any, ...]:
    """Return what is stored of an event behind the time at which it was shown."""
    text = json.dumps(event, separators=(",", ":"))
    return event.at, event.kind, event.limit_id, is_routine(event), event.before.seen_at, text


def _event(values: list[Any]) -> Event:
    values[_BEFORE] = EventEvidence._make(values[_BEFORE])
    values[_AFTER] = EventEvidence._make(values[_AFTER])
    if values[_DOUBT] is not None:
        values[_DOUBT] = Doubt._make(values[_DOUBT])
    return Event._make(values)


_BEFORE, _AFTER, _DOUBT = (Event._fields.index(name) for name in ("before", "after", "doubt"))

_INSERT = "INSERT INTO events_shown VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_EVENTS = (
    "SELECT happened_at, kind, is_routine, event FROM events_shown WHERE account = ? AND at > ? AND at <= ?"
    " AND (kind != 'used_elsewhere' OR seen_before_at >= ?)"
)
_OPEN = "SELECT at, snapshot_id, state FROM events_open WHERE account = ? AND at > ? AND at <= ?"
_SNAPSHOTS = "SELECT coalesce(sum(snapshots), 0) FROM events_snapshots WHERE account = ? AND at > ? AND at <= ?"
