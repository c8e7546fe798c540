"""The use of a window from the rows of the database, a week at a time, so that a year fits in little memory.

What is kept of it (`store.queries.kept_usage`) is made of the same parts by the same functions.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from store.analysis.attribution import (
    FIT_GAPS,
    FIT_TURNS,
    MAX_RUNNING_SECONDS,
    Interval,
    TurnUse,
    Weights,
    WindowSample,
    attribute,
    intervals,
    points_in_range,
)
from store.analysis.formatting import decimal_value
from store.analysis.limit_status import SLOT_COLUMNS, WindowRow, other_windows, slots
from store.analysis.token_weights import FEW_GAPS, Fitted, fit_days, fit_history, fit_intervals, points_per_token
from store.analysis.usage_cells import QUARTER_SECONDS, STEPS, CellKey, TurnSums, cell_key, turn_cells
from store.analysis.usage_table import Readings, TimeRange
from store.connection import is_file
from store.constants import BUDGET_SLOT, FULL_PERCENT
from store.queries.cursors import tuple_cursor
from store.queries.imported import imported_samples, imported_windows
from store.queries.limits import current_snapshots
from store.queries.turns import OF_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from store.connection import Connection
    from store.queries.accounts import Account

LOOK_BACK = 200
"""Snapshots around a stretch of time that are searched for its neighbours, where the clock was set back."""

_RATE_GAPS, _RATE_TURNS = 500, 1_000
"""The intervals and turns that a single rate is from: ``next`` runs in scripts, for all accounts."""

_WEEK = 7 * 86_400

SESSION = "CASE WHEN subagent IS NOT NULL THEN session END"
"""The session of a turn of a sub-agent: many texts that nothing is done with take time."""


class Place(NamedTuple):
    """A window of a limit of an account; ``account`` is the id of its row."""

    account: int
    limit_id: str | None
    slot: str


class Samples(NamedTuple):
    """Samples of a window in the order of arrival, of which the first ones are from session files."""

    all: list[WindowSample]
    imported: int

    def readings(self, since: float, until: float, period: TimeRange) -> Iterator[tuple[WindowSample, bool]]:
        """Yield the samples with ``since <= first_at < until`` in a period, and whether each is from a session file."""
        for number, sample in enumerate(self.all):
            if since <= sample.first_at < until and period.contains(sample.first_at):
                yield sample, number < self.imported


ALWAYS = TimeRange(-math.inf, math.inf)


class Use(NamedTuple):
    """The use of a window in a stretch of time.

    Args:
        turns: the sums of the turns that ended in it, by cell.
        shares: the points of each cell, by the quarter of an hour in which the increase was read.
        unexplained: points that no turn explains, each with when they were read.
        readings: what was read, by the quarter of an hour.
        lengths: the minutes of the window as the last reading of each of these quarters told them.

    """

    turns: Mapping[CellKey, TurnSums]
    shares: Mapping[tuple[int, CellKey], float]
    unexplained: Sequence[tuple[float, float]]
    readings: Mapping[int, Readings]
    lengths: Mapping[int, int | None]


class Weigher:
    """The weights of an account's tokens at any time.

    Attributes:
        made: what was fitted, by the beginning of its week or day: None for a week with too little before it, so that
            its days count.
    """

    def __init__(
        self,
        connection: Connection,
        place: Place,
        known: Mapping[float, Fitted | None] | None = None,
        *,
        refit_at: float | None = None,
    ) -> None:
        """Take known weights, or with `refit_at` (Unix seconds) those of the history up to then for any time."""
        self.made: dict[float, Fitted | None] = {}
        self._connection = connection
        self._place = place
        self._known = known or {}
        self._same = None if refit_at is None else fit_at(connection, place, refit_at)
        if refit_at is not None:
            self.at(refit_at)

    def at(self, timestamp: float) -> Fitted:
        """Return the weights of increases that were read at a timestamp."""
        week, day = fit_days(timestamp)
        if self._same:
            self.made[week] = self._same
            return self._same
        return self._fitted(week, FEW_GAPS) or self._fitted(day, 0) or Fitted({}, None, day)

    def _fitted(self, at: float, fewest: int) -> Fitted | None:
        for known in (self._known, self.made):
            if at in known:
                return known[at]
        found = fit_at(self._connection, self._place, at, fewest)
        self.made[at] = found
        return found


def fit_at(connection: Connection, place: Place, at: float, fewest: int = 0) -> Fitted | None:
    """Return what an account's history up to a timestamp shows; None if it has fewer intervals than so many."""
    samples = window_samples(connection, place, at, at, before=FIT_GAPS + LOOK_BACK, after=0)
    found = intervals(samples.all)[-FIT_GAPS:]
    if len(found) < fewest:
        return None
    return fit_history(found, _turns_before(connection, place, at, FIT_TURNS), at)


def limit_windows(
    connection: Connection, accounts: Sequence[Account], limit: str | None
) -> dict[int, dict[str, int | None]]:
    """Return by account the slots of the windows that a limit has now, and the minutes of each.

    Of a limit that the tap has not seen yet, they are those of the account's session files.
    """
    snapshots = current_snapshots(connection, accounts)
    found = {}
    for account in accounts:
        rows = [row for row in snapshots.get(account.id, []) if row["limit_id"] == limit]
        found[account.id] = (
            {slot: window.window_minutes for row in rows for slot, window in slots(row)}
            if rows
            else imported_windows(connection, account.id, limit)
        )
    return found


def token_rate(connection: Connection, place: Place, now: float, kept: Mapping[tuple[int, str], Rate]) -> float | None:
    """Return the points that a weighted token costs by an account's history, with the same weights for all accounts.

    It is that of the beginning of the day in UTC, or of the newest history where that was too short then; None where
    nothing can be said. `kept` are those rates that are known.
    """
    known = place.account, place.slot
    rate = kept[known] if known in kept else rate_at(connection, place, fit_days(now)[1])
    return rate.points if rate.is_settled else rate_at(connection, place, math.inf).points


class Rate(NamedTuple):
    """The points that a weighted token costs; None if the history does not tell.

    ``is_settled`` is true if it tells, or if it has so many turns that a few more change nothing.
    """

    points: float | None
    is_settled: bool


def rate_at(connection: Connection, place: Place, at: float) -> Rate:
    """Return what a weighted token costs by the newest history before a timestamp."""
    samples = window_samples(connection, place, at, at, before=_RATE_GAPS + LOOK_BACK, after=0)
    found = intervals(samples.all)[-_RATE_GAPS:]
    turns = _turns_before(connection, place, at, _RATE_TURNS)
    points = points_per_token(fit_intervals(found, turns), {})
    return Rate(points, points is not None or len(turns) == _RATE_TURNS)


class UseReader(NamedTuple):
    """Reads the use of a window in a period, with the weights of a weigher.

    ``steps_of`` returns the numbers of input tokens above which the prices of a model are others.
    """

    connection: Connection
    place: Place
    weigher: Weigher
    period: TimeRange = ALWAYS
    steps_of: Callable[[str | None], Sequence[int]] = lambda _: STEPS

    def weeks(self, since: float, until: float) -> Iterator[Use]:
        """Yield the use with ``since <= at < until`` (Unix seconds) as far as it is in the period, week by week."""
        for stretch in self._stretches(since, until):
            yield self._stretch(stretch, window_samples(self.connection, self.place, *stretch))

    def weeks_before(self, kept: TimeRange) -> Iterator[Use]:
        """Yield the use of the period before kept rows, and what these have of the time before the period.

        That is negative: the parts of increases that lie across the beginning of the period.
        """
        samples = None
        for stretch in self._stretches(self.period.since, kept.since):
            samples = window_samples(self.connection, self.place, *stretch)
            yield self._stretch(stretch, samples)
        if samples is None:
            samples = window_samples(self.connection, self.place, kept.since, kept.since)
        yield from self._before_period(kept, samples)

    def _stretches(self, since: float, until: float) -> Iterator[TimeRange]:
        return _weeks(max(since, first_at(self.connection, self.place)), until, self.period.until)

    def _stretch(self, stretch: TimeRange, samples: Samples) -> Use:
        since, until = stretch
        found = [each for each in intervals(samples.all, since, until) if points_in_range(each, *self.period)]
        turns = self._turns(found, since, until)
        ended = [turn for turn in turns if since <= turn.ended_at < until and self.period.contains(turn.ended_at)]
        shared = _shared(found, turns, self.weigher, self.period)
        readings = samples.readings(since, until, self.period)
        return Use(
            turn_cells(ended, self.steps_of),
            shared.shares,
            shared.unexplained,
            _readings(samples, found, stretch, self.period),
            {_quarter(each.first_at): each.window_minutes for each, _ in readings},
        )

    def _before_period(self, kept: TimeRange, samples: Samples) -> Iterator[Use]:
        found = [each for each in intervals(samples.all, *kept) if each.start < self.period.since]
        if not found:
            return
        turns = self._turns(found, kept.since, max(each.end for each in found) + 1)
        whole, inside = (_shared(found, turns, self.weigher, each) for each in (ALWAYS, self.period))
        for key, points in inside.shares.items():
            whole.shares[key] -= points
        shares = {key: -points for key, points in whole.shares.items()}
        unexplained = [*inside.unexplained, *((-points, at) for points, at in whole.unexplained)]
        lost = math.fsum(points_in_range(each, *self.period) - each.increase for each in found)
        yield Use({}, shares, unexplained, {0: Readings(points=lost)}, {})

    def _turns(self, found: Sequence[Interval], since: float, until: float) -> list[TurnUse]:
        """Return the turns that ended with ``since <= at < until``, and those that intervals up to then may need."""
        of = (self.place.account, self.place.limit_id, self.place.limit_id)
        cursor, select = tuple_cursor(self.connection), _select_turns(self.connection)
        lowest = min((each.start for each in found), default=since)
        rows = cursor.execute(
            f"{select} >= ? AND ended_at < ? ORDER BY ended_at, id", (*of, min(lowest, since), until)
        ).fetchall()
        if found:
            rows += cursor.execute(
                f"{select} >= ? AND ended_at <= ? AND first_byte_at < ? ORDER BY ended_at, id",
                (*of, until, until + MAX_RUNNING_SECONDS, until),
            )
        return list(map(TurnUse._make, rows))


def window_samples(
    connection: Connection,
    place: Place,
    since: float,
    until: float,
    *,
    before: int = LOOK_BACK,
    after: int = LOOK_BACK,
) -> Samples:
    """Return the samples with ``since <= first_at < until`` and so many before and after them."""
    account, limit, slot = place
    cursor = tuple_cursor(connection)
    columns = ", ".join(SLOT_COLUMNS.get(slot, ["other_windows", "budget_used", "budget_limit"]))
    select = f"SELECT id, first_seen_at, last_seen_at, windows_seen_at, {columns} FROM snapshots"  # noqa: S608 (constants)
    where = f"{select} WHERE account = ? AND limit_id = ? AND late = 0 AND first_seen_at"
    rows = cursor.execute(
        f"{where} < ? ORDER BY first_seen_at DESC, id DESC LIMIT ?", (account, limit, since, before)
    ).fetchall()
    has_all = len(rows) < before
    if until > since:
        rows += cursor.execute(f"{where} >= ? AND first_seen_at < ?", (account, limit, since, until))
    if after:
        rows += cursor.execute(f"{where} >= ? ORDER BY first_seen_at, id LIMIT ?", (account, limit, until, after))
    imported: list[WindowSample] = []
    if has_all:
        imported = imported_samples(
            connection, account, limit, slot, since=since, until=until, before=before, after=after
        )
    # The order of arrival: the clock may have been set back.
    rows.sort()
    return Samples([*imported, *_reported(rows, slot)], len(imported))


def newest_sample(connection: Connection, place: Place, since: float, until: float = math.inf) -> WindowSample | None:
    """Return the last sample of a window in a time range, or from not long before it; None where there is none."""
    for each in reversed(list(_weeks(max(since, first_at(connection, place)), until, until))):
        found = window_samples(connection, place, *each, after=0).all
        if found:
            return found[-1]
    return latest_sample(connection, place, since, FIT_GAPS)


def latest_sample(
    connection: Connection, place: Place, before: float = math.inf, most: int = LOOK_BACK
) -> WindowSample | None:
    """Return the last sample of a window before a time (Unix seconds); None where so many snapshots have none."""
    for number in (1, most):
        found = window_samples(connection, place, before, before, before=number, after=0).all
        if found:
            return found[-1]
    return None


# Stretches of time


def _weeks(since: float, until: float, now: float) -> Iterator[TimeRange]:
    """Yield the weeks between two times; the one of `now` goes on to `until`, however late that is."""
    start = since
    while start < until:
        end = fit_days(start)[0] + _WEEK
        end = until if end > now else min(end, until)
        yield TimeRange(start, end)
        start = end


def first_at(connection: Connection, place: Place) -> float:
    """Return when the first row of a window or of its turns is from; infinity where there is none."""
    values = {"account": place.account, "limit": place.limit_id}
    found = tuple_cursor(connection).execute(_FIRST_ROWS, values).fetchone()
    return min((at for at in found if at is not None), default=math.inf)


def _readings(
    samples: Samples, found: Iterable[Interval], stretch: TimeRange, period: TimeRange
) -> dict[int, Readings]:
    counts: defaultdict[int, list[float]] = defaultdict(lambda: [0, 0, 0, 0.0])
    for sample, imported in samples.readings(*stretch, period):
        count = counts[_quarter(sample.first_at)]
        count[0] += 1
        count[1] += imported
    for interval in found:
        count = counts[_quarter(interval.end)]
        count[2] += 1
        count[3] += points_in_range(interval, *period)
    return {
        quarter: Readings(int(number), int(imported), int(increases), points)
        for quarter, (number, imported, increases, points) in counts.items()
    }


class _Shared(NamedTuple):
    shares: defaultdict[tuple[int, CellKey], float]
    unexplained: list[tuple[float, float]]


def _shared(found: Sequence[Interval], turns: Sequence[TurnUse], weigher: Weigher, period: TimeRange) -> _Shared:
    """Attribute increases to turns, each with the weights of its time."""
    shared = _Shared(defaultdict(float), [])
    by_fit: dict[int, tuple[Fitted, list[Interval]]] = {}
    for interval in found:
        fitted = weigher.at(interval.end)
        by_fit.setdefault(id(fitted), (fitted, []))[1].append(interval)
    for fitted, some in by_fit.values():
        weights: Mapping[str | None, Weights] = fitted.weights
        for part in attribute(some, turns, weights, *period, rate=fitted.rate):
            if part.turn is None:
                shared.unexplained.append((part.points, part.at))
            else:
                shared.shares[_quarter(part.at), cell_key(part.turn, ())] += part.points
    return shared


def _quarter(at: float) -> int:
    return int(at // QUARTER_SECONDS)


# Rows


def _reported(rows: Iterable[tuple[Any, ...]], slot: str) -> Iterator[WindowSample]:
    """Yield the samples of the window; rows that repeat it are one sample, which a message without windows ends not."""
    has_columns = slot in SLOT_COLUMNS
    begun_at = ended_at = 0.0
    last: tuple[Any, ...] | None = None
    for row in rows:
        _, first_at, last_at, windows_at = row[:4]
        window = row[4:] if has_columns else _other_window(slot, *row[4:])
        if window[0] is None:
            continue
        seen_at = last_at if windows_at is None else windows_at
        if window == last:
            ended_at = seen_at if seen_at >= first_at else ended_at
            continue
        if last is not None:
            yield WindowSample(begun_at, ended_at, *last)
        begun_at, ended_at, last = first_at, seen_at, window
    if last is not None:
        yield WindowSample(begun_at, ended_at, *last)


def _other_window(slot: str, windows: str | None, used: str | None, limit: str | None) -> WindowRow:
    """Return a window without columns of its own; that of a budget has the used percent that the amounts say."""
    window = other_windows(windows).get(slot, WindowRow())
    spent, size = decimal_value(used), decimal_value(limit)
    if slot != BUDGET_SLOT or window.used_percent is None or spent is None or not size:
        return window
    return window._replace(used_percent=spent / size * FULL_PERCENT)


_COLUMNS = {
    # Where the client names no thread, the turn is shown under its session.
    "thread": "coalesce(thread, session)",
    "session": SESSION,
}
_MACHINE = "(SELECT m.name FROM machines m WHERE m.machine = requests.machine)"


def _select_turns(connection: Connection) -> str:
    """Return the beginning of the statement that reads turns, up to what it says of their end."""
    columns = {**_COLUMNS, "machine": "NULL" if is_file(connection) else _MACHINE}
    names = ", ".join(columns.get(name, name) for name in TurnUse._fields)
    return f"SELECT {names} FROM requests WHERE account = ? AND {OF_LIMIT} AND ended_at"  # noqa: S608 (constants)


def _turns_before(connection: Connection, place: Place, at: float, number: int) -> list[TurnUse]:
    """Return the newest turns that ended before a timestamp, sorted by their end."""
    values = (place.account, place.limit_id, place.limit_id, at, number)
    select = f"{_select_turns(connection)} < ? ORDER BY ended_at DESC, id DESC LIMIT ?"
    found = tuple_cursor(connection).execute(select, values)
    return [TurnUse._make(row) for row in reversed(found.fetchall())]


_FIRST_ROWS = """
SELECT (SELECT min(first_seen_at) FROM snapshots WHERE account = :account AND limit_id = :limit),
       (SELECT min(first_seen_at) FROM imported_limits WHERE account = :account AND limit_id = :limit),
       (SELECT min(ended_at) FROM requests WHERE account = :account)
"""
