"""The use of a window by thread, project, model, day and the like: the document of ``usage --json``."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from store.analysis.attribution import DEFAULT_WEIGHTS, MAX_TURN_SECONDS
from store.analysis.budgets import CREDITS
from store.analysis.formatting import compact_length, decimal_value, find_slot, length_code, shown_windows
from store.analysis.ranking import TokenRate
from store.analysis.thread_tree import ThreadOrigin
from store.analysis.token_weights import Fit, Fitted, fit_days
from store.analysis.turn_value import Valuation
from store.analysis.usage_cells import QUARTER_SECONDS, STEPS, CellKey, thread_number
from store.analysis.usage_table import OF_THREADS, Grouping, RowOwner, TimeRange, UsageTable
from store.constants import BUDGET_LIMIT, FULL_PERCENT, MAIN_LIMIT
from store.kept.kind import floor_to
from store.kept.reading import ask_kept
from store.queries.accounts import in_order
from store.queries.cursors import edit_number, is_among, read_transaction
from store.queries.imported import imported_limit_ids
from store.queries.kept_rates import kept_rates
from store.queries.kept_usage import FINAL_SECONDS, kept_weights, usage_kind
from store.queries.kept_usage_parts import KeptPart, add_kept
from store.queries.kept_usage_values import add_functions
from store.queries.limits import current_snapshots, load_limit_ids
from store.queries.machines import with_silent_machines
from store.queries.recent import computed
from store.queries.usage_rows import (
    Place,
    Use,
    UseReader,
    Weigher,
    first_at,
    latest_sample,
    limit_windows,
    newest_sample,
    token_rate,
    window_samples,
)

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from store.analysis.turn_value import PriceList
    from store.connection import Connection
    from store.constants import GroupBy
    from store.documents import AccountWindow, TokenWeights, UsageDocument, UsageEntry, UsageRow
    from store.kept.kind import Coverage, Kept, Kind
    from store.queries.accounts import Account
    from store.queries.recent import Recent


_LAG_SECONDS = 4 * 3_600
"""The time by which what is kept may lag behind: its turns are soon read."""


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
    most: int | None = None,
    refit: bool = False,
) -> UsageDocument:
    """Return the use of a window of the accounts from `since` to `now` (Unix seconds).

    `window` is a slot or a real length. Without it, it is that of ``7d``, or else of the longest window; without
    `limit_id` that of the main limit, or else of the first. Days, weeks, months and hours are those of `zone`, by
    default of the machine. With `tree`, rows by thread list the threads of sub-agents; without `rolls_up`, these have
    rows of their own. `projects_of` returns the keys of the projects of threads by their ids, where they are known.
    Without `prices` no turn has a value. With `most`, so many rows are listed, and the others are summed up. With
    `refit`, nothing that is kept is used, and increases of any time are divided by the weights of now.

    Raises:
        NotSeenError: That limit or window was never seen.

    """
    period = TimeRange(since, now)
    chosen = in_order(accounts)
    with read_transaction(connection):
        limit, wanted, windows = _chosen_window(connection, chosen, limit_id, window)
        places = [Place(each.id, limit, find_slot(windows[each.id], wanted) or wanted) for each in chosen if wanted]
        budgets = _budgets(connection, chosen) if limit == BUDGET_LIMIT else {}
        grouping = Grouping(by, zone, tree, rolls_up, projects_of if by == "project" else None, most)
        question = _Question(connection, period, grouping, prices, budgets, refits=refit)
        answer = question.ask(chosen, places)
    known = any(find_slot(each, wanted) for each in windows.values()) if wanted else True
    if not known and not answer.windows:
        raise NotSeenError(f"no window {wanted!r} has been seen; there are: {shown_windows(*windows.values())}")
    document: UsageDocument = {
        **answer.table.document(int(now)),
        "unit": answer.unit,
        "limit_id": limit,
        **_common_window(answer.windows, places, wanted),
        "accounts": [account.reference for account in chosen],
    }
    if by == "thread":
        _name_threads(document["rows"], connection, chosen)
    return with_silent_machines(document, connection, now, chosen)


def load_thread_points(
    connection: Connection,
    now: float,
    *,
    accounts: Sequence[Account],
    since: float,
    threads: Collection[str] | None = None,
) -> dict[str | None, float]:
    """Return the points that each thread by itself used of the window that `load_usage` shows; None is unknown.

    Those of other threads than the given ones may be less than that.
    """
    with read_transaction(connection):
        places = _places(connection, in_order(accounts), None, None)
        grouping = Grouping("thread", rolls_up=False)
        question = _Question(connection, TimeRange(since, now), grouping, None, {}, refits=False)
        return question.thread_points(places, threads)


def usage_kinds(
    connection: Connection,
    *,
    accounts: Sequence[Account],
    window: str | None = None,
    limit_id: str | None = None,
    refit_at: float | None = None,
) -> list[Kind]:
    """Return the kinds of kept rows that `load_usage` would use for these arguments, as `usage_kind` has them.

    Raises:
        NotSeenError: That limit was never seen.

    """
    with read_transaction(connection):
        slots_read = sorted({place.slot for place in _places(connection, accounts, limit_id, window)})
    return [kind for slot in slots_read if (kind := usage_kind(slot, refit_at))]


def kinds_to_fill(
    connection: Connection,
    now: float,
    *,
    accounts: Sequence[Account],
    since: float,
    window: str | None = None,
    limit_id: str | None = None,
) -> list[Kind]:
    """Return those of `usage_kinds` whose rows lag behind the question.

    Raises:
        NotSeenError: That limit was never seen.

    """
    period = TimeRange(since, now)
    with read_transaction(connection):
        places = _places(connection, accounts, limit_id, window)
        kinds = usage_kinds(connection, accounts=accounts, window=window, limit_id=limit_id)
        return [kind for kind in kinds if not _is_filled(connection, kind, places, period)]


def _places(
    connection: Connection, accounts: Sequence[Account], limit_id: str | None, window: str | None
) -> list[Place]:
    limit, wanted, windows = _chosen_window(connection, accounts, limit_id, window)
    return [Place(each.id, limit, find_slot(windows[each.id], wanted) or wanted) for each in accounts if wanted]


def _is_filled(connection: Connection, kind: Kind, places: Sequence[Place], period: TimeRange) -> bool:
    """Return True if what is kept leaves little of a period to the rows of the database."""
    coverage: Mapping[int, Coverage] = ask_kept(connection, kind, lambda kept: kept.coverage) or {}
    end = period.until - FINAL_SECONDS - _LAG_SECONDS
    for place in places:
        since, until = coverage.get(place.account, (math.inf, -math.inf))
        begun = max(period.since, first_at(connection, place))
        if begun < end and (until < end or (since > begun and since > 0)):
            return False
    return True


def load_token_rates(
    connection: Connection, now: float, accounts: Sequence[Account], *, recent: Recent | None = None
) -> dict[str, TokenRate]:
    """Return what a weighted token costs in the longest window of each account's main limit, by the account's key.

    Accounts without enough turns are left out, and so is a single account: there is nothing to compare it with. Rates
    of a `recent` are used again.
    """
    found: dict[str, TokenRate] = {}
    if len(accounts) == 1:
        return found
    with read_transaction(connection):
        kept = kept_rates(connection, now)
        windows = limit_windows(connection, accounts, MAIN_LIMIT)
        edits = edit_number(connection) if recent else 0
        for account in accounts:
            slot, minutes = max(windows[account.id].items(), key=lambda each: each[1] or 0, default=(None, None))
            if slot and minutes:
                rate = computed(
                    recent,
                    ("rate", account.key, slot),
                    (edits, account.id, fit_days(now)),
                    now,
                    functools.partial(token_rate, connection, Place(account.id, MAIN_LIMIT, slot), now, kept),
                )
                if rate:
                    found[account.key] = TokenRate(rate, minutes)
    return found


def empty_usage(now: float, *, by: GroupBy, since: float) -> UsageDocument:
    """Return the document of a database that does not exist yet."""
    return UsageTable(Grouping(by), TimeRange(since, now)).document(int(now))


# The window


def _chosen_window(
    connection: Connection, chosen: Sequence[Account], limit_id: str | None, window: str | None
) -> tuple[str | None, str | None, dict[int, dict[str, int | None]]]:
    """Return the limit, the window by its length or slot, and the windows that the limit of each account has."""
    limit = _limit(connection, limit_id)
    windows = limit_windows(connection, chosen, limit)
    if limit_id is None and not any(windows.values()):
        limit, windows = _budget(connection, chosen) or (limit, windows)
    wanted = compact_length(window) if window and any(windows.values()) else _default_window(windows)
    return limit, wanted, windows


def _limit(connection: Connection, wanted: str | None) -> str | None:
    known = load_limit_ids(connection)
    if not known or (wanted is not None and wanted not in known):
        known = sorted({*known, *imported_limit_ids(connection)})
    if wanted is not None and wanted not in known:
        raise NotSeenError(f"no limit {wanted!r} has been seen; there are: {', '.join(known)}")
    return wanted or next((each for each in known if each == MAIN_LIMIT), known[0] if known else None)


def _budget(connection: Connection, chosen: Sequence[Account]) -> tuple[str, dict[int, dict[str, int | None]]] | None:
    """Return the budget, which stands for a main limit without windows, and its windows; None if there is none."""
    windows = limit_windows(connection, chosen, BUDGET_LIMIT)
    return (BUDGET_LIMIT, windows) if any(windows.values()) else None


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


def _default_window(windows: Mapping[int, Mapping[str, int | None]]) -> str | None:
    seen = {slot: minutes for each in windows.values() for slot, minutes in each.items()}
    return "7d" if "7d" in seen else max(seen, key=lambda slot: seen[slot] or 0, default=None)


class _CommonWindow(TypedDict):
    """The fields of a document of ``usage`` about its window."""

    window: str | None
    window_minutes: int | None
    length: str | None
    windows: list[AccountWindow]


def _common_window(windows: list[AccountWindow], places: Sequence[Place], wanted: str | None) -> _CommonWindow:
    """Return the window of all accounts; where they differ, the one that was asked for, without a length."""
    slots_read = {each["window"] for each in windows} or {place.slot for place in places}
    minutes = [each["window_minutes"] for each in windows]
    lengths = {each["length"] for each in windows}
    return {
        "window": slots_read.pop() if len(slots_read) == 1 else wanted,
        "window_minutes": max((each for each in minutes if each), default=None) if len(lengths) == 1 else None,
        "length": lengths.pop() if len(lengths) == 1 else None,
        "windows": windows,
    }


def _name_threads(rows: Sequence[UsageRow], connection: Connection, chosen: Sequence[Account]) -> None:
    """Add the names that a person gave threads, in place."""
    entries: list[UsageEntry] = [*rows, *(branch for row in rows for branch in row["tree"])]
    accounts_in, accounts = is_among("account", [account.id for account in chosen])
    threads_in, threads = is_among("thread", {entry["key"] for entry in entries if entry["key"] is not None})
    query = (
        f"SELECT thread, name FROM threads WHERE name IS NOT NULL AND {accounts_in} AND {threads_in}"  # noqa: S608 (marks)
        " ORDER BY account, thread"
    )
    names = dict(connection.execute(query, (*accounts, *threads)).fetchall())
    for entry in entries:
        name = names.get(entry["key"])
        entry["name"] = None if name == entry["key"] else name


# The rows


class _Answer(NamedTuple):
    """The rows, the windows of the accounts that have readings, and the unit of the budgets of all of these."""

    table: UsageTable
    windows: list[AccountWindow]
    unit: str | None


class _Question(NamedTuple):
    """What is asked, of which accounts and windows apart."""

    connection: Connection
    period: TimeRange
    grouping: Grouping
    prices: PriceList | None
    budgets: Mapping[int, _BudgetSize]
    refits: bool

    def ask(self, accounts: Sequence[Account], places: Sequence[Place]) -> _Answer:
        """Return the answer: of one slot with what is kept, where that can be used."""
        kind = self._kind(places)
        answer = ask_kept(self.connection, kind, lambda kept: self._answer(accounts, places, kept)) if kind else None
        return answer or self._plain_answer(accounts, places)

    def thread_points(self, places: Sequence[Place], threads: Collection[str] | None = None) -> dict[str | None, float]:
        """Return the points of each thread, or of some, with what is kept, where that can be used."""
        kind = self._kind(places)

        def load(kept: Kept) -> dict[str | None, float]:
            return self._thread_points(places, kept, threads)

        found = ask_kept(self.connection, kind, load) if kind else None
        return found or self._thread_points(places, None, threads)

    def _kind(self, places: Sequence[Place]) -> Kind | None:
        slot = {place.slot for place in places}
        return usage_kind(slot.pop()) if len(slot) == 1 and not self.refits else None

    def _thread_points(
        self, places: Sequence[Place], kept: Kept | None, threads: Collection[str] | None
    ) -> dict[str | None, float]:
        table = UsageTable(self.grouping, self.period)
        for place in places:
            source = _UseSource(self, place, None, kept, self._covered(kept, place))
            owner = RowOwner(str(place.account), None)
            table.add_owner(owner)
            source.add_rows(table, owner)
            for thread, points in source.kept.points(threads).items() if source.kept else ():
                table.add_points(owner, CellKey(0, thread), points)
        return table.points()

    def _plain_answer(self, accounts: Sequence[Account], places: Sequence[Place]) -> _Answer:
        answer = self._answer(accounts, places, None)
        if answer is None:
            raise AssertionError("without kept rows there is always an answer")
        return answer

    def _answer(self, accounts: Sequence[Account], places: Sequence[Place], kept: Kept | None) -> _Answer | None:
        """Return the answer; None where what is kept does not tell the prices of turns apart."""
        if kept:
            add_functions(kept.connection)
        valuation = Valuation(self.prices) if self.prices else None
        sources = [_UseSource(self, place, valuation, kept, self._covered(kept, place)) for place in places]
        if kept and not all(source.has_steps() for source in sources):
            return None
        table = UsageTable(self.grouping, self.period, valuation)
        windows: list[AccountWindow] = [
            {
                "account": account.key,
                "window": source.place.slot,
                "window_minutes": minutes,
                "length": length_code(minutes),
            }
            for account, source in zip(accounts, sources, strict=False)
            for minutes in source.seen_minutes()
        ]
        seen = {each["account"] for each in windows}
        unit = self._common_unit([each for each in accounts if each.key in seen])
        owned: list[tuple[_UseSource, RowOwner]] = []
        for account, source in zip(accounts, sources, strict=False):
            size = self.budgets.get(account.id) if unit else None
            owner = RowOwner(account.key, account.label, size and size.per_point)
            table.add_owner(owner)
            if account.key in seen:
                table.add_account(owner)
            source.add_rows(table, owner)
            owned.append((source, owner))
        changes = set[float]().union(*(source.changes() for source in sources))
        steps = (
            valuation.first_steps(set[str | None]().union(*(source.models for source in sources))) if valuation else {}
        )
        add_kept([(source.kept, owner) for source, owner in owned if source.kept], table, changes, steps)
        for source, owner in owned:
            source.add_weights(table, owner)
        return _Answer(table, windows, unit)

    def _covered(self, kept: Kept | None, place: Place) -> TimeRange | None:
        """Return the time for which kept rows are used: whole quarters of an hour within the period."""
        coverage = kept.coverage.get(place.account) if kept else None
        if coverage is None:
            return None
        # A turn that ended at the very beginning of a quarter is part of it.
        since = max(coverage.since, floor_to(QUARTER_SECONDS, self.period.since) + QUARTER_SECONDS)
        until = min(coverage.until, floor_to(QUARTER_SECONDS, self.period.until - MAX_TURN_SECONDS))
        return TimeRange(since, until) if since < until else None

    def _common_unit(self, accounts: Sequence[Account]) -> str | None:
        """Return the unit of the budgets of accounts; None if one has another, or none."""
        sizes = [self.budgets.get(account.id) for account in accounts]
        units = {None if size is None else size.unit for size in sizes}
        return units.pop() if len(units) == 1 else None


class _UseSource:
    """Where the use of one account comes from: rows that are kept, and the rows of the database for the rest."""

    def __init__(
        self,
        question: _Question,
        place: Place,
        valuation: Valuation | None,
        kept: Kept | None,
        covered: TimeRange | None,
    ) -> None:
        self.place = place
        self._connection = question.connection
        self._period = question.period
        self._valuation = valuation
        self.kept = KeptPart(kept.connection, place, (place.account,), covered) if kept and covered else None
        self._coverage = kept.coverage[place.account] if kept and covered else None
        self.models = self.kept.models() if self.kept else set()
        known = kept_weights(kept.connection, place) if kept and covered else {}
        refit_at = question.period.until if question.refits else None
        self._weigher = Weigher(question.connection, place, known, refit_at=refit_at)

    def has_steps(self) -> bool:
        """Return True if kept sums are apart wherever prices of their models are others."""
        return not self._valuation or all(self._valuation.steps(model) == STEPS for model in self.models)

    def seen_minutes(self) -> list[int | None]:
        """Return the length of the window as it was read last; an empty list where it was not."""
        sample = latest_sample(self._connection, self.place)
        if sample is None and self.kept and self._coverage:
            found = self.kept.length(self._coverage.since)
            if found:
                return list(found)
            if not self._coverage.since:  # all that is older is kept
                since = self.kept.stretch.until
                newer = window_samples(self._connection, self.place, since, math.inf, before=0, after=0)
                return [each.window_minutes for each in newer.all[-1:]]
        sample = sample or newest_sample(
            self._connection,
            self.place,
            self._period.since,
            self.kept.stretch.since if self.kept else self._period.until,
        )
        return [] if sample is None else [sample.window_minutes]

    def add_rows(self, table: UsageTable, owner: RowOwner) -> None:
        """Add the account's use that is not kept."""
        steps_of = self._valuation.steps if self._valuation else lambda _: STEPS
        reader = UseReader(self._connection, self.place, self._weigher, self._period, steps_of)
        if self.kept:
            _add(table, owner, reader.weeks_before(self.kept.stretch))
        _add(table, owner, reader.weeks(self.kept.stretch.until if self.kept else self._period.since, math.inf))

    def changes(self) -> set[float]:
        """Return the timestamps at which prices of kept turns change."""
        return self._valuation.changes(self.models) if self._valuation else set()

    def add_weights(self, table: UsageTable, owner: RowOwner) -> None:
        """Add the weights of the account's models, as they are at the end of the period."""
        if self.kept:
            table.add_models(owner, self.kept.models_of_turns())
        table.add_weights(_weights(owner, table.models_of(owner), self._weigher.at(self._period.until)))


def _add(table: UsageTable, owner: RowOwner, uses: Iterable[Use]) -> None:
    for use in uses:
        if table.by in OF_THREADS:
            for key in (*use.turns, *(key for _, key in use.shares)):
                table.add_origin(owner, ThreadOrigin(*key[1:5]), key.quarter)
        table.add_models(owner, {key.model for key in use.turns})
        for key, sums in use.turns.items():
            threads = () if key.thread is None or table.by in OF_THREADS else (thread_number(key.thread),)
            table.add_turns(owner, key, sums, threads)
        for (_, key), points in use.shares.items():
            table.add_points(owner, key, points)
        for points, at in use.unexplained:
            table.add_unexplained(owner, points, at)
        for readings in use.readings.values():
            table.add_readings(owner, readings)


def _weights(owner: RowOwner, models: Iterable[str | None], fitted: Fitted) -> list[TokenWeights]:
    """Return the weights of the tokens of models, as they are now."""
    return [
        {
            "account": owner.key,
            "model": model,
            "fitted": model in fitted.fits,
            "rises": fit.increases,
            "uncached_input": fit.weights.uncached,
            "cached_input": fit.weights.cached,
            "output": fit.weights.output,
            "fitted_at": fitted.at if model in fitted.fits else None,
        }
        for model in sorted(models, key=lambda model: model or "")
        for fit in [fitted.fits.get(model, Fit(DEFAULT_WEIGHTS, 0))]
    ]
