"""The events of an account, made of its rows.

Rows are read as a stream, however long the history, and increases are attributed to turns some thousands at a time.

An event is **shown** by the later of its two snapshots. What it is depends on the rows of the hour before that, on the
snapshot of each limit before those, and, where the clock was set back, on the rows of a day before and after. So the
events of consecutive ranges of time, by when they are shown, are together those of the whole.
"""

from __future__ import annotations

import heapq
import math
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from store.analysis.attribution import MAX_TURN_SECONDS, TurnUse
from store.analysis.events import (
    FAR_APART_SECONDS,
    MIN_ELSEWHERE,
    Event,
    Increase,
    account_events,
    unattributed,
    unexplained,
)
from store.analysis.formatting import DAY
from store.analysis.limit_status import FACT_COLUMNS, STATE_COLUMNS, WINDOW_COLUMNS
from store.constants import MAIN_LIMIT
from store.queries.cursors import stream_mappings, tuple_cursor
from store.queries.limits import MAX_LIMITS
from store.queries.turns import OF_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from store.analysis.attribution import Interval
    from store.analysis.limit_status import Row
    from store.connection import Connection

_BATCH = 4_000
"""Increases that are attributed to turns at once."""

_EXPLAINED_SECONDS = DAY
"""How long after an increase a turn may end that explains it: the event of that increase is withdrawn then."""

_MAX_STEP_BACK = DAY
"""How far around a range of time rows are read where the clock was set back, in seconds."""


class ShownEvent(NamedTuple):
    """An event, and the first time of the snapshot that shows it (Unix seconds)."""

    shown_at: float
    event: Event


class RangeEvents(NamedTuple):
    """The events that are shown in a range, and the first times of its snapshots (Unix seconds)."""

    shown: list[ShownEvent]
    snapshots_at: list[float]


class EventRange(NamedTuple):
    """The events of an account that are shown with ``since < shown_at <= until`` (Unix seconds).

    ``now`` is the time of the question: a turn under way may still explain an increase. None means that the range is
    too old for that. Increases from before ``turns_known_since`` are not events.
    """

    account: int
    since: float = -math.inf
    until: float = math.inf
    now: float | None = None
    turns_known_since: float = -math.inf

    def contains(self, at: float) -> bool:
        """Return True if what a snapshot of this time shows belongs to the range."""
        return self.since < at <= self.until


def events_of(connection: Connection, wanted: EventRange) -> RangeEvents:
    """Return the events of a range: those of increases some thousands of increases later than the others.

    Changes of the account's token are not among them: they come from another table.
    """
    rows = _RowsAround(connection, wanted)
    shown = list(_shown(connection, wanted, rows))
    return RangeEvents(shown, rows.inside)


def _shown(connection: Connection, wanted: EventRange, rows: _RowsAround) -> Iterator[ShownEvent]:
    waiting_by_limit: dict[str, list[Increase]] = {}
    for event in account_events(rows):
        if not wanted.contains(rows.at):
            continue
        if isinstance(event, Event):
            yield ShownEvent(rows.at, event)
        elif event.interval.increase >= MIN_ELSEWHERE:
            waiting = waiting_by_limit.setdefault(event.after["limit_id"], [])
            waiting.append(event)
            if len(waiting) >= _BATCH:
                yield from _unattributed(connection, wanted, waiting)
                waiting.clear()
    for waiting in waiting_by_limit.values():
        yield from _unattributed(connection, wanted, waiting)


class _RowsAround:
    """The snapshots around a range in the order of arrival.

    ``at`` is the first time of the one yielded last, ``inside`` has those of the yielded ones in the range.
    """

    def __init__(self, connection: Connection, wanted: EventRange) -> None:
        self._connection = connection
        self._wanted = wanted
        self.at = -math.inf
        self.inside: list[float] = []

    def __iter__(self) -> Iterator[Row]:
        account = self._wanted.account
        limits = _limits(self._connection, account)
        since, until = self._bounds(limits)
        places = [{"account": account, "limit_id": limit, "since": since, "until": until} for limit in limits]
        rows = (stream_mappings(self._connection, _ROWS, each) for each in places)
        for row in heapq.merge(*rows, key=itemgetter("id")):
            self.at = row["first_seen_at"]
            if self._wanted.contains(self.at):
                self.inside.append(self.at)
            yield row

    def _bounds(self, limits: Sequence[str]) -> tuple[float, float]:
        """Return from when to when rows are read.

        The events of an account look back for an hour, and those of a limit to its snapshot before. Where the clock was
        set back, the snapshot before one may have a later time, or an earlier one than others that came after it.
        """
        _, since, until = self._wanted[:3]
        first, last = self._ids(limits, since, until)
        early, late = since - FAR_APART_SECONDS, until
        if self._ids(limits, since - _MAX_STEP_BACK, early)[1] > first:
            early = since - _MAX_STEP_BACK
        if self._ids(limits, until, until + _MAX_STEP_BACK)[0] < last:
            late = until + _MAX_STEP_BACK
        return early, late

    def _ids(self, limits: Sequence[str], since: float, until: float) -> tuple[float, float]:
        """Return the lowest and the highest id of the snapshots of a range of time, late ones included."""
        if since >= until:
            return math.inf, -math.inf
        values = [(self._wanted.account, limit, since, until) for limit in limits]
        found = [row for each in values for row in self._connection.execute(_IDS, each) if row[0] is not None]
        return min((row[0] for row in found), default=math.inf), max((row[1] for row in found), default=-math.inf)


def limits_before(connection: Connection, account: int, at: float) -> int:
    """Return the number of an account's limits that have a snapshot from up to a time, to compare the next with."""
    (number,) = connection.execute(_LIMITS_BEFORE, (account, at)).fetchone()
    return int(number)


def current_rows(connection: Connection, account: int) -> list[Row]:
    """Return the newest snapshot of each of an account's limits: it changes as long as the same is seen again."""
    return [dict(row) for row in connection.execute(_CURRENT, (account,))]


def row_by_id(connection: Connection, row_id: int) -> Row | None:
    """Return a snapshot; None if it is not there any more."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM snapshots WHERE id = ?", (row_id,)).fetchone()  # noqa: S608 (constant)
    return dict(row) if row else None


def rows_state(connection: Connection, wanted: EventRange, now: float) -> object:
    """Return a value that is another one whenever the events of a range without an end may be, edits left out."""
    # The last two change as an increase comes to be pending, and as it no longer is.
    counted = [
        (_TURN_NUMBERS, wanted.since),
        (_NUMBERS, wanted.since),
        (_NUMBERS, now),
        (_NUMBERS, now - MAX_TURN_SECONDS),
    ]
    numbers = [tuple(connection.execute(statement, (at, wanted.account)).fetchone()) for statement, at in counted]
    return numbers, current_rows(connection, wanted.account)


def _unattributed(connection: Connection, wanted: EventRange, increases: Sequence[Increase]) -> Iterator[ShownEvent]:
    limit_id = increases[0].after["limit_id"]
    now = math.inf if wanted.now is None else wanted.now

    def turns(since: float, until: float) -> Iterator[TurnUse]:
        values = (wanted.account, limit_id, limit_id, max(since, wanted.turns_known_since), until)
        return map(TurnUse._make, tuple_cursor(connection).execute(_TURNS, values))

    # In nearly every increase a turn has ended. Only for the others those matter that were under way, of a whole day.
    ended = [turn for span in _spans(each.interval for each in increases) for turn in turns(*span)]
    left = unexplained(increases, ended, now, wanted.turns_known_since)
    if left:
        end = max(each.interval.end for each in left) + _EXPLAINED_SECONDS
        around = list(turns(min(each.interval.start for each in left), end))
        for event in unattributed(left, around, now, wanted.turns_known_since):
            yield ShownEvent(event.at, event)


def _spans(intervals: Iterable[Interval]) -> list[tuple[float, float]]:
    """Return the times that intervals cover, each once, in order; one that ends before it starts covers none."""
    spans: list[tuple[float, float]] = []
    for start, end, _ in sorted(intervals):
        if spans and start <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(end, spans[-1][1])
        elif start < end:
            spans.append((start, end))
    return spans


def _limits(connection: Connection, account: int) -> list[str]:
    return [row[0] for row in connection.execute(_LIMITS, (account, MAIN_LIMIT, MAX_LIMITS))]


_LIMITS = "SELECT limit_id FROM limits WHERE account = ? ORDER BY limit_id != ?, limit_id LIMIT ?"

_COLUMNS = (
    f"id, limit_id, limit_name, token_key, first_seen_at, last_seen_at, windows_seen_at, {WINDOW_COLUMNS},"
    f" {STATE_COLUMNS}, {FACT_COLUMNS}, plan_type, reset_credits, source"
)

_ROWS = f"""
WITH before AS (
    SELECT id, first_seen_at FROM snapshots
    WHERE account = :account AND limit_id = :limit_id AND first_seen_at <= :since AND late = 0
    ORDER BY first_seen_at DESC, id DESC LIMIT 1
)
SELECT {_COLUMNS} FROM snapshots
WHERE account = :account AND limit_id = :limit_id AND late = 0 AND first_seen_at >= coalesce(
    (SELECT min(s.first_seen_at) FROM before JOIN main.snapshots s
     ON s.account = :account AND s.limit_id = :limit_id AND s.id >= before.id
     AND s.first_seen_at > before.first_seen_at - {_MAX_STEP_BACK} AND s.first_seen_at <= before.first_seen_at),
    :since) AND first_seen_at <= :until
ORDER BY +id
"""  # noqa: S608 (constants)
"""The rows begin with the limit's newest one from up to ``since``, or, where the clock was set back, the earliest one
that arrived after it: so the one that arrived last before those of the range is among them.

The index finds the rows by their time; without the `+` SQLite would walk the table by id.
"""

_CURRENT = f"SELECT {_COLUMNS} FROM snapshots WHERE id IN (SELECT snapshot_id FROM limits WHERE account = ?)"  # noqa: S608

_IDS = (
    "SELECT min(id), max(id) FROM main.snapshots"
    " WHERE account = ? AND limit_id = ? AND first_seen_at > ? AND first_seen_at <= ?"
)

_TURN_NUMBERS = "SELECT count(*), max(id) FROM main.requests WHERE ended_at > ? AND account = ?"
_NUMBERS = """
SELECT count(*), max(s.id) FROM limits l
JOIN main.snapshots s ON s.account = l.account AND s.limit_id = l.limit_id AND s.first_seen_at > ?
WHERE l.account = ?
"""
"""As in `_IDS`, the index has all that is asked for."""

_LIMITS_BEFORE = (
    "SELECT count(*) FROM limits l WHERE l.account = ? AND EXISTS (SELECT 1 FROM snapshots s"
    " WHERE s.account = l.account AND s.limit_id = l.limit_id AND s.late = 0 AND s.first_seen_at <= ?)"
)

_NOT_READ = frozenset(
    ("thread", "session", "parent_thread", "subagent", "reasoning_effort", "client", "response_model", "machine")
)
"""What does not matter to whether a turn explains an increase; texts of many turns take time."""

_TURNS = f"""
SELECT {", ".join("NULL" if name in _NOT_READ else name for name in TurnUse._fields)} FROM requests
WHERE account = ? AND {OF_LIMIT} AND ended_at > ? AND ended_at <= ? ORDER BY ended_at, id
"""  # noqa: S608 (constant columns)
