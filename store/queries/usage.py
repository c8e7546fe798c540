"""The use of a window by thread, model, account, day or hour: the document of ``usage --json``."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from store.analysis.attribution import (
    DEFAULT_WEIGHTS,
    FIT_GAPS,
    FIT_TURNS,
    Attribution,
    Interval,
    TurnUse,
    WindowSample,
    attribute,
    intervals,
    points_in_range,
)
from store.analysis.formatting import dated
from store.analysis.limit_status import SLOT_COLUMNS, WindowRow, other_windows, slots
from store.analysis.token_weights import Fit, fit_intervals, fit_weights, points_per_token
from store.constants import BUDGET_LIMIT, MAIN_LIMIT
from store.queries.accounts import in_order
from store.queries.cursors import read_transaction, tuple_cursor
from store.queries.limits import current_snapshots, load_limit_ids
from store.queries.turns import OF_LIMIT

if TYPE_CHECKING:
    import datetime as dt
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from store.constants import GroupBy
    from store.documents import TokenWeights, UsageDocument, UsageFigures, UsageRow
    from store.queries.accounts import Account

_MIN_BEFORE = 50
"""Snapshots before the time range that are searched for the last one that reports the window."""

_QUARTER = 900
"""Seconds; the hours of every time zone begin at a quarter of an hour."""


class NotSeenError(Exception):
    """The requested limit or window was never seen; the message lists those that were."""


def load_usage(
    connection: sqlite3.Connection,
    now: float,
    *,
    accounts: Sequence[Account],
    by: GroupBy = "thread",
    since: float,
    window: str | None = None,
    limit_id: str | None = None,
    zone: dt.tzinfo | None = None,
) -> UsageDocument:
    """Return the use of a window of the accounts from `since` to `now` (Unix seconds).

    Without `window` it is that of ``7d``, or else of the longest window; without `limit_id` that of the main limit, or
    else of the first. Days and hours are those of `zone`, by default of the machine.

    Raises:
        NotSeenError: That limit or window was never seen.

    """
    period = _TimeRange(since, now)
    chosen = in_order(accounts)
    with read_transaction(connection):
        limit = _limit(connection, limit_id)
        seen = _windows(connection, chosen, limit)
        if not seen and limit_id is None:
            limit, seen = _budget(connection, chosen) or (limit, seen)
        slot = window if seen and window else _default_window(seen)
        histories = [_history(connection, account, limit, slot, period) for account in chosen if slot]
        names = _thread_names(connection) if by == "thread" else {}
    if slot and slot not in seen and not any(history.samples for history in histories):
        raise NotSeenError(f"no window {slot!r} has been seen; there are: {', '.join(seen)}")
    table = _Table(by, period, names, zone)
    for history in histories:
        table.add(history)
    return {
        **table.document(int(now)),
        "limit_id": limit,
        "window": slot,
        "window_minutes": _minutes(histories),
        "accounts": [account.reference for account in chosen],
    }


def empty_usage(now: float, *, by: GroupBy, since: float) -> UsageDocument:
    """Return the document of a database that does not exist yet."""
    return _Table(by, _TimeRange(since, now), {}, None).document(int(now))


# Reading


class _TimeRange(NamedTuple):
    since: float
    until: float

    def contains(self, at: float) -> bool:
        return self.since < at <= self.until


class _History(NamedTuple):
    """One account's samples of the window, the intervals between them, and its turns on the limit by their end."""

    account: Account
    samples: list[WindowSample]
    intervals: list[Interval]
    turns: list[TurnUse]


def _limit(connection: sqlite3.Connection, wanted: str | None) -> str | None:
    known = load_limit_ids(connection)
    if wanted is not None and wanted not in known:
        raise NotSeenError(f"no limit {wanted!r} has been seen; there are: {', '.join(known)}")
    return wanted or next((each for each in known if each == MAIN_LIMIT), known[0] if known else None)


def _budget(connection: sqlite3.Connection, chosen: Sequence[Account]) -> tuple[str, dict[str, int | None]] | None:
    """Return the budget, which stands for a main limit without windows, and its window; None if there is none."""
    seen = _windows(connection, chosen, BUDGET_LIMIT)
    return (BUDGET_LIMIT, seen) if seen else None


def _windows(connection: sqlite3.Connection, chosen: Sequence[Account], limit: str | None) -> dict[str, int | None]:
    """Return the slots of the windows that the limit has now, and the minutes of each."""
    snapshots = current_snapshots(connection)
    return {
        slot: window.window_minutes
        for account in chosen
        for row in snapshots.get(account.id, [])
        if row["limit_id"] == limit
        for slot, window in slots(row)
    }


def _default_window(seen: dict[str, int | None]) -> str | None:
    return "7d" if "7d" in seen else max(seen, key=lambda slot: seen[slot] or 0, default=None)


def _minutes(histories: Sequence[_History]) -> int | None:
    minutes = (history.samples[-1].window_minutes or 0 for history in histories if history.samples)
    return max(minutes, default=0) or None


def _history(
    connection: sqlite3.Connection, account: Account, limit: str | None, slot: str, period: _TimeRange
) -> _History:
    """Read an account's history since the last reading before the time range, and further back to fit weights."""
    cursor = tuple_cursor(connection)
    samples = _window_samples(cursor, account.id, limit, slot, period.since)
    found = intervals(samples)
    start = min((each.start for each in found if points_in_range(each, *period)), default=period.since)
    return _History(account, samples, found, _turns(cursor, account.id, limit, min(start, period.since)))


def _window_samples(
    cursor: sqlite3.Cursor, account: int, limit: str | None, slot: str, since: float
) -> list[WindowSample]:
    columns = ", ".join(SLOT_COLUMNS.get(slot, ["other_windows"]))
    select = f"SELECT id, first_seen_at, last_seen_at, windows_seen_at, {columns} FROM snapshots"  # noqa: S608 (constants)
    where = f"{select} WHERE account = ? AND limit_id = ? AND late = 0 AND first_seen_at"
    rows = cursor.execute(f"{where} >= ? ORDER BY first_seen_at", (account, limit, since)).fetchall()
    before = max(_MIN_BEFORE, FIT_GAPS + 1 - len(rows))
    rows += cursor.execute(f"{where} < ? ORDER BY first_seen_at DESC LIMIT ?", (account, limit, since, before))
    # The order of arrival: the clock may have been set back.
    rows.sort()
    return list(_reported(rows, slot))


def _reported(rows: Iterable[tuple[Any, ...]], slot: str) -> Iterator[WindowSample]:
    """Yield the samples of the window; a row opened by a message without windows only repeats the one before."""
    last: WindowRow | None = None
    for _, first_at, last_at, windows_at, *columns in rows:
        window = WindowRow(*columns) if slot in SLOT_COLUMNS else other_windows(columns[0]).get(slot, WindowRow())
        if window.used_percent is None:
            continue
        if window == last and windows_at is not None and windows_at < first_at:
            continue
        last = window
        seen_at = last_at if windows_at is None else windows_at
        yield WindowSample(first_at, seen_at, window.used_percent, window.window_minutes, window.resets_at)


def _turns(cursor: sqlite3.Cursor, account: int, limit: str | None, start: float) -> list[TurnUse]:
    columns = ", ".join(TurnUse._fields)
    select = f"SELECT {columns} FROM requests WHERE account = ? AND {OF_LIMIT} AND ended_at"  # noqa: S608 (constants)
    newer = cursor.execute(f"{select} > ? ORDER BY ended_at", (account, limit, limit, start)).fetchall()
    more = max(0, FIT_TURNS - len(newer))
    values = (account, limit, limit, start, more)
    older = cursor.execute(f"{select} <= ? ORDER BY ended_at DESC LIMIT ?", values).fetchall()
    return [TurnUse._make(row) for row in (*reversed(older), *newer)]


def _thread_names(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT thread, name FROM threads WHERE name IS NOT NULL").fetchall())


# Counting


_COUNTS = ("turns", "refused", "warm_ups", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")


@dataclass(slots=True)
class _Tally:
    """The sums of one row."""

    points: list[float] = field(default_factory=list)
    turns: int = 0
    refused: int = 0
    warm_ups: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    models: set[str | None] = field(default_factory=set)
    threads: set[str | None] = field(default_factory=set)
    last_at: float | None = None

    def count(self, turn: TurnUse) -> None:
        """Count a turn that ended in the time range."""
        _, _, ended_at, thread, model, warm_up, status, whole, cached, output, reasoning = turn
        if warm_up:
            self.warm_ups += 1
        elif status is not None and status >= 400:
            self.refused += 1
        else:
            self.turns += 1
        self.input_tokens += whole or 0
        self.cached_tokens += cached or 0
        self.output_tokens += output or 0
        self.reasoning_tokens += reasoning or 0
        self.models.add(model)
        self.threads.add(thread)
        self.seen(ended_at)

    def add(self, other: _Tally) -> None:
        """Add another row, without its points."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.models |= other.models
        self.threads |= other.threads
        if other.last_at is not None:
            self.seen(other.last_at)

    def seen(self, at: float) -> None:
        """Move ``last_at`` on to a timestamp."""
        if self.last_at is None or at > self.last_at:
            self.last_at = at

    def figures(self, total: float) -> UsageFigures:
        """Return the sums as documents have them; `total` is the sum of all rows' points."""
        points = math.fsum(self.points)
        return {
            "points": points,
            "share": points / total if total else None,
            "turns": self.turns,
            "refused": self.refused,
            "warm_ups": self.warm_ups,
            "input_tokens": self.input_tokens,
            "cached_tokens": self.cached_tokens,
            "output_tokens": self.output_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "models": sorted(model for model in self.models if model is not None),
            "threads": len(self.threads - {None}),
            "last_at": self.last_at,
        }


class _Table:
    """The rows of the document, filled account by account."""

    def __init__(self, by: GroupBy, period: _TimeRange, names: dict[str, str], zone: dt.tzinfo | None) -> None:
        self._by = by
        self._period = period
        self._names = names
        self._zone = zone
        self._quarters: dict[int, str | None] = {}
        self._rows: dict[str | None, _Tally] = {}
        self._elsewhere = _Tally()
        self._total = _Tally()
        self._weights: list[TokenWeights] = []
        self._readings = 0
        self._increases = 0

    def add(self, history: _History) -> None:
        """Attribute an account's increases to its turns, and count the turns that ended in the time range."""
        learnt = fit_intervals(history.intervals, history.turns)
        fits = fit_weights(learnt)
        key_of = self._key_of(history.account)
        weights = {model: fit.weights for model, fit in fits.items()}
        rate = points_per_token(learnt, weights)
        for part in attribute(history.intervals, history.turns, weights, *self._period, rate=rate):
            self._share(part, key_of)
        for turn in history.turns:
            if self._period.contains(turn.ended_at):
                self._row(key_of(turn)).count(turn)
        if self._by == "account" and history.samples:
            self._row(history.account.key)
            self._names.update({history.account.key: history.account.label})
        self._count_readings(history)
        self._weights += _weights(history, fits, self._period)

    def document(self, generated_at: int) -> UsageDocument:
        """Return the document, without a limit, a window and accounts."""
        for tally in (*self._rows.values(), self._elsewhere):
            self._total.add(tally)
        total = math.fsum(self._total.points)
        rows = [self._entry(key, tally, total) for key, tally in self._rows.items()]
        if self._by in {"day", "hour"}:
            rows.sort(key=lambda row: row["key"] or "")
        else:
            rows.sort(key=lambda row: (-row["points"], -row["output_tokens"], row["key"] or ""))
        if self._elsewhere.points:
            rows.append({"key": None, "name": None, "elsewhere": True, **self._elsewhere.figures(total)})
        return {
            "generated_at": generated_at,
            "since": self._period.since,
            "until": self._period.until,
            "by": self._by,
            "limit_id": None,
            "window": None,
            "window_minutes": None,
            "accounts": [],
            "rows": rows,
            "total": self._total.figures(total),
            "readings": self._readings,
            "rises": self._increases,
            "weights": self._weights,
        }

    def _entry(self, key: str | None, tally: _Tally, total: float) -> UsageRow:
        name = self._names.get(key) if key is not None else None
        return {"key": key, "name": None if name == key else name, "elsewhere": False, **tally.figures(total)}

    def _share(self, part: Attribution, key_of: Callable[[TurnUse], str | None]) -> None:
        if part.turn is None:
            self._elsewhere.points.append(part.points)
            self._elsewhere.seen(part.at)
        else:
            self._row(key_of(part.turn)).points.append(part.points)

    def _row(self, key: str | None) -> _Tally:
        found = self._rows.get(key)
        if found is None:
            found = self._rows[key] = _Tally()
        return found

    def _key_of(self, account: Account) -> Callable[[TurnUse], str | None]:
        """Return the function that gives the key of the row of each of an account's turns."""
        if self._by == "thread":
            return lambda turn: turn.thread
        if self._by == "model":
            return lambda turn: turn.model
        if self._by == "account":
            return lambda _: account.key
        return lambda turn: self._bucket(turn.ended_at)

    def _bucket(self, at: float) -> str | None:
        """Return the day or hour of a timestamp; None outside the calendar."""
        quarter = int(at // _QUARTER)
        if quarter not in self._quarters:
            self._quarters[quarter] = dated(at, "%Y-%m-%d" if self._by == "day" else "%Y-%m-%d %H:00", self._zone)
        return self._quarters[quarter]

    def _count_readings(self, history: _History) -> None:
        found = [points for each in history.intervals if (points := points_in_range(each, *self._period))]
        self._total.points += found
        self._increases += len(found)
        self._readings += sum(self._period.contains(sample.first_at) for sample in history.samples)


def _weights(history: _History, fits: dict[str | None, Fit], period: _TimeRange) -> list[TokenWeights]:
    """Return the weights of the tokens of each model in the time range."""
    models = {turn.model for turn in history.turns if period.contains(turn.ended_at)}
    return [
        {
            "account": history.account.key,
            "model": model,
            "fitted": model in fits,
            "rises": fit.increases,
            "uncached_input": fit.weights.uncached,
            "cached_input": fit.weights.cached,
            "output": fit.weights.output,
        }
        for model in sorted(models, key=lambda model: model or "")
        for fit in [fits.get(model, Fit(DEFAULT_WEIGHTS, 0))]
    ]
