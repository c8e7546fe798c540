"""The kept events of accounts (`store.kept`): each with what sentences are made of, and without them.

The current snapshot of a limit is not final, however old: it moves on as the limit is seen again. So the kept events
that depend on such a snapshot are stored with what they depend on (the table ``events_open``), and made again where
that has changed.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from store.analysis.events import Doubt, Event, EventEvidence, server_skew
from store.analysis.limit_status import slots
from store.kept.kind import Kind, Piece, ceil_to
from store.queries.event_rows import EventRange, current_rows, row_by_id, shown_events, snapshot_times

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from store.analysis.limit_status import Row
    from store.connection import Connection
    from store.kept.kind import Coverage, Kept

STEP = 6 * 3_600.0
"""Snapshots are counted by spans of this many seconds."""


class KeptHistory(NamedTuple):
    """The kept events of an account, and the number of snapshots that were compared for them, within its coverage."""

    coverage: Coverage
    events: list[Event]
    snapshots: int


def load_kept_events(source: Connection, kept: Kept, wanted: EventRange) -> KeptHistory | None:
    """Return the kept part of the events of a range; None where there is none."""
    account, since, until = wanted[:3]
    coverage = kept.coverage.get(account)
    if coverage is None or coverage.until <= since:
        return None
    covered = coverage._replace(since=max(coverage.since, since), until=min(coverage.until, until))
    changed = _changed_times(source, kept.connection, account, covered)
    rows = kept.connection.execute(_EVENTS, (account, *covered))
    # All at once: a call for each takes as long as what it parses.
    texts = ",".join(text for shown_at, text in rows if shown_at not in changed)
    events = [_event(values) for values in json.loads(f"[{texts}]")]
    for at in changed:
        events += [shown.event for shown in shown_events(source, _moment(account, at))]
    (snapshots,) = kept.connection.execute(_SNAPSHOTS, (account, *covered)).fetchone()
    return KeptHistory(covered, events, snapshots)


# Filling


def _fill(piece: Piece) -> float:
    account, since, until = piece[2:]
    open_rows = {row["id"]: row for row in current_rows(piece.source, account)}
    for at in _changed_times(piece.source, piece.kept, account, None):
        piece.kept.execute("DELETE FROM events_shown WHERE account = ? AND at = ?", (account, at))
        piece.kept.execute("DELETE FROM events_open WHERE account = ? AND at = ?", (account, at))
        _store(piece, _moment(account, at), open_rows)
    _store(piece, EventRange(account, since, until), open_rows)
    piece.kept.executemany("INSERT INTO events_snapshots (account, at, snapshots) VALUES (?, ?, ?)", _counts(piece))
    return until


EVENTS = Kind(
    name="events",
    rules=1,
    tables={
        "events_shown": "event TEXT NOT NULL",
        "events_open": "snapshot_id INTEGER NOT NULL, state TEXT NOT NULL",
        "events_snapshots": "snapshots INTEGER NOT NULL",
    },
    fill=_fill,
    step=STEP,
)
"""A row of ``events_shown`` has the time at which its event was shown, one of ``events_snapshots`` its span's end."""


def _store(piece: Piece, wanted: EventRange, open_rows: Mapping[int, Row]) -> None:
    """Store the events of a range, and what those depend on that come from a snapshot which is not final."""
    account = wanted.account
    states: dict[tuple[float, int], dict[str, Any]] = {
        (row["first_seen_at"], row_id): _clock_state(row)
        for row_id, row in open_rows.items()
        if wanted.contains(row["first_seen_at"])
    }
    for shown_at, event in shown_events(piece.source, wanted):
        piece.kept.execute(_INSERT, (account, shown_at, _text(event)))
        for evidence, state_of in ((event.before, _end_state), (event.after, _reset_state)):
            row = open_rows.get(evidence.id or 0)
            if row is not None:
                states.setdefault((shown_at, row["id"]), {}).update(state_of(row))
    piece.kept.executemany(
        "INSERT INTO events_open (account, at, snapshot_id, state) VALUES (?, ?, ?, ?)",
        [(account, at, row_id, json.dumps(state)) for (at, row_id), state in states.items()],
    )


def _counts(piece: Piece) -> list[tuple[int, float, int]]:
    """Return the number of snapshots by spans of `STEP`, with the account and the end of each."""
    times = snapshot_times(piece.source, piece.account, piece.since, piece.until)
    return [(piece.account, *count) for count in Counter(ceil_to(STEP, at) for at in times).items()]


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


def _moment(account: int, at: float) -> EventRange:
    return EventRange(account, math.nextafter(at, -math.inf), at)


# Texts


def _text(event: Event) -> str:
    return json.dumps(event, separators=(",", ":"))


def _event(values: list[Any]) -> Event:
    values[_BEFORE] = EventEvidence._make(values[_BEFORE])
    values[_AFTER] = EventEvidence._make(values[_AFTER])
    if values[_DOUBT] is not None:
        values[_DOUBT] = Doubt._make(values[_DOUBT])
    return Event._make(values)


_BEFORE, _AFTER, _DOUBT = (Event._fields.index(name) for name in ("before", "after", "doubt"))

_INSERT = "INSERT INTO events_shown (account, at, event) VALUES (?, ?, ?)"
_EVENTS = "SELECT at, event FROM events_shown WHERE account = ? AND at > ? AND at <= ? ORDER BY at, rowid"
_OPEN = "SELECT at, snapshot_id, state FROM events_open WHERE account = ? AND at > ? AND at <= ?"
_SNAPSHOTS = "SELECT coalesce(sum(snapshots), 0) FROM events_snapshots WHERE account = ? AND at > ? AND at <= ?"
