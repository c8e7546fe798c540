"""The rows of ``usage``, made of cells of turns and of the points that were attributed to them; no SQL, no clock."""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from store.analysis.attribution import is_pending
from store.analysis.periods import keys_of_hours, period_bounds, period_key
from store.analysis.thread_tree import ThreadOrigin, ThreadTree
from store.analysis.usage_cells import QUARTER_SECONDS

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from store.analysis.periods import Bounds
    from store.analysis.thread_tree import Branch
    from store.analysis.turn_value import NotPriced, Valuation
    from store.analysis.usage_cells import CellKey, TurnSums
    from store.constants import GroupBy
    from store.documents import (
        ModelUse,
        NotPricedTurns,
        TokenWeights,
        UsageDocument,
        UsageEntry,
        UsageFigures,
        UsageRow,
    )

TIMES = frozenset({"day", "week", "month", "hour"})
WITH_MODELS = frozenset({"day", "week", "month"})
"""Rows that list the models in them."""

_SAME_POINTS = 1e-9
_HOUR_SECONDS, _SHORTEST_DAY_SECONDS = 3_600, 23 * 3_600

OF_THREADS: frozenset[GroupBy] = frozenset({"thread", "project"})
"""Rows that are found by the threads of turns."""


OTHERS = "\n"
"""The key of what is counted in no row of its own; no id of a thread and no time is that."""


class TimeRange(NamedTuple):
    """The time with ``since < at <= until``, in Unix seconds."""

    since: float
    until: float

    def contains(self, at: float) -> bool:
        """Return True if a timestamp is in it."""
        return self.since < at <= self.until


class Readings(NamedTuple):
    """Numbers of readings, of those from session files, and of increases; the points of all increases."""

    readings: int = 0
    imported: int = 0
    increases: int = 0
    points: float = 0.0

    def plus(self, more: Readings) -> Readings:
        """Return the sum of both."""
        return Readings(
            self.readings + more.readings,
            self.imported + more.imported,
            self.increases + more.increases,
            self.points + more.points,
        )


class StandIns(NamedTuple):
    """In whose names the turns of threads are counted.

    Args:
        names: the thread in whose name each of these is counted.
        others: the thread, or `OTHERS`, in whose name all others are.
    """

    names: Mapping[str | None, str | None]
    others: str | None


class RowOwner(NamedTuple):
    """An account, as rows name it, and the size of a point in the unit of its budget; None of another window."""

    key: str
    label: str | None
    per_point: float | None = None


@dataclass(slots=True)
class RowSums:
    """The sums of one row."""

    turns: int = 0
    imported_turns: int = 0
    refused: int = 0
    warm_ups: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    models: frozenset[str] = frozenset()
    threads: int = 0
    last_at: float | None = None
    value: float = 0.0
    priced: int = 0
    not_priced: int = 0
    amount: float | None = None
    _points: float = 0.0
    _rest: float = 0.0
    """What rounding took from the sum of the points."""

    def count(self, sums: TurnSums) -> None:
        """Count the turns of a cell."""
        self.turns += sums.turns
        self.imported_turns += sums.imported_turns
        self.refused += sums.refused
        self.warm_ups += sums.warm_ups
        self.input_tokens += sums.input_tokens
        self.cached_tokens += sums.cached_tokens
        self.output_tokens += sums.output_tokens
        self.reasoning_tokens += sums.reasoning_tokens
        self.seen(sums.last_at)

    def use(self, points: float, per_point: float | None = None) -> None:
        """Add points, of which each is so much of a budget."""
        self._add_points(points)
        if per_point is not None:
            self.amount = (self.amount or 0.0) + points * per_point

    def add_all(self, others: Sequence[RowSums], *, with_points: bool = True) -> None:
        """Add other rows, with or without their points and their parts of a budget."""
        for other in others:
            # Each by its name: documents of a year add thousands.
            self.turns += other.turns
            self.imported_turns += other.imported_turns
            self.refused += other.refused
            self.warm_ups += other.warm_ups
            self.input_tokens += other.input_tokens
            self.cached_tokens += other.cached_tokens
            self.output_tokens += other.output_tokens
            self.reasoning_tokens += other.reasoning_tokens
            self.value += other.value
            self.priced += other.priced
            self.not_priced += other.not_priced
            self.threads += other.threads
        for models in {other.models for other in others}:
            self.models = _joined(self.models, models)
        for at in [other.last_at for other in others if other.last_at is not None]:
            self.seen(at)
        if with_points:
            self._add_points(math.fsum(other.points for other in others))
            amounts = [other.amount for other in others if other.amount is not None]
            if amounts:
                self.amount = (self.amount or 0.0) + math.fsum(amounts)

    def seen(self, at: float) -> None:
        """Move ``last_at`` on to a timestamp."""
        if self.last_at is None or at > self.last_at:
            self.last_at = at

    @property
    def points(self) -> float:
        """The sum of the points."""
        return self._points + self._rest

    def _add_points(self, points: float) -> None:
        total = self._points + points
        larger, smaller = (self._points, points) if abs(self._points) >= abs(points) else (points, self._points)
        self._rest += (larger - total) + smaller
        self._points = total

    def figures(self, total: float) -> UsageFigures:
        """Return the sums as documents have them; `total` is the sum of all rows' points."""
        points = self.points
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
            "models": sorted(self.models),
            "threads": self.threads,
            "last_at": self.last_at,
            "api_value_usd": self.value if self.priced else None,
            "not_priced_turns": self.not_priced,
            "amount": self.amount,
        }


@cache
def _joined(some: frozenset[str], more: frozenset[str]) -> frozenset[str]:
    """Return both sets as one, the same object each time: there may be a row for each thread of a year."""
    return some | more


@cache
def _only(model: str | None) -> frozenset[str]:
    return frozenset() if model is None else frozenset({model})


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
    **RowSums().figures(0),
}


_NO_ROW: UsageRow = {**_NO_ENTRY, "tree": [], "start": None, "end": None, "by_model": []}


@dataclass
class Grouping:
    """What rows stand for, and how threads are shown.

    Args:
        by: what a row stands for.
        zone: that of days, weeks, months and hours; None means that of the machine.
        tree: list the threads of sub-agents in the rows by thread.
        rolls_up: count the turns of sub-agents for the session that started them.
        projects_of: returns the keys of the projects of threads by their ids, where they are known.
        most: list so many rows, and sum up the others; None lists all.
    """

    by: GroupBy
    zone: dt.tzinfo | None = None
    tree: bool = False
    rolls_up: bool = True
    projects_of: Callable[[Collection[str]], Mapping[str, str]] | None = None
    most: int | None = None


class UsageTable:
    """The rows of the document, filled account by account.

    Attributes:
        by: what a row stands for.
        zone: that of days, weeks, months and hours; None means that of the machine.
    """

    def __init__(self, grouping: Grouping, period: TimeRange, valuation: Valuation | None = None) -> None:
        self.by = grouping.by
        self.zone = grouping.zone
        self._grouping = grouping
        self._period = period
        self._valuation = valuation
        self._names: dict[str, str] = {}
        self._opens_tree = grouping.tree and grouping.by == "thread"
        self._quarters: dict[int, str | None] = {}
        self._bounds: dict[str, Bounds | None] = {}
        self._rows: dict[str | None, RowSums] = {}
        self._models: dict[str | None, dict[str | None, RowSums]] = {}
        self._threads: dict[str | None, dict[str | None, set[int]]] = {}
        self._origins: dict[ThreadOrigin, tuple[int, int]] = {}
        self._models_of: dict[str, set[str | None]] = {}
        self._accounts: dict[str, int] = {}
        self._known_keys: Collection[str | None] = ()
        self._numbers: Counter[str | None] = Counter()
        self._tree = ThreadTree(())
        self._branches: dict[str, RowSums] = {}
        self._pending = RowSums()
        self._elsewhere = RowSums()
        self._total = RowSums()
        self._weights: list[TokenWeights] = []
        self._readings = Readings()

    # Filling

    def add_turns(self, owner: RowOwner, key: CellKey, sums: TurnSums, threads: Iterable[int]) -> None:
        """Count the turns of a cell, which are of the threads with these numbers (`thread_number`)."""
        row = self._key(owner, key)
        tally = self._sums_of(row, key.model)
        tally.count(sums)
        if key.model not in tally.models:
            tally.models = _joined(tally.models, _only(key.model))
        if self._valuation:
            value, priced, not_priced = self._valuation.value(key, sums)
            tally.value += value
            tally.priced += priced
            tally.not_priced += not_priced
        if self.by in OF_THREADS:
            # Each thread has sums of its own until the document is made.
            tally.threads = int(key.thread is not None)
        else:
            self._threads.setdefault(row, {}).setdefault(key.model, set()).update(threads)

    def add_surcharge(self, owner: RowOwner, key: CellKey, sums: TurnSums) -> None:
        """Add what turns cost more than at the prices of the first step, at which they have been counted."""
        if self._valuation:
            self._sums_of(self._key(owner, key), key.model).value += self._valuation.surcharge(key, sums)

    def add_points(self, owner: RowOwner, key: CellKey, points: float) -> None:
        """Add points that were attributed to turns of a cell."""
        self._sums_of(self._key(owner, key), key.model).use(points, owner.per_point)

    def add_origin(self, owner: RowOwner, origin: ThreadOrigin, quarter: int) -> None:
        """Note where a thread comes from, as its turns say that ended in a quarter of an hour."""
        if origin.subagent is not None or origin.parent_thread is not None:
            found = self._accounts[owner.key], quarter
            self._origins[origin] = min(found, self._origins.get(origin, found))

    def add_unexplained(self, owner: RowOwner, points: float, at: float) -> None:
        """Add points that no turn explains; `at` is when the last such increase was read."""
        tally = self._pending if is_pending(at, self._period.until) else self._elsewhere
        tally.use(points, owner.per_point)
        tally.seen(at)

    def add_readings(self, owner: RowOwner, readings: Readings) -> None:
        """Count readings and increases."""
        self._readings = self._readings.plus(readings)
        self._total.use(readings.points, owner.per_point if readings.points else None)

    def add_owner(self, owner: RowOwner) -> None:
        """Note the next account, before its use is added: of what several say of a thread, the last word counts."""
        self._accounts.setdefault(owner.key, len(self._accounts))

    def add_account(self, owner: RowOwner) -> None:
        """Show an account whose window was seen, even without use."""
        if self.by == "account":
            self._row(owner.key)
            if owner.label is not None:
                self._names[owner.key] = owner.label

    def add_models(self, owner: RowOwner, models: Iterable[str | None]) -> None:
        """Note models that an account's turns had."""
        self._models_of.setdefault(owner.key, set()).update(models)

    def models_of(self, owner: RowOwner) -> set[str | None]:
        """Return the models that were noted for an account."""
        return self._models_of.get(owner.key, set())

    def add_weights(self, weights: Iterable[TokenWeights]) -> None:
        """Note the weights of the tokens of an account's models."""
        self._weights += weights

    def points(self) -> dict[str | None, float]:
        """Return the points of each row that were added so far; in rows by thread or project those of each thread."""
        return {key: tally.points for key, tally in self._rows.items()}

    def period_key(self, quarter: int) -> str | None:
        """Return the key of the day, week, month or hour of a quarter of an hour; None outside the calendar."""
        if quarter not in self._quarters:
            at = quarter * QUARTER_SECONDS
            if self.by == "hour" and (hours := keys_of_hours(at, self.zone)):
                self._know_hours(*hours)
            else:
                self._quarters[quarter] = period_key(at, self.by, self.zone)
        return self._quarters[quarter]

    def period_bounds(self, key: str) -> Bounds | None:
        """Return the bounds of a day, week or month; None for an hour, and outside the calendar."""
        if key not in self._bounds:
            self._bounds[key] = period_bounds(key, self.by, self.zone)
        return self._bounds[key]

    def _know_hours(self, start: int, keys: Sequence[str]) -> None:
        """Note the keys of the quarters of an hour of a day: one after the other they take much longer to find."""
        number = _HOUR_SECONDS // QUARTER_SECONDS
        first = start // QUARTER_SECONDS
        for begin in range(first, first + number):
            self._quarters.update(zip(range(begin, begin + number * len(keys), number), keys, strict=True))

    # What is counted in no row of its own

    def stand_ins(self, points: Sequence[Mapping[str | None, float]], idle: Collection[str | None]) -> StandIns | None:
        """Return in whose names the turns of threads are counted; None if each has its own.

        Call it once, when the origins of all threads are known. Those that have been counted stand for themselves.

        Args:
            points: the points of the threads that are to be counted, of which there are several parts.
            idle: those of them that have no turns.
        """
        every: AbstractSet[str | None] = points[0].keys() if len(points) == 1 else set[str | None]().union(*points)
        found = None
        if self.by == "project":
            found = self._first_of_projects(every)
        elif self._grouping.most is not None:
            found = self._or_others(points, self._grouping.most)
        if found is None:
            return None
        names, others = {**found.names, **{thread: thread for thread in self._rows}}, found.others
        not_counted = {None, *idle, *self._rows}
        counted = [thread for thread in names if thread in every and thread not in not_counted]
        self._numbers.update(names[thread] for thread in counted)
        if rest := len(every) - len(counted) - sum(thread in every for thread in not_counted):
            self._numbers[others] += rest
        return StandIns(names, others)

    def _first_of_projects(self, threads: AbstractSet[str | None]) -> StandIns:
        """Return the first thread of each project; all threads but those of the largest one are named."""
        known = self._projects(threads, self._thread_tree())
        rest = threads - self._rows.keys()
        projects: dict[str | None, str | None] = {each: known[each] for each in known if each in rest}
        ((largest, number),) = Counter(projects.values()).most_common(1) or [(None, 0)]
        if number > len(rest) - len(projects):
            projects.update(dict.fromkeys(rest - projects.keys()))
        else:
            largest = None
        first: dict[str | None, str | None] = {None: None}
        names = {each: first.setdefault(project, each) for each, project in projects.items()}
        others = first.get(largest)
        return StandIns({each: name for each, name in names.items() if name != others}, others)

    def _or_others(self, points: Sequence[Mapping[str | None, float]], most: int) -> StandIns | None:
        """Return the threads that may have rows, which stand for themselves; None if all of them have."""
        tree = self._thread_tree()
        largest: Mapping[str | None, float] = max(points, key=len, default={})
        totals = defaultdict(float, largest)
        for found in (self.points(), *(each for each in points if each is not largest)):
            for thread, each in found.items():
                totals[thread] += each
        below = [thread for thread in tree.started() if thread in totals]
        for thread in below:
            totals[tree.root(thread)] += totals.pop(thread)
        if len(totals) <= most:
            return None
        # Those with nearly the same points are ranked when all is counted.
        least = min(heapq.nlargest(most, totals.values()), default=math.inf) - _SAME_POINTS
        listed = {key for key, total in totals.items() if total >= least}
        self._known_keys = totals.keys()
        listed.update([thread for thread in below if tree.root(thread) in listed])
        return StandIns({thread: thread for thread in listed}, OTHERS)

    def may_leave_out(self, stretch: TimeRange) -> bool:
        """Return True if a stretch of time may have more days, weeks, months or hours than are listed."""
        most = self._grouping.most
        length = _HOUR_SECONDS if self.by == "hour" else _SHORTEST_DAY_SECONDS
        counted = len({*self._rows, *self._models})
        return most is not None and counted + 2 + (stretch.until - stretch.since) / length > most

    def unlisted_until(self, quarters: Collection[int]) -> float:
        """Return up to when times have no row of their own, in Unix seconds.

        Call it once, when what is newer has been counted.

        Args:
            quarters: the quarters of an hour that are to be counted.
        """
        most = self._grouping.most
        keys = {quarter: self.period_key(quarter) for quarter in quarters}
        every = {*keys.values(), *self._rows, *self._models}
        if most is None or len(every) <= most:
            return -math.inf
        listed = set(heapq.nlargest(most, filter(None, every)))
        self._known_keys = every
        return QUARTER_SECONDS * min((quarter for quarter, key in keys.items() if key in listed), default=math.inf)

    # The document

    def document(self, generated_at: int) -> UsageDocument:
        """Return the document, without a limit, a window and accounts; call it once, at last."""
        if self.by in OF_THREADS:
            self._fold_threads()
        else:
            self._count_threads()
        for key, models in self._models.items():
            self._row(key).add_all(list(models.values()))
        self._total.add_all([*self._rows.values(), self._pending, self._elsewhere], with_points=False)
        if self.by not in OF_THREADS:
            self._total.threads = len(_union(each for threads in self._threads.values() for each in threads.values()))
            for key, threads in self._threads.items():
                self._row(key).threads = len(_union(threads.values()))
        total = self._total.points
        listed, others = self._listed()
        branches = self._branches_by_session(total)
        rows = [self._entry(key, self._rows[key], total, branches.get(key, [])) for key in listed]
        for tally, elsewhere in ((self._pending, False), (self._elsewhere, True)):
            if tally.points:
                figures = tally.figures(total)
                rows.append({**_NO_ROW, "elsewhere": elsewhere, "pending": not elsewhere, **figures})
        return {
            "generated_at": generated_at,
            "since": self._period.since,
            "until": self._period.until,
            "by": self.by,
            "limit_id": None,
            "window": None,
            "window_minutes": None,
            "length": None,
            "windows": [],
            "accounts": [],
            "rows": rows,
            "others": others.figures(total) if others else None,
            "other_rows": self._number_of_keys() - len(listed),
            "total": self._total.figures(total),
            "readings": self._readings.readings,
            "imported_readings": self._readings.imported,
            "rises": self._readings.increases,
            "weights": self._weights,
            "by_model": _model_entries(self._all_models(), total),
            "unit": None,
            "not_priced": _not_priced(self._valuation),
            "price_source": self._valuation.source if self._valuation else None,
            "own_prices": self._valuation.own_prices if self._valuation else [],
        }

    def _number_of_keys(self) -> int:
        """Return how many rows there would be if each had its own."""
        return len(self._known_keys) + sum(key != OTHERS and key not in self._known_keys for key in self._rows)

    def _listed(self) -> tuple[list[str | None], RowSums | None]:
        """Return the keys of the listed rows in their order, and the sum of the others; None if there are none."""
        most = self._grouping.most
        keys = [key for key in self._rows if key != OTHERS]
        number = len(keys) if most is None else most
        if self.by in TIMES:
            listed = sorted(keys, key=lambda key: key or "")[max(0, len(keys) - number) :]
        else:
            listed = heapq.nsmallest(number, keys, key=self._rank)
        if len(listed) == len(self._rows):
            return listed, None
        shown, others = set(listed), RowSums()
        others.add_all([tally for key, tally in self._rows.items() if key not in shown])
        if self.by not in OF_THREADS:
            left_out = [threads for key, threads in self._threads.items() if key not in shown]
            others.threads = len(_union(each for threads in left_out for each in threads.values()))
        return listed, others

    def _rank(self, key: str | None) -> tuple[float, int, str]:
        tally = self._rows[key]
        return -tally.points, -tally.output_tokens, key or ""

    def _fold_threads(self) -> None:
        """Turn the sums of threads into those of sessions or projects."""
        for thread, number in self._numbers.items():
            self._row(thread).threads = number
        by_thread, self._rows = self._rows, {}
        tree = self._tree = self._thread_tree()
        if self._opens_tree:
            for thread, tally in by_thread.items():
                for branch in self._branches_of(thread):
                    branch.add_all([tally])
        key_of = self._projects(by_thread, tree).get if self.by == "project" else tree.root
        for thread, tally in by_thread.items():
            key = None if thread is None else key_of(thread)
            found = self._rows.setdefault(key, tally)
            if found is not tally:
                found.add_all([tally])

    def _thread_tree(self) -> ThreadTree:
        return ThreadTree(sorted(self._origins, key=self._order) if self._grouping.rolls_up else ())

    def _order(self, origin: ThreadOrigin) -> tuple[tuple[int, int], tuple[str, ...]]:
        """Return what origins are sorted by: account by account, and each in the order of time."""
        return self._origins[origin], tuple(word or "" for word in origin)

    def _projects(self, threads: Iterable[str | None], tree: ThreadTree) -> dict[str, str]:
        """Return the projects of threads, where that of a thread or of the session that started it is known."""
        ids = {thread for thread in threads if thread is not None}
        started = [thread for thread in tree.started() if thread in ids]
        projects_of = self._grouping.projects_of
        known = projects_of(ids.union(map(tree.root, started))) if projects_of else {}
        found = {thread: known[root] for thread in started if (root := tree.root(thread)) in known}
        return {**found, **{thread: project for thread, project in known.items() if thread in ids}}

    def _count_threads(self) -> None:
        """Give the rows by model within a row their numbers of threads."""
        if self.by in WITH_MODELS:
            for key, threads in self._threads.items():
                for model, found in threads.items():
                    if model in self._models.get(key, {}):
                        self._models[key][model].threads = len(found)

    def _entry(self, key: str | None, tally: RowSums, total: float, tree: list[UsageEntry]) -> UsageRow:
        name = self._names.get(key) if key is not None else None
        bounds = self.period_bounds(key) if key and self.by in TIMES else None
        return {
            **_NO_ROW,
            "key": key,
            "name": None if name == key else name,
            "kind": self._tree.kinds.get(key) if self.by == "thread" and key is not None else None,
            "tree": tree,
            "start": bounds and bounds.start,
            "end": bounds and bounds.end,
            "by_model": _model_entries(self._models.get(key, {}), total),
            **tally.figures(total),
        }

    def _all_models(self) -> dict[str | None, RowSums]:
        """Return the sums of each model over all rows that list their models."""
        found: dict[str | None, RowSums] = {}
        for model in {model for models in self._models.values() for model in models}:
            total = found[model] = RowSums()
            total.add_all([models[model] for models in self._models.values() if model in models])
            total.threads = len(_union(threads.get(model, set()) for threads in self._threads.values()))
        return found

    def _branches_by_session(self, total: float) -> dict[str | None, list[UsageEntry]]:
        """Return the branches of each session, those with the most points first."""
        figures = {thread: tally.figures(total) for thread, tally in self._branches.items()}
        found = self._tree.branches(
            figures, lambda each: (-figures[each]["points"], -figures[each]["output_tokens"], each)
        )
        return {session: [self._branch(each, figures[each.thread]) for each in some] for session, some in found.items()}

    def _branch(self, branch: Branch, figures: UsageFigures) -> UsageEntry:
        thread = branch.thread
        placed: UsageEntry = {**_NO_ENTRY, "key": thread, "kind": self._tree.kinds.get(thread), "parent": branch.parent}
        return {**placed, "depth": branch.depth, **figures}

    def _branches_of(self, thread: str | None) -> Iterator[RowSums]:
        """Yield the sums of the branches that a thread's turns count for: its own, and those up to the session."""
        while thread is not None and (parent := self._tree.parent(thread)) is not None:
            yield self._branches.setdefault(thread, RowSums())
            thread = parent

    # Rows

    def _row(self, key: str | None) -> RowSums:
        found = self._rows.get(key)
        if found is None:
            found = self._rows[key] = RowSums()
        return found

    def _sums_of(self, key: str | None, model: str | None) -> RowSums:
        """Return the sums of a row; in rows that list their models, those of the model, which the row adds."""
        if self.by not in WITH_MODELS:
            return self._row(key)
        models = self._models.get(key)
        if models is None:
            models = self._models[key] = {}
        found = models.get(model)
        if found is None:
            found = models[model] = RowSums()
        return found

    def _key(self, owner: RowOwner, cell: CellKey) -> str | None:
        """Return the key of the row of a cell; that of its thread in rows that are found by threads."""
        if self.by in OF_THREADS:
            return cell.thread
        if self.by == "account":
            return owner.key
        if self.by in TIMES:
            return OTHERS if cell.thread == OTHERS else self.period_key(cell.quarter)
        found: str | None = getattr(cell, _FIELDS.get(self.by, self.by))
        return found


_FIELDS = {"effort": "reasoning_effort"}


def _union(sets: Iterable[set[int]]) -> set[int]:
    return set().union(*sets)


def _model_entries(tallies: Mapping[str | None, RowSums], total: float) -> list[ModelUse]:
    """Return the use of each model, the most used first."""
    found: list[ModelUse] = [{**tally.figures(total), "model": model} for model, tally in tallies.items()]
    found.sort(key=lambda each: (-each["points"], -each["output_tokens"], each["model"] or ""))
    return found


def _not_priced(valuation: Valuation | None) -> list[NotPricedTurns]:
    """Return the turns without a value, the most frequent reason first."""
    found: Iterable[tuple[NotPriced, int]] = valuation.not_priced.items() if valuation else ()
    entries: list[NotPricedTurns] = [
        {"reason": each.reason, "model": each.model, "tier": each.tier, "turns": turns} for each, turns in found
    ]
    entries.sort(key=lambda each: (-each["turns"], each["reason"], each["model"] or "", each["tier"] or ""))
    return entries
