"""The use of a window by thread, project, model, day and the like: the document of ``usage --json``."""

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
from store.analysis.budgets import CREDITS
from store.analysis.formatting import compact_length, decimal_value, find_slot, length_code, shown_windows
from store.analysis.limit_status import SLOT_COLUMNS, WindowRow, other_windows, slots
from store.analysis.periods import period_bounds, period_key
from store.analysis.ranking import TokenRate
from store.analysis.thread_tree import ThreadOrigin, ThreadTree
from store.analysis.token_weights import Fit, fit_intervals, fit_weights, points_per_token
from store.analysis.turn_value import NotPriced, Valuation
from store.constants import BUDGET_LIMIT, BUDGET_SLOT, FULL_PERCENT, MAIN_LIMIT
from store.queries.accounts import in_order
from store.queries.cursors import is_among, read_transaction, tuple_cursor
from store.queries.imported import imported_limit_ids, imported_samples, imported_windows
from store.queries.limits import current_snapshots, load_limit_ids
from store.queries.machines import with_silent_machines
from store.queries.turns import OF_LIMIT

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from store.analysis.thread_tree import Branch
    from store.analysis.turn_value import PriceList
    from store.connection import Connection, Cursor
    from store.constants import GroupBy
    from store.documents import (
        AccountWindow,
        ModelUse,
        NotPricedTurns,
        TokenWeights,
        UsageDocument,
        UsageEntry,
        UsageFigures,
        UsageRow,
    )
    from store.queries.accounts import Account

_MIN_BEFORE = 50
"""Snapshots before the time range that are searched for the last one that reports the window."""

_QUARTER = 900
"""Seconds; the hours of every time zone begin at a quarter of an hour."""


class NotSeenError(Exception):
    """The requested limit or window was never seen; the message lists those that were."""


def load_usage(
    connection: Connection,
    now: float,
    *,
    accounts: Sequence[Account],
    by: GroupBy = "thread",
    since: float,
    window: str | None = None,
    limit_id: str | None = None,
    zone: dt.tzinfo | None = None,
    tree: bool = False,
    rolls_up: bool = True,
    projects_of: Callable[[Collection[str]], Mapping[str, str]] | None = None,
    prices: PriceList | None = None,
) -> UsageDocument:
    """Return the use of a window of the accounts from `since` to `now` (Unix seconds).

    `window` is a slot or a real length. Without it, it is that of ``7d``, or else of the longest window; without
    `limit_id` that of the main limit, or else of the first. Days, weeks, months and hours are those of `zone`, by
    default of the machine. With `tree`, rows by thread list the threads of sub-agents; without `rolls_up`, these have
    rows of their own. `projects_of` returns the keys of the projects of threads by their ids, where they are known.
    Without `prices` no turn has a value.

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
        names = _thread_names(connection, chosen) if by == "thread" else {}
        budgets = _budgets(connection, chosen) if limit == BUDGET_LIMIT else {}
    known = any(find_slot(each, wanted) for each in windows.values()) if wanted else True
    if not known and not any(history.samples for history in histories):
        raise NotSeenError(f"no window {wanted!r} has been seen; there are: {shown_windows(*windows.values())}")
    threads = _Threads(histories if rolls_up else [], projects_of if by == "project" else None, names)
    table = _Table(by, period, threads, zone, tree=tree, valuation=Valuation(prices) if prices else None)
    unit = _common_unit(histories, budgets)
    for history in histories:
        size = budgets.get(history.account.id) if unit else None
        table.add(history, size and size.per_point)
    document: UsageDocument = {
        **table.document(int(now)),
        "unit": unit,
        "limit_id": limit,
        **_common_window(histories, wanted),
        "accounts": [account.reference for account in chosen],
    }
    return with_silent_machines(document, connection, now, chosen)


def load_token_rates(connection: Connection, now: float, accounts: Sequence[Account]) -> dict[str, TokenRate]:
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
    return _Table(by, _TimeRange(since, now), _Threads([], None, {}), None).document(int(now))


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


def _limit(connection: Connection, wanted: str | None) -> str | None:
    known = load_limit_ids(connection)
    if not known or (wanted is not None and wanted not in known):
        known = sorted({*known, *imported_limit_ids(connection)})
    if wanted is not None and wanted not in known:
        raise NotSeenError(f"no limit {wanted!r} has been seen; there are: {', '.join(known)}")
    return wanted or next((each for each in known if each == MAIN_LIMIT), known[0] if known else None)


def _budget(connection: Connection, chosen: Sequence[Account]) -> tuple[str, dict[int, dict[str, int | None]]] | None:
    """Return the budget, which stands for a main limit without windows, and its windows; None if there is none."""
    windows = _windows(connection, chosen, BUDGET_LIMIT)
    return (BUDGET_LIMIT, windows) if any(windows.values()) else None


def _windows(connection: Connection, chosen: Sequence[Account], limit: str | None) -> dict[int, dict[str, int | None]]:
    """Return by account id the slots of the windows that the limit has now, and the minutes of each.

    Of a limit that the tap has not seen yet, they are those of the account's session files.
    """
    snapshots = current_snapshots(connection, chosen)
    found = {}
    for account in chosen:
        rows = [row for row in snapshots.get(account.id, []) if row["limit_id"] == limit]
        found[account.id] = (
            {slot: window.window_minutes for row in rows for slot, window in slots(row)}
            if rows
            else imported_windows(connection, account.id, limit)
        )
    return found


class _BudgetSize(NamedTuple):
    """How much of a budget a point is, and the unit of that."""

    per_point: float
    unit: str


def _budgets(connection: Connection, chosen: Sequence[Account]) -> dict[int, _BudgetSize]:
    """Return the size of each account's budget, where its amount is known."""
    found = {}
    for account, rows in current_snapshots(connection, chosen).items():
        for row in rows:
            size = decimal_value(row["budget_limit"])
            if row["limit_id"] == BUDGET_LIMIT and size:
                found[account] = _BudgetSize(size / FULL_PERCENT, row["budget_unit"] or CREDITS)
    return found


def _common_unit(histories: Sequence[_History], budgets: Mapping[int, _BudgetSize]) -> str | None:
    """Return the unit of the budgets of all accounts with readings; None if one has another, or none."""
    sizes = [budgets.get(history.account.id) for history in histories if history.samples]
    units = {None if size is None else size.unit for size in sizes}
    return units.pop() if len(units) == 1 else None


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


def _history(connection: Connection, place: _Place, period: _TimeRange, depth: _Depth = _FIT_DEPTH) -> _History:
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


def _window_samples(cursor: Cursor, place: _Place, since: float, number: int) -> list[WindowSample]:
    account, limit, slot = place.account.id, place.limit_id, place.slot
    columns = ", ".join(SLOT_COLUMNS.get(slot, ["other_windows", "budget_used", "budget_limit"]))
    select = f"SELECT id, first_seen_at, last_seen_at, windows_seen_at, {columns} FROM snapshots"  # noqa: S608 (constants)
    where = f"{select} WHERE account = ? AND limit_id = ? AND late = 0 AND first_seen_at"
    rows = cursor.execute(f"{where} >= ? ORDER BY first_seen_at", (account, limit, since)).fetchall()
    before = max(_MIN_BEFORE, number + 1 - len(rows))
    rows += cursor.execute(f"{where} < ? ORDER BY first_seen_at DESC, id DESC LIMIT ?", (account, limit, since, before))
    # The order of arrival: the clock may have been set back.
    rows.sort()
    return list(_reported(rows, slot))


def _reported(rows: Iterable[tuple[Any, ...]], slot: str) -> Iterator[WindowSample]:
    """Yield the samples of the window; a row opened by a message without windows only repeats the one before."""
    last: WindowRow | None = None
    for _, first_at, last_at, windows_at, *columns in rows:
        window = WindowRow(*columns) if slot in SLOT_COLUMNS else _other_window(slot, *columns)
        if window.used_percent is None:
            continue
        if window == last and windows_at is not None and windows_at < first_at:
            continue
        last = window
        seen_at = last_at if windows_at is None else windows_at
        yield WindowSample(first_at, seen_at, window.used_percent, window.window_minutes, window.resets_at)


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
    # Read for sub-agents alone: many texts that nothing is done with take time.
    "session": "CASE WHEN subagent IS NOT NULL THEN session END",
}


def _turns(cursor: Cursor, place: _Place, start: float, number: int) -> list[TurnUse]:
    account, limit = place.account.id, place.limit_id
    columns = ", ".join(_COLUMNS.get(name, name) for name in TurnUse._fields)
    select = f"SELECT {columns} FROM requests WHERE account = ? AND {OF_LIMIT} AND ended_at"  # noqa: S608 (constants)
    newer = cursor.execute(f"{select} > ? ORDER BY ended_at, id", (account, limit, limit, start)).fetchall()
    more = max(0, number - len(newer))
    values = (account, limit, limit, start, more)
    older = cursor.execute(f"{select} <= ? ORDER BY ended_at DESC, id DESC LIMIT ?", values).fetchall()
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


def _thread_names(connection: Connection, chosen: Sequence[Account]) -> dict[str, str]:
    accounts_in, ids = is_among("account", [account.id for account in chosen])
    query = f"SELECT thread, name FROM threads WHERE name IS NOT NULL AND {accounts_in} ORDER BY account, thread"  # noqa: S608 (marks)
    return dict(connection.execute(query, ids).fetchall())


class _Threads:
    """The sessions, projects and names of the threads in the histories."""

    def __init__(
        self,
        histories: Sequence[_History],
        projects_of: Callable[[Collection[str]], Mapping[str, str]] | None,
        names: Mapping[str, str],
    ) -> None:
        turns = [turn for history in histories for turn in history.turns]
        self.names = names
        self.tree = ThreadTree(
            ThreadOrigin(turn.thread, turn.session, turn.parent_thread, turn.subagent)
            for turn in turns
            if turn.subagent is not None or turn.parent_thread is not None
        )
        ids = {turn.thread for turn in turns if turn.thread is not None} if projects_of else set()
        self._projects = projects_of(ids | {self.tree.root(each) for each in ids}) if projects_of else {}

    def session(self, turn: TurnUse) -> str | None:
        """Return the thread that a turn counts for: that of the session which started its sub-agent."""
        return None if turn.thread is None else self.tree.root(turn.thread)

    def project(self, turn: TurnUse) -> str | None:
        """Return the project of a turn's thread, else of the session that started it."""
        if turn.thread is None:
            return None
        return self._projects.get(turn.thread) or self._projects.get(self.tree.root(turn.thread))


# Counting


_COUNTS = (
    *(
        "turns",
        "imported_turns",
        "refused",
        "warm_ups",
        "input_tokens",
        "cached_tokens",
        "output_tokens",
        "reasoning_tokens",
    ),
    *("value", "priced", "not_priced"),
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
    value: float = 0.0
    priced: int = 0
    not_priced: int = 0
    amount: float | None = None

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

    def add_value(self, value: float | NotPriced) -> None:
        """Add the value of a turn, or count one without a known price."""
        if isinstance(value, NotPriced):
            self.not_priced += 1
        else:
            self.priced += 1
            self.value += value

    def use(self, points: float, per_point: float | None) -> None:
        """Add points, of which each is so much of a budget."""
        self.points.append(points)
        if per_point is not None:
            self.amount = (self.amount or 0.0) + points * per_point

    def add_all(self, other: _Tally) -> None:
        """Add another row, with its points and its part of a budget."""
        self.add(other)
        self.points += other.points
        if other.amount is not None:
            self.amount = (self.amount or 0.0) + other.amount

    def add(self, other: _Tally) -> None:
        """Add another row, without its points and its part of a budget."""
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
            "api_value_usd": self.value if self.priced else None,
            "not_priced_turns": self.not_priced,
            "amount": self.amount,
        }


_TIMES = frozenset({"day", "week", "month", "hour"})
_WITH_MODELS = frozenset({"day", "week", "month"})
"""Rows that list the models in them."""

_NO_ENTRY: UsageEntry = {
    "key": None,
    "name": None,
    "title": None,
    "folder": None,
    "project": None,
    "elsewhere": False,
    "pending": False,
    "kind": None,
    "parent": None,
    "depth": 0,
    **_Tally().figures(0),
}


_NO_ROW: UsageRow = {**_NO_ENTRY, "tree": [], "start": None, "end": None, "by_model": []}


class _Table:
    """The rows of the document, filled account by account."""

    def __init__(
        self,
        by: GroupBy,
        period: _TimeRange,
        threads: _Threads,
        zone: dt.tzinfo | None,
        *,
        tree: bool = False,
        valuation: Valuation | None = None,
    ) -> None:
        self._by = by
        self._period = period
        self._threads = threads
        self._names = dict(threads.names) if by == "thread" else {}
        self._zone = zone
        self._valuation = valuation
        self._opens_tree = tree and by == "thread"
        self._quarters: dict[int, str | None] = {}
        self._rows: dict[str | None, _Tally] = {}
        self._branches: dict[str, _Tally] = {}
        self._models: dict[str | None, dict[str | None, _Tally]] = {}
        self._pending = _Tally()
        self._elsewhere = _Tally()
        self._total = _Tally()
        self._weights: list[TokenWeights] = []
        self._readings = 0
        self._imported_readings = 0
        self._increases = 0

    def add(self, history: _History, per_point: float | None) -> None:
        """Attribute an account's increases to its turns, and count the turns that ended in the time range.

        A point is so much of the account's budget; None of another window.
        """
        fitted = _fitted(history)
        key_of = self._key_of(history.account)
        parts = attribute(history.intervals, history.turns, fitted.weights, *self._period, rate=fitted.rate)
        for part in parts:
            self._share(part, key_of, per_point)
        for turn in history.turns:
            if self._period.contains(turn.ended_at):
                self._count(turn, key_of)
        if self._by == "account" and history.samples:
            self._row(history.account.key)
            self._names.update({history.account.key: history.account.label})
        self._count_readings(history, per_point)
        self._weights += _weights(history, fitted.fits, self._period)

    def document(self, generated_at: int) -> UsageDocument:
        """Return the document, without a limit, a window and accounts."""
        for key, models in self._models.items():
            for tally in models.values():
                self._row(key).add_all(tally)
        for tally in (*self._rows.values(), self._pending, self._elsewhere):
            self._total.add(tally)
        total = math.fsum(self._total.points)
        branches = self._branches_by_session(total)
        rows = [self._entry(key, tally, total, branches.get(key, [])) for key, tally in self._rows.items()]
        if self._by in _TIMES:
            rows.sort(key=lambda row: row["key"] or "")
        else:
            rows.sort(key=lambda row: (-row["points"], -row["output_tokens"], row["key"] or ""))
        for tally, elsewhere in ((self._pending, False), (self._elsewhere, True)):
            if tally.points:
                figures = tally.figures(total)
                rows.append({**_NO_ROW, "elsewhere": elsewhere, "pending": not elsewhere, **figures})
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
            "by_model": _model_entries(self._all_models(), total),
            "unit": None,
            "not_priced": _not_priced(self._valuation),
            "price_source": self._valuation.source if self._valuation else None,
            "own_prices": self._valuation.own_prices if self._valuation else [],
        }

    def _entry(self, key: str | None, tally: _Tally, total: float, tree: list[UsageEntry]) -> UsageRow:
        name = self._names.get(key) if key is not None else None
        bounds = period_bounds(key, self._by, self._zone) if key and self._by in _TIMES else None
        return {
            **_NO_ROW,
            "key": key,
            "name": None if name == key else name,
            "kind": self._threads.tree.kinds.get(key) if self._by == "thread" and key is not None else None,
            "tree": tree,
            "start": bounds and bounds.start,
            "end": bounds and bounds.end,
            "by_model": _model_entries(self._models.get(key, {}), total),
            **tally.figures(total),
        }

    def _all_models(self) -> dict[str | None, _Tally]:
        """Return the sums of each model over all rows that list their models."""
        found: dict[str | None, _Tally] = {}
        for tallies in self._models.values():
            for model, tally in tallies.items():
                found.setdefault(model, _Tally()).add_all(tally)
        return found

    def _branches_by_session(self, total: float) -> dict[str | None, list[UsageEntry]]:
        """Return the branches of each session, those with the most points first."""
        figures = {thread: tally.figures(total) for thread, tally in self._branches.items()}
        tree = self._threads.tree
        found = tree.branches(figures, lambda each: (-figures[each]["points"], -figures[each]["output_tokens"], each))
        return {session: [self._branch(each, figures[each.thread]) for each in some] for session, some in found.items()}

    def _branch(self, branch: Branch, figures: UsageFigures) -> UsageEntry:
        thread = branch.thread
        name, kind = self._threads.names.get(thread), self._threads.tree.kinds.get(thread)
        placed: UsageEntry = {**_NO_ENTRY, "key": thread, "name": name, "kind": kind, "parent": branch.parent}
        return {**placed, "depth": branch.depth, **figures}

    def _count(self, turn: TurnUse, key_of: Callable[[TurnUse], str | None]) -> None:
        value = self._valuation.value(turn) if self._valuation else None
        row = self._row_of(turn, key_of)
        row.count(turn)
        if value is not None:
            row.add_value(value)
        if self._opens_tree:
            for tally in self._branches_of(turn):
                tally.count(turn)
                if value is not None:
                    tally.add_value(value)

    def _share(self, part: Attribution, key_of: Callable[[TurnUse], str | None], per_point: float | None) -> None:
        if part.turn is None:
            tally = self._pending if is_pending(part.at, self._period.until) else self._elsewhere
            tally.use(part.points, per_point)
            tally.seen(part.at)
        else:
            self._row_of(part.turn, key_of).use(part.points, per_point)
            if self._opens_tree:
                for tally in self._branches_of(part.turn):
                    tally.use(part.points, per_point)

    def _branches_of(self, turn: TurnUse) -> Iterator[_Tally]:
        """Yield the sums of the branches that a turn counts for: those of its thread, and up to the session."""
        thread = turn.thread
        while thread is not None and (parent := self._threads.tree.parent(thread)) is not None:
            yield self._branches.setdefault(thread, _Tally())
            thread = parent

    def _row(self, key: str | None) -> _Tally:
        found = self._rows.get(key)
        if found is None:
            found = self._rows[key] = _Tally()
        return found

    def _row_of(self, turn: TurnUse, key_of: Callable[[TurnUse], str | None]) -> _Tally:
        """Return the sums of a turn's row; in rows that list their models, those of its model, which the row adds."""
        if self._by not in _WITH_MODELS:
            return self._row(key_of(turn))
        key = key_of(turn)
        models = self._models.get(key)
        if models is None:
            models = self._models[key] = {}
        found = models.get(turn.model)
        if found is None:
            found = models[turn.model] = _Tally()
        return found

    def _key_of(self, account: Account) -> Callable[[TurnUse], str | None]:
        """Return the function that gives the key of the row of each of an account's turns."""
        keys: dict[GroupBy, Callable[[TurnUse], str | None]] = {
            "thread": self._threads.session,
            "project": self._threads.project,
            "model": lambda turn: turn.model,
            "effort": lambda turn: turn.reasoning_effort,
            "subagent": lambda turn: turn.subagent,
            "tier": lambda turn: turn.tier,
            "client": lambda turn: turn.client,
            "account": lambda _: account.key,
        }
        return keys.get(self._by, lambda turn: self._bucket(turn.ended_at))

    def _bucket(self, at: float) -> str | None:
        """Return the key of the day, week, month or hour of a timestamp; None outside the calendar."""
        quarter = int(at // _QUARTER)
        if quarter not in self._quarters:
            self._quarters[quarter] = period_key(at, self._by, self._zone)
        return self._quarters[quarter]

    def _count_readings(self, history: _History, per_point: float | None) -> None:
        found = [points for each in history.intervals if (points := points_in_range(each, *self._period))]
        for points in found:
            self._total.use(points, per_point)
        self._increases += len(found)
        within = [self._period.contains(sample.first_at) for sample in history.samples]
        self._readings += sum(within)
        self._imported_readings += sum(within[: history.imported])


def _model_entries(tallies: Mapping[str | None, _Tally], total: float) -> list[ModelUse]:
    """Return the use of each model, the most used first."""
    found: list[ModelUse] = [{**tally.figures(total), "model": model} for model, tally in tallies.items()]
    found.sort(key=lambda each: (-each["points"], -each["output_tokens"], each["model"] or ""))
    return found


def _not_priced(valuation: Valuation | None) -> list[NotPricedTurns]:
    """Return the turns without a value, the most frequent reason first."""
    found = valuation.not_priced.items() if valuation else ()
    entries: list[NotPricedTurns] = [
        {"reason": each.reason, "model": each.model, "tier": each.tier, "turns": turns} for each, turns in found
    ]
    entries.sort(key=lambda each: (-each["turns"], each["reason"], each["model"] or "", each["tier"] or ""))
    return entries


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
