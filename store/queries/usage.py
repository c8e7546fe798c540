"""The use of a window by thread, model, account, day or hour: the document of ``usage --json``."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from store.analysis.attribution import (
    DEFAULT_WEIGHTS,
    FIT_GAPS,
    FIT_TURNS,
    Attribution,
    Interval,
    TurnUse,
    Weights,
    WindowSample,
    attribute,
    intervals,
    is_pending,
    points_in_range,
)
from store.analysis.formatting import compact_length, dated, find_slot, length_code, shown_windows
from store.analysis.limit_status import SLOT_COLUMNS, WindowRow, other_windows, slots
from store.analysis.ranking import TokenRate
from store.analysis.token_weights import Fit, fit_intervals, fit_weights, points_per_token
from store.constants import BUDGET_LIMIT, MAIN_LIMIT
from store.queries.accounts import in_order
from store.queries.cursors import read_transaction, tuple_cursor
from store.queries.imported import imported_limit_ids, imported_samples, imported_windows
from store.queries.limits import current_snapshots, load_limit_ids
from store.queries.turns import OF_LIMIT

if TYPE_CHECKING:
    import datetime as dt
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from store.constants import GroupBy
    from store.documents import AccountWindow, TokenWeights, UsageDocument, UsageFigures, UsageRow
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

    `window` is a slot or a real length. Without it, it is that of ``7d``, or else of the longest window; without
    `limit_id` that of the main limit, or else of the first. Days and hours are those of `zone`, by default of the
    machine.

    Raises:
        NotSeenError: That limit or window was never seen.

    """
    period = _TimeRange(since, now)
    chosen = in_order(accounts)
    with read_transaction(connection):
        limit = _limit(connection, limit_id)
        windows = _windows(connection, chosen, limit)
        if limit_id is None and not any(windows.values()):
            limit, windows = _budget(connection, chosen) or (limit, windows)
        wanted = compact_length(window) if window and any(windows.values()) else _default_window(windows)
        histories = [
            _history(connection, _Place(account, limit, find_slot(windows[account.id], wanted) or wanted), period)
            for account in chosen
            if wanted
        ]
        names = _thread_names(connection) if by == "thread" else {}
    known = any(find_slot(each, wanted) for each in windows.values()) if wanted else True
    if not known and not any(history.samples for history in histories):
        raise NotSeenError(f"no window {wanted!r} has been seen; there are: {shown_windows(*windows.values())}")
    table = _Table(by, period, names, zone)
    for history in histories:
        table.add(history)
    return {
        **table.document(int(now)),
        "limit_id": limit,
        **_common_window(histories, wanted),
        "accounts": [account.reference for account in chosen],
    }


def load_token_rates(connection: sqlite3.Connection, now: float, accounts: Sequence[Account]) -> dict[str, TokenRate]:
    """Return what a weighted token costs in the longest window of each account's main limit, by the account's key.

    Accounts without enough turns are left out, and so is a single account: there is nothing to compare it with.
    """
    found: dict[str, TokenRate] = {}
    if len(accounts) == 1:
        return found
    with read_transaction(connection):
        for account_id, windows in _windows(connection, accounts, MAIN_LIMIT).items():
            account = next(each for each in accounts if each.id == account_id)
            slot = max(windows, key=lambda each: windows[each] or 0, default=None)
            minutes = windows[slot] if slot else None
            if slot and minutes:
                history = _history(connection, _Place(account, MAIN_LIMIT, slot), _TimeRange(now, now), _RATE_DEPTH)
                # With the same weights for all accounts, so that their tokens compare.
                rate = points_per_token(fit_intervals(history.intervals, history.turns), {})
                if rate:
                    found[account.key] = TokenRate(rate, minutes)
    return found


def empty_usage(now: float, *, by: GroupBy, since: float) -> UsageDocument:
    """Return the document of a database that does not exist yet."""
    return _Table(by, _TimeRange(since, now), {}, None).document(int(now))


# Reading


class _TimeRange(NamedTuple):
    since: float
    until: float

    def contains(self, at: float) -> bool:
        return self.since < at <= self.until


class _Place(NamedTuple):
    """A window of a limit of an account."""

    account: Account
    limit_id: str | None
    slot: str


class _Depth(NamedTuple):
    """How many intervals and turns are read at least, from before the time range if need be."""

    intervals: int
    turns: int


_FIT_DEPTH, _RATE_DEPTH = _Depth(FIT_GAPS, FIT_TURNS), _Depth(500, 1_000)
"""What weights are fitted from, and what a single rate is: ``next`` runs in scripts, for all accounts."""


class _History(NamedTuple):
    """One account's samples of the window, the intervals between them, and its turns on the limit by their end."""

    account: Account
    slot: str
    samples: list[WindowSample]
    intervals: list[Interval]
    turns: list[TurnUse]
    imported: int
    """How many of the samples, the first ones, are from session files."""


def _limit(connection: sqlite3.Connection, wanted: str | None) -> str | None:
    known = load_limit_ids(connection)
    if not known or (wanted is not None and wanted not in known):
        known = sorted({*known, *imported_limit_ids(connection)})
    if wanted is not None and wanted not in known:
        raise NotSeenError(f"no limit {wanted!r} has been seen; there are: {', '.join(known)}")
    return wanted or next((each for each in known if each == MAIN_LIMIT), known[0] if known else None)


def _budget(
    connection: sqlite3.Connection, chosen: Sequence[Account]
) -> tuple[str, dict[int, dict[str, int | None]]] | None:
    """Return the budget, which stands for a main limit without windows, and its windows; None if there is none."""
    windows = _windows(connection, chosen, BUDGET_LIMIT)
    return (BUDGET_LIMIT, windows) if any(windows.values()) else None


def _windows(
    connection: sqlite3.Connection, chosen: Sequence[Account], limit: str | None
) -> dict[int, dict[str, int | None]]:
    """Return by account id the slots of the windows that the limit has now, and the minutes of each.

    Of a limit that the tap has not seen yet, they are those of the account's session files.
    """
    snapshots = current_snapshots(connection)
    found = {}
    for account in chosen:
        rows = [row for row in snapshots.get(account.id, []) if row["limit_id"] == limit]
        found[account.id] = (
            {slot: window.window_minutes for row in rows for slot, window in slots(row)}
            if rows
            else imported_windows(connection, account.id, limit)
        )
    return found


def _default_window(windows: Mapping[int, Mapping[str, int | None]]) -> str | None:
    seen = {slot: minutes for each in windows.values() for slot, minutes in each.items()}
    return "7d" if "7d" in seen else max(seen, key=lambda slot: seen[slot] or 0, default=None)


class _CommonWindow(TypedDict):
    """The fields of a document of ``usage`` about its window."""

    window: str | None
    window_minutes: int | None
    length: str | None
    windows: list[AccountWindow]


def _common_window(histories: Sequence[_History], wanted: str | None) -> _CommonWindow:
    """Return the window of all accounts; where they differ, the one that was asked for, without a length."""
    read = [history for history in histories if history.samples] or histories
    minutes = [history.samples[-1].window_minutes if history.samples else None for history in read]
    lengths = {length_code(each) for each in minutes}
    slots_read = {history.slot for history in read}
    return {
        "window": slots_read.pop() if len(slots_read) == 1 else wanted,
        "window_minutes": max((each for each in minutes if each), default=None) if len(lengths) == 1 else None,
        "length": lengths.pop() if len(lengths) == 1 else None,
        "windows": [
            {
                "account": history.account.key,
                "window": history.slot,
                "window_minutes": each,
                "length": length_code(each),
            }
            for history, each in zip(read, minutes, strict=True)
            if history.samples
        ],
    }


def _history(connection: sqlite3.Connection, place: _Place, period: _TimeRange, depth: _Depth = _FIT_DEPTH) -> _History:
    """Read an account's history since the last reading before the time range, and further back to fit weights."""
    cursor = tuple_cursor(connection)
    samples = _window_samples(cursor, place, period.since, depth.intervals)
    missing = depth.intervals + 1 - len(samples)
    where = place.account.id, place.limit_id, place.slot
    imported = imported_samples(connection, *where, since=period.since, number=missing)
    samples = [*imported, *samples]
    found = intervals(samples)
    reaching = (each for each in found if each.end > period.since and points_in_range(each, *period))
    start = min((each.start for each in reaching), default=period.since)
    turns = _turns(cursor, place, min(start, period.since), depth.turns)
    return _History(place.account, place.slot, samples, found, turns, len(imported))


def _window_samples(cursor: sqlite3.Cursor, place: _Place, since: float, number: int) -> list[WindowSample]:
    account, limit, slot = place.account.id, place.limit_id, place.slot
    columns = ", ".join(SLOT_COLUMNS.get(slot, ["other_windows"]))
    select = f"SELECT id, first_seen_at, last_seen_at, windows_seen_at, {columns} FROM snapshots"  # noqa: S608 (constants)
    where = f"{select} WHERE account = ? AND limit_id = ? AND late = 0 AND first_seen_at"
    rows = cursor.execute(f"{where} >= ? ORDER BY first_seen_at", (account, limit, since)).fetchall()
    before = max(_MIN_BEFORE, number + 1 - len(rows))
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


def _turns(cursor: sqlite3.Cursor, place: _Place, start: float, number: int) -> list[TurnUse]:
    account, limit = place.account.id, place.limit_id
    # Where the client names no thread, the turn is shown under its session.
    columns = ", ".join("coalesce(thread, session)" if name == "thread" else name for name in TurnUse._fields)
    select = f"SELECT {columns} FROM requests WHERE account = ? AND {OF_LIMIT} AND ended_at"  # noqa: S608 (constants)
    newer = cursor.execute(f"{select} > ? ORDER BY ended_at", (account, limit, limit, start)).fetchall()
    more = max(0, number - len(newer))
    values = (account, limit, limit, start, more)
    older = cursor.execute(f"{select} <= ? ORDER BY ended_at DESC LIMIT ?", values).fetchall()
    return [TurnUse._make(row) for row in (*reversed(older), *newer)]


class _Fitted(NamedTuple):
    """The weights of the tokens of each model as an account's history shows them, and the points of such a token."""

    fits: dict[str | None, Fit]
    weights: dict[str | None, Weights]
    rate: float | None


def _fitted(history: _History) -> _Fitted:
    learnt = fit_intervals(history.intervals, history.turns)
    fits = fit_weights(learnt)
    weights = {model: fit.weights for model, fit in fits.items()}
    return _Fitted(fits, weights, points_per_token(learnt, weights))


def _thread_names(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT thread, name FROM threads WHERE name IS NOT NULL").fetchall())


# Counting


_COUNTS = (
    *("turns", "imported_turns", "refused", "warm_ups"),
    *("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"),
)


@dataclass(slots=True)
class _Tally:
    """The sums of one row."""

    points: list[float] = field(default_factory=list)
    turns: int = 0
    imported_turns: int = 0
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
        if turn.warm_up:
            self.warm_ups += 1
        elif turn.status is not None and turn.status >= 400:
            self.refused += 1
        else:
            self.turns += 1
            self.imported_turns += turn.imported
        self.input_tokens += turn.input_tokens or 0
        self.cached_tokens += turn.cached_tokens or 0
        self.output_tokens += turn.output_tokens or 0
        self.reasoning_tokens += turn.reasoning_tokens or 0
        self.models.add(turn.model)
        self.threads.add(turn.thread)
        self.seen(turn.ended_at)

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
            "imported_turns": self.imported_turns,
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
        self._pending = _Tally()
        self._elsewhere = _Tally()
        self._total = _Tally()
        self._weights: list[TokenWeights] = []
        self._readings = 0
        self._imported_readings = 0
        self._increases = 0

    def add(self, history: _History) -> None:
        """Attribute an account's increases to its turns, and count the turns that ended in the time range."""
        fitted = _fitted(history)
        key_of = self._key_of(history.account)
        parts = attribute(history.intervals, history.turns, fitted.weights, *self._period, rate=fitted.rate)
        for part in parts:
            self._share(part, key_of)
        for turn in history.turns:
            if self._period.contains(turn.ended_at):
                self._row(key_of(turn)).count(turn)
        if self._by == "account" and history.samples:
            self._row(history.account.key)
            self._names.update({history.account.key: history.account.label})
        self._count_readings(history)
        self._weights += _weights(history, fitted.fits, self._period)

    def document(self, generated_at: int) -> UsageDocument:
        """Return the document, without a limit, a window and accounts."""
        for tally in (*self._rows.values(), self._pending, self._elsewhere):
            self._total.add(tally)
        total = math.fsum(self._total.points)
        rows = [self._entry(key, tally, total) for key, tally in self._rows.items()]
        if self._by in {"day", "hour"}:
            rows.sort(key=lambda row: row["key"] or "")
        else:
            rows.sort(key=lambda row: (-row["points"], -row["output_tokens"], row["key"] or ""))
        for tally, elsewhere in ((self._pending, False), (self._elsewhere, True)):
            if tally.points:
                figures = tally.figures(total)
                rows.append({"key": None, "name": None, "elsewhere": elsewhere, "pending": not elsewhere, **figures})
        return {
            "generated_at": generated_at,
            "since": self._period.since,
            "until": self._period.until,
            "by": self._by,
            "limit_id": None,
            "window": None,
            "window_minutes": None,
            "length": None,
            "windows": [],
            "accounts": [],
            "rows": rows,
            "total": self._total.figures(total),
            "readings": self._readings,
            "imported_readings": self._imported_readings,
            "rises": self._increases,
            "weights": self._weights,
        }

    def _entry(self, key: str | None, tally: _Tally, total: float) -> UsageRow:
        name = self._names.get(key) if key is not None else None
        return {
            "key": key,
            "name": None if name == key else name,
            "elsewhere": False,
            "pending": False,
            **tally.figures(total),
        }

    def _share(self, part: Attribution, key_of: Callable[[TurnUse], str | None]) -> None:
        if part.turn is None:
            tally = self._pending if is_pending(part.at, self._period.until) else self._elsewhere
            tally.points.append(part.points)
            tally.seen(part.at)
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
        within = [self._period.contains(sample.first_at) for sample in history.samples]
        self._readings += sum(within)
        self._imported_readings += sum(within[: history.imported])


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
