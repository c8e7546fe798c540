"""Kept use of a window, as it is read: by months, days and hours as far as possible, else by quarters of an hour.

Threads are many, and few of them have rows of their own. The others have what these leave of the sums of all.
"""

# ruff: noqa: S608 (all statements are made of constants, and of a slot that is checked)
from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections import Counter, defaultdict
from itertools import chain, islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from store.analysis.formatting import local_time
from store.analysis.periods import Bounds
from store.analysis.thread_tree import ThreadOrigin
from store.analysis.usage_cells import QUARTER_SECONDS, CellKey, TurnSums
from store.analysis.usage_table import OF_THREADS, OTHERS, TIMES, WITH_MODELS, Readings, StandIns
from store.kept.kind import ceil_to, floor_to
from store.queries.kept_usage import (
    DAY_SECONDS,
    HOUR_SECONDS,
    KEY,
    MONTH_SECONDS,
    PRICED,
    QUARTERS_A_DAY,
    QUARTERS_AN_HOUR,
    SUMS,
    TABLES,
)
from store.queries.kept_usage_values import quarter_numbers, real_numbers, thread_numbers

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from store.analysis.usage_table import RowOwner, TimeRange, UsageTable
    from store.constants import GroupBy
    from store.queries.usage_rows import Place


def add_kept(
    parts: Sequence[tuple[KeptPart, RowOwner]],
    table: UsageTable,
    changes: Collection[float],
    steps: Mapping[str | None, int],
) -> None:
    """Add kept use to the rows of a document, when the rest of the use has been counted.

    Args:
        parts: the kept rows of each account.
        table: the rows.
        changes: the timestamps at which prices change, in Unix seconds.
        steps: the lowest number of input tokens above which the prices of a model change, of those that have one.
    """
    if table.by in OF_THREADS:
        for part, owner in parts:
            for origin, quarter in part.origins():
                table.add_origin(owner, origin, quarter)
    joined = _joined(parts, table)
    stand_ins = _add_thread_points(joined, table) if table.by in OF_THREADS else None
    unlisted_until = _unlisted_until([part for part, _ in joined], table) if table.by in TIMES else -math.inf
    for part, owner in joined:
        spans = list(_spans(part, changes, table, unlisted_until))
        if table.by in OF_THREADS:
            _add_threads(part, table, owner, spans, stand_ins)
        else:
            levels = _levels(spans, part.local_days() if table.by in WITH_MODELS else ())
            for key, sums, threads in part.turns(levels, table.by):
                table.add_turns(owner, key, sums, threads)
            for key, sums in part.turns_above(levels, steps):
                table.add_surcharge(owner, key, sums)
            for key, points in part.shares(levels, table.by):
                table.add_points(owner, key, points)
        for points, at in part.unexplained():
            table.add_unexplained(owner, points, at)
        table.add_readings(owner, part.readings())


def _joined(parts: Sequence[tuple[KeptPart, RowOwner]], table: UsageTable) -> list[tuple[KeptPart, RowOwner]]:
    """Return the kept rows of several accounts in the same time as one part, where rows do not tell these apart."""
    if table.by == "account" or any(owner.per_point is not None for _, owner in parts):
        return list(parts)
    found: dict[TimeRange, tuple[KeptPart, RowOwner]] = {}
    for part, owner in parts:
        one, first = found.get(part.stretch, (part._replace(accounts=()), owner))
        found[part.stretch] = one._replace(accounts=(*one.accounts, *part.accounts)), first
    return list(found.values())


def _unlisted_until(parts: Sequence[KeptPart], table: UsageTable) -> float:
    """Return up to when times have no row of their own, in Unix seconds."""
    if any(table.may_leave_out(part.stretch) for part in parts):
        return table.unlisted_until(_quarters(parts, table))
    return -math.inf


def _add_thread_points(parts: Sequence[tuple[KeptPart, RowOwner]], table: UsageTable) -> StandIns | None:
    """Add the points of threads, and return in whose names these are counted; None if each has its own."""
    found = [part.thread_points() for part, _ in parts]
    stand_ins = table.stand_ins([each.points for each in found], _idle(found))
    for (_, owner), (points, _) in zip(parts, found, strict=True):
        for thread, each in (_summed(points, stand_ins) if stand_ins else points).items():
            table.add_points(owner, CellKey(0, thread), each)
    return stand_ins


def _idle(found: Sequence[ThreadPoints]) -> set[str | None]:
    """Return the threads that had no turn in any of several parts."""
    some = set[str | None]().union(*(each.idle for each in found))
    return {thread for thread in some if all(thread in each.idle or thread not in each.points for each in found)}


def _summed(points: Mapping[str | None, float], stand_ins: StandIns) -> dict[str | None, float]:
    names, others = stand_ins
    named = points.keys() & names.keys()
    found: defaultdict[str | None, float] = defaultdict(float)
    for thread in named:
        found[names[thread]] += points[thread]
    if len(named) < len(points):
        found[others] += math.fsum([*points.values(), *(-points[thread] for thread in named)])
    return found


def _quarters(parts: Sequence[KeptPart], table: UsageTable) -> Collection[int]:
    """Return the first quarter of each hour in which turns ended; each quarter where an hour is not always four."""
    first, bits = quarter_numbers(chain.from_iterable(part.ended() for part in parts))
    days = range(first // QUARTERS_A_DAY, (first + bits.bit_length()) // QUARTERS_A_DAY + 1)
    # The clock is set once a day at most.
    begun = (local_time(day * DAY_SECONDS, table.zone) for day in days)
    minutes = {at.minute for at in begun if at} or {0}
    if len(minutes) > 1:
        return [first + bit for bit in range(bits.bit_length()) if bits >> bit & 1]
    before = (first + minutes.pop() * 60 // QUARTER_SECONDS) % QUARTERS_AN_HOUR
    hours = f"{bits << before:x}"  # a digit has four bits
    return [first - before + QUARTERS_AN_HOUR * n for n, digit in enumerate(reversed(hours)) if digit != "0"]


def _add_threads(
    part: KeptPart, table: UsageTable, owner: RowOwner, spans: Sequence[KeptSpan], stand_ins: StandIns | None
) -> None:
    """Add the turns of threads: those of threads without a name of their own are what the others leave of all."""
    if stand_ins is None:
        for key, sums in part.turns_of_threads(spans):
            table.add_turns(owner, key, sums, ())
        return
    rest: defaultdict[CellKey, TurnSums] = defaultdict(TurnSums)
    for key, sums, _ in part.turns(_levels(spans), table.by):
        rest[key].add(sums)
    for key, sums in part.turns_of_threads(spans, stand_ins.names):
        table.add_turns(owner, key._replace(thread=stand_ins.names[key.thread]), sums, ())
        rest[key._replace(thread=None)].add(sums, -1)
    last_at = part.last_turn_but(stand_ins.names)
    for key, sums in rest.items():
        if sums.has_turns():
            sums.last_at = last_at
            table.add_turns(owner, key._replace(thread=stand_ins.others), sums, ())


class KeptSpan(NamedTuple):
    """The time with ``since < at <= until``, a part of one that begins with ``start``.

    That belongs to one row, or to those that are not listed.
    """

    since: float
    until: float
    is_other: bool = False
    start: float = 0.0


def split(spans: Iterable[KeptSpan], seconds: int) -> tuple[list[KeptSpan], list[KeptSpan]]:
    """Return the parts of spans that are not whole hours, days or months of so many seconds, and those that are."""
    apart: list[KeptSpan] = []
    whole: list[KeptSpan] = []
    for span in spans:
        if span.until - span.since < seconds:
            apart.append(span)
            continue
        first, last = ceil_to(seconds, span.since), floor_to(seconds, span.until)
        if (first, last) == (span.since, span.until):
            whole.append(span)
        elif first < last:
            whole.append(span._replace(since=first, until=last))
            ends = (span._replace(until=first), span._replace(since=last))
            apart += [each for each in ends if each.since < each.until]
        else:
            apart.append(span)
    return apart, whole


def split_days(spans: Iterable[KeptSpan], days: Sequence[Bounds]) -> tuple[list[KeptSpan], list[KeptSpan]]:
    """Return the parts of spans that are none of some days, which do not overlap and are sorted, and those that are."""
    apart: list[KeptSpan] = []
    whole: list[KeptSpan] = []
    for span in spans:
        start = span.since
        for day in islice(days, bisect_left(days, (span.since,)), None):
            if day.end > span.until:
                break
            if start < day.start:
                apart.append(span._replace(since=start, until=day.start))
            whole.append(span._replace(since=day.start, until=day.end))
            start = day.end
        if start < span.until:
            apart.append(span._replace(since=start))
    return apart, whole


class _Level(NamedTuple):
    """Spans that are whole months, days, hours or none of these, and what the names of their tables begin with.

    ``are_rows`` is true where each span is that of one row of an account, so that nothing is summed up over spans.
    """

    prefix: str
    spans: list[KeptSpan]
    are_rows: bool = False


_LOCAL = "local_"


def _levels(spans: Iterable[KeptSpan], local_days: Sequence[Bounds] = ()) -> list[_Level]:
    """Return the parts of spans, each by the longest rows that there are for it."""
    of_rows, of_others = _parted(spans, lambda span: not span.is_other)
    rest, local = split_days(of_rows, local_days)
    shorter, months = split([*of_others, *rest], MONTH_SECONDS)
    apart, days = split(shorter, DAY_SECONDS)
    quarters, hours = split(apart, HOUR_SECONDS)
    single, several = _parted(hours, lambda span: span.until - span.since == HOUR_SECONDS and not span.is_other)
    found = (
        _Level("", quarters),
        _Level("hourly_", single, are_rows=True),
        _Level("hourly_", several),
        _Level("daily_", days),
        _Level("monthly_", months),
        _Level(_LOCAL, local, are_rows=True),
    )
    return [level for level in found if level.spans]


def _parted(spans: Iterable[KeptSpan], condition: Callable[[KeptSpan], bool]) -> tuple[list[KeptSpan], list[KeptSpan]]:
    """Return the spans for which a condition holds, and the others."""
    found: tuple[list[KeptSpan], list[KeptSpan]] = [], []
    for span in spans:
        found[not condition(span)].append(span)
    return found


def _spans(part: KeptPart, changes: Collection[float], table: UsageTable, unlisted_until: float) -> Iterator[KeptSpan]:
    """Yield stretches of time that each belong to one row, or to no listed one, and in which prices are the same."""
    first_at, until = part.first_at(), part.stretch.until
    if first_at is None:
        return
    start = first_at - QUARTER_SECONDS
    ends = sorted(ceil_to(QUARTER_SECONDS, each) for each in changes if start < each < until)
    for end in [*ends, until]:
        if table.by in TIMES:
            listed = min(max(start, unlisted_until), end)
            if start < listed:
                yield KeptSpan(start, listed, is_other=True, start=start)
            yield from _periods(listed, end, table)
        else:
            yield KeptSpan(start, end, start=start)
        start = end


def _periods(since: float, until: float, table: UsageTable) -> Iterator[KeptSpan]:
    """Yield the days, weeks, months or hours of a stretch of time."""
    start = since
    while start < until:
        key = table.period_key(int(start / QUARTER_SECONDS))
        bounds = table.period_bounds(key) if key else None
        end = max(start + QUARTER_SECONDS, ceil_to(QUARTER_SECONDS, bounds.end) if bounds else 0.0)
        # Hours begin at one of UTC nearly everywhere.
        hour = ceil_to(HOUR_SECONDS, end)
        if not bounds and table.period_key(int(hour / QUARTER_SECONDS) - 1) == key:
            end = max(end, hour)
        while not bounds and end < until and table.period_key(int(end / QUARTER_SECONDS)) == key:
            end += QUARTER_SECONDS
        yield KeptSpan(start, min(end, until), start=start)
        start = end


class ThreadPoints(NamedTuple):
    """The points of threads, and which of them had no turns; None is an unknown thread."""

    points: dict[str | None, float]
    idle: set[str | None]


class KeptPart(NamedTuple):
    """The kept rows of a window in a stretch of time, which begins and ends with a quarter of an hour.

    They are those of some accounts, whichever one `place` has.
    """

    connection: sqlite3.Connection
    place: Place
    accounts: tuple[int, ...]
    stretch: TimeRange

    def first_at(self) -> float | None:
        """Return the end of the first quarter of an hour with turns or increases."""
        return min((at for _, at in self._rows(_FIRST_OF_EACH) if at is not None), default=None)

    def turns(self, levels: Iterable[_Level], by: GroupBy) -> Iterator[tuple[CellKey, TurnSums, Iterable[int]]]:
        """Yield the sums of turns that are alike in what rows stand for, and the numbers of their threads.

        Where rows stand for threads, there are none of these, and nothing is by the thread here.
        """
        number = 1 + len(KEY)
        for level in levels:
            names = {*_DIMENSIONS.get(by, ()), *(_BASE if level.prefix == _LOCAL else PRICED)}
            columns = f"{_columns(KEY, names)}, {_SUMS}, {_threads(level.prefix, by)}"
            for span, row in self._grouped(level, "turns", columns, _positions(names, 2)):
                key = _cell_key(span, None, row[1:number])
                yield key, TurnSums(*row[number:-1]), thread_numbers(row[-1])

    def turns_above(
        self, levels: Iterable[_Level], steps: Mapping[str | None, int]
    ) -> Iterator[tuple[CellKey, TurnSums]]:
        """Yield the sums of those turns of local days whose input exceeds a step: they are few, and so read apart."""
        number = 1 + len(KEY)
        columns = f"{_columns(KEY, PRICED)}, {_SUMS}"
        for level in levels:
            if steps and level.prefix == _LOCAL:
                rows = self._grouped(level, "turns", columns, _positions(PRICED, 2), condition=_ABOVE, steps=steps)
                for span, row in rows:
                    yield _cell_key(span, None, row[1:number]), TurnSums(*row[number:])

    def shares(self, levels: Iterable[_Level], by: GroupBy) -> Iterator[tuple[CellKey, float]]:
        """Yield the points of turns that are alike in what rows stand for, which are not threads."""
        names = {*_DIMENSIONS.get(by, ()), *(("model",) if by in TIMES else ())}
        for level in levels:
            # A turn may have ended in another hour or day than the one in which its part of an increase was read.
            apart = ("c.ended_at" if level.are_rows else _ENDED_APART) if by in TIMES else "NULL"
            columns = f"{apart} AS apart, {_columns(KEY[:-1], names)}, sum(c.points)"
            for span, row in self._grouped(level, "shares", columns, (2, *_positions(names, 3))):
                _, ended_at, *values, points = row
                yield _cell_key(span, ended_at, values), points

    def _grouped(
        self,
        level: _Level,
        table: str,
        columns: str,
        places: Iterable[int],
        *,
        condition: str = "",
        steps: Mapping[str | None, int] = MappingProxyType({}),
    ) -> Iterator[tuple[KeptSpan, tuple[Any, ...]]]:
        """Yield rows of a level, each with the span that it is of: one for each of these and the columns at places."""
        spans: Mapping[float, KeptSpan] = dict(enumerate(level.spans))
        span, rest = "s.key", f"{_FROM} {{{level.prefix}{table}}} {_WITHIN}"
        if level.are_rows:
            spans = {span.until: span for span in level.spans}
            span, rest = "c.at", f"FROM {{{level.prefix}{table}}} {_BETWEEN}"
        query = f"SELECT {span}, {columns} {rest}{condition} GROUP BY {', '.join([span, *map(str, places)])}"
        for row in self._rows(query, level.spans, steps=steps):
            if row[0] in spans:
                yield spans[row[0]], row

    def local_days(self) -> list[Bounds]:
        """Return the days of the machine's time zone that are summed up of each account with use by their end."""
        days: defaultdict[Bounds, set[int]] = defaultdict(set)
        for account, since, until in self._rows(f"SELECT a.value, c.since, c.at {_FROM} {{local_days}} {_LOCAL_DAY}"):
            days[Bounds(since, until)].add(account)
        firsts = self._rows(_FIRST_OF_EACH).fetchall()
        return sorted(
            day
            for day, found in days.items()
            if all(account in found for account, first in firsts if first is not None and first <= day.end)
        )

    def turns_of_threads(
        self, spans: Sequence[KeptSpan], threads: Collection[str | None] | None = None
    ) -> Iterator[tuple[CellKey, TurnSums]]:
        """Yield the sums of turns of each thread, or of some threads, that have the same prices."""
        names = {"thread", *PRICED}
        number = 1 + len(KEY)
        for table, some in _thread_levels(spans, "turns"):
            query = (
                f"SELECT s.key, {_columns(KEY, names)}, {_SUMS} {_from_threads(table, some, threads)}"
                f" GROUP BY s.key, {', '.join(map(str, _positions(names, 2)))} HAVING {_HAS_TURNS}"
            )
            for row in self._rows(query, some, threads or ()):
                yield _cell_key(some[row[0]], None, row[1:number]), TurnSums(*row[number:])

    def last_turn_but(self, threads: Collection[str | None]) -> float:
        """Return when the last turn ended that is of none of some threads."""
        last = (
            f"SELECT max(c.last_at) FROM {{turns}} c {_OF_ACCOUNT} AND NOT {_AMONG}"
            " GROUP BY at ORDER BY at DESC LIMIT 1"
        )
        (found,) = self._rows(f"SELECT max(({last})) FROM json_each(:accounts) a", None, threads).fetchone()
        return -math.inf if found is None else found

    def points(self, threads: Collection[str | None] | None = None) -> dict[str | None, float]:
        """Return the points of each thread, or of some threads."""
        found: defaultdict[str | None, float] = defaultdict(float)
        for table, spans in _thread_levels([KeptSpan(*self.stretch)], "shares"):
            query = f"SELECT c.thread, c.points {_from_threads(table, spans, threads)}"
            for thread, points in self._rows(query, spans, threads or ()):
                found[thread] += points
        return found

    def thread_points(self) -> ThreadPoints:
        """Return the threads with use, and the points of each."""
        apart, days = split([KeptSpan(*self.stretch)], DAY_SECONDS)
        points, idle = self._points_of_days(days)
        ended = set(chain.from_iterable(self._rows(f"SELECT c.thread {_FROM} {{turns}} {_WITHIN}", apart)))
        idle -= ended
        for thread in ended:
            points.setdefault(thread, 0.0)
        for thread, each in self._rows(f"SELECT c.thread, c.points {_FROM} {{shares}} {_WITHIN}", apart):
            if thread not in points:
                idle.add(thread)
            points[thread] = points.get(thread, 0.0) + each
        return ThreadPoints(points, idle)

    def _points_of_days(self, days: Sequence[KeptSpan]) -> ThreadPoints:
        points: dict[str | None, float] = {}
        rows = self._rows(f"SELECT c.threads, c.points, c.idle {_FROM} {{daily_lists}} {_WITHIN}", days).fetchall()
        threads, idle = (_parsed(row[place] for row in rows) for place in (0, 2))
        for of_day, row in zip(threads, rows, strict=True):
            found = dict(zip(of_day, real_numbers(row[1]), strict=True))
            for thread in points.keys() & found.keys():
                found[thread] += points[thread]
            points.update(found)
        idle_days = Counter(chain.from_iterable(idle))
        days_of_idle = Counter(filter(idle_days.__contains__, chain.from_iterable(threads))) if idle_days else idle_days
        return ThreadPoints(points, {thread for thread in idle_days if idle_days[thread] == days_of_idle[thread]})

    def ended(self) -> Iterator[bytes]:
        """Yield the quarters of an hour in which turns ended that have use here, as ``quarter_set`` writes them."""
        apart, days = split([KeptSpan(*self.stretch)], DAY_SECONDS)
        yield from chain.from_iterable(self._rows(f"SELECT c.quarters {_FROM} {{daily_lists}} {_WITHIN}", days))
        for table, at in (("turns", "c.at"), ("shares", "c.ended_at")):
            quarter = f"CAST(({at} - 1) / {QUARTER_SECONDS} AS INTEGER)"
            query = f"SELECT quarter_set({quarter}) {_FROM} {{{table}}} {_WITHIN} GROUP BY c.limit_id"
            yield from chain.from_iterable(self._rows(query, apart))

    def models(self) -> set[str | None]:
        """Return the models that turns had, and perhaps others: those that prices are found by."""
        since, until = self.stretch
        query = f"SELECT DISTINCT c.model {_FROM} {{models}} {_WITHIN}"
        return {row[0] for row in self._rows(query, [KeptSpan(since, until + DAY_SECONDS)])}

    def models_of_turns(self) -> set[str | None]:
        """Return the models of turns, as they were asked for."""
        found = set[str | None]()
        for prefix, spans, _ in _levels([KeptSpan(*self.stretch)]):
            found.update(*self._rows(f"SELECT DISTINCT c.model {_FROM} {{{prefix}turns}} {_WITHIN}", spans))
        return found

    def length(self, since: float) -> tuple[int | None] | None:
        """Return the minutes of the window at its last reading after a time (Unix seconds); None if there was none."""
        query = f"SELECT c.minutes {_FROM} {{readings}} {_WITHIN} AND c.readings > 0 ORDER BY c.at DESC LIMIT 1"
        found: tuple[int | None] | None = self._rows(query, [KeptSpan(since, self.stretch.until)]).fetchone()
        return found

    def origins(self) -> Iterator[tuple[ThreadOrigin, int]]:
        """Yield where threads of sub-agents come from, and the quarter of an hour in which a turn said so first."""
        names = ", ".join(f"c.{name}" for name in ThreadOrigin._fields)
        for *words, found in self._rows(
            f"SELECT {names}, min(c.ended_at) {_FROM} {{origins}} {_WITHIN} GROUP BY {names}"
        ):
            yield ThreadOrigin(*words), int(found / QUARTER_SECONDS) - 1

    def unexplained(self) -> Iterator[tuple[float, float]]:
        """Yield points that no turn explains, and when they were read last."""
        query = f"SELECT sum(c.points), max(c.last_at) {_FROM} {{unexplained}} {_WITHIN}"
        points, at = self._rows(query).fetchone()
        if at is not None:
            yield points, at

    def readings(self) -> Readings:
        """Return the number of readings and increases, and the points of these."""
        sums = ", ".join(f"total(c.{name})" for name in Readings._fields)
        found = Readings()
        apart, days = split([KeptSpan(*self.stretch)], DAY_SECONDS)
        for table, spans in (("readings", apart), ("daily_readings", days)):
            query = f"SELECT {sums} {_FROM} {{{table}}} {_WITHIN}"
            number, imported, increases, points = self._rows(query, spans).fetchone()
            found = found.plus(Readings(int(number), int(imported), int(increases), points))
        return found

    def _rows(
        self,
        query: str,
        spans: Sequence[KeptSpan] | None = None,
        threads: Collection[str | None] = (),
        steps: Mapping[str | None, int] = MappingProxyType({}),
    ) -> sqlite3.Cursor:
        """Ask a query, of the whole stretch of time unless spans are given."""
        tables = {table: f"usage_{self.place.slot}_{table}" for table in TABLES}
        since, until = self.stretch
        values = {
            "accounts": json.dumps(self.accounts),
            "limit": self.place.limit_id,
            "since": since,
            "until": until,
            "spans": json.dumps([KeptSpan(*self.stretch)] if spans is None else spans),
            "threads": json.dumps(list(threads)),
            "models": json.dumps(list(steps)),
            "step": min(steps.values(), default=0),
        }
        return self.connection.execute(query.format_map(tables), values)


def _thread_levels(spans: Iterable[KeptSpan], table: str) -> Iterator[tuple[str, list[KeptSpan]]]:
    """Yield the parts of spans that are not whole days, and those that are, each with the table that has threads."""
    apart, days = split(spans, DAY_SECONDS)
    yield from ((table, apart), ("daily_threads", days))


def _threads(prefix: str, by: GroupBy) -> str:
    """Return the expression for lists of the threads of turns, where rows are not found by these."""
    if by in OF_THREADS:
        return "NULL"
    return "group_concat(c.threads, '')" if prefix else "thread_set(c.thread)"


def _parsed(texts: Iterable[str]) -> list[Any]:
    """Return what texts of JSON say, parsed as one text: many short ones take three times as long."""
    found: list[Any] = json.loads(f"[{','.join(texts)}]")
    return found


def _columns(columns: Sequence[str], names: Collection[str]) -> str:
    return ", ".join(f"c.{name}" if name in names else _ANY.get(name, "NULL") for name in columns)


_ANY = {"above": "-1"}
"""What columns have that are not asked for, where that is not null."""


def _positions(names: Collection[str], first: int) -> list[int]:
    """Return the places of the columns of `_columns` that have values."""
    return [number for number, name in enumerate(KEY, first) if name in names]


def _cell_key(span: KeptSpan, ended_at: float | None, values: Iterable[Any]) -> CellKey:
    key = CellKey(int((span.start if ended_at is None else ended_at - 1) / QUARTER_SECONDS), *values)
    return key._replace(thread=OTHERS) if span.is_other and ended_at is None else key


def are_many_days(spans: Iterable[KeptSpan]) -> bool:
    """Return True if some threads are found faster by the index of threads than among all of so many days."""
    return sum(span.until - span.since for span in spans) > _MANY_DAYS * DAY_SECONDS


def _from_threads(table: str, spans: Iterable[KeptSpan], threads: Collection[str | None] | None) -> str:
    """Return the rest of a query for the rows of all threads, or of some."""
    if threads is None:
        return f"{_FROM} {{{table}}} {_WITHIN}"
    if table == "daily_threads" and are_many_days(spans):
        by_thread = (
            f"json_each(:threads) t CROSS JOIN json_each(:accounts) a CROSS JOIN {{{table}}} c ON c.thread IS t.value"
        )
        return f"FROM {by_thread} CROSS JOIN json_each(:spans) s ON {_IN_SPAN} WHERE c.limit_id = :limit"
    return f"{_FROM} {{{table}}} {_WITHIN} AND {_AMONG}"


_MANY_DAYS = 60
_AMONG = f"coalesce(c.thread, '{OTHERS}') IN (SELECT coalesce(value, '{OTHERS}') FROM json_each(:threads))"
_SUMS = ", ".join([*(f"sum(c.{name})" for name in SUMS[:-1]), "max(c.last_at)"])
_HAS_TURNS = "sum(c.turns + c.refused + c.warm_ups) > 0"
_START, _END = "json_extract(s.value, '$[0]')", "json_extract(s.value, '$[1]')"
_ENDED_APART = (
    f"CASE WHEN (json_extract(s.value, '$[2]') OR c.ended_at > {_START}) AND c.ended_at <= {_END}"
    " THEN NULL ELSE c.ended_at END"
)
_IN_SPAN = f"c.account = a.value AND c.at > {_START} AND c.at <= {_END}"
_FROM = "FROM json_each(:spans) s CROSS JOIN json_each(:accounts) a CROSS JOIN"
_WITHIN = f"c ON {_IN_SPAN} WHERE c.limit_id = :limit"
_LOCAL_DAY = "c ON c.account = a.value AND c.since >= :since AND c.at > :since AND c.at <= :until"
_BETWEEN = (
    "c WHERE c.limit_id = :limit AND c.account IN (SELECT value FROM json_each(:accounts))"
    " AND c.at > json_extract(:spans, '$[0][0]') AND c.at <= json_extract(:spans, '$[#-1][1]')"
)
"""Of rows that each have one of the spans, all from the first to the last span."""

_ABOVE = " AND c.above >= :step AND coalesce(c.response_model, c.model) IN (SELECT value FROM json_each(:models))"

"""Of turns whose input exceeds the first step of the prices of their model."""

_BASE = PRICED[:-1]
"""What prices of turns depend on, but for the steps of their input."""

_OF_ACCOUNT = "WHERE account = a.value AND limit_id = :limit AND at > :since AND at <= :until"
_FIRST_OF_EACH = (
    "SELECT account, min(coalesce(turned, used), coalesce(used, turned)) FROM (SELECT a.value AS account,"
    f" (SELECT min(at) FROM {{turns}} {_OF_ACCOUNT}) AS turned, (SELECT min(at) FROM {{shares}} {_OF_ACCOUNT}) AS used"
    " FROM json_each(:accounts) a)"
)
"""The accounts, and when the first quarter of an hour with turns or points of each ends."""

_DIMENSIONS: dict[GroupBy, tuple[str, ...]] = {
    "model": ("model",),
    "effort": ("reasoning_effort",),
    "subagent": ("subagent",),
    "tier": ("tier",),
    "client": ("client",),
}
"""What rows stand for, by the names of the columns."""
