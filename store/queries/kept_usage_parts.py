"""Kept use of a window, as it is read: by months, days and hours as far as possible, else by quarters of an hour.

Threads are many, and few of them have rows of their own. The others have what these leave of the sums of all.
"""

# ruff: noqa: S608 (all statements are made of constants, and of a slot that is checked)
from __future__ import annotations

import json
import math
from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from store.analysis.formatting import local_time
from store.analysis.periods import period_bounds
from store.analysis.thread_tree import ThreadOrigin
from store.analysis.usage_cells import QUARTER_SECONDS, CellKey, TurnSums
from store.analysis.usage_table import OF_THREADS, OTHERS, TIMES, Readings, StandIns
from store.kept.kind import ceil_to, floor_to
from store.queries.kept_usage import DAY_SECONDS, HOUR_SECONDS, KEY, MONTH_SECONDS, PRICED, SUMS, TABLES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from store.analysis.usage_table import RowOwner, TimeRange, UsageTable
    from store.constants import GroupBy
    from store.queries.usage_rows import Place


def add_kept(parts: Sequence[tuple[KeptPart, RowOwner]], table: UsageTable, changes: Collection[float]) -> None:
    """Add kept use to the rows of a document, when the rest of the use has been counted.

    Args:
        parts: the kept rows of each account.
        table: the rows.
        changes: the timestamps at which prices change, in Unix seconds.
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
            levels = _levels(spans)
            for key, sums, threads in part.turns(levels, table.by):
                table.add_turns(owner, key, sums, threads)
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
    stand_ins = table.stand_ins(
        [each.points for each in found], set[str | None]().union(*(each.had_turns for each in found))
    )
    for (_, owner), (points, _) in zip(parts, found, strict=True):
        for thread, each in (_summed(points, stand_ins) if stand_ins else points).items():
            table.add_points(owner, CellKey(0, thread), each)
    return stand_ins


def _summed(points: Mapping[str | None, float], stand_ins: StandIns) -> dict[str | None, float]:
    names, others = stand_ins
    named = points.keys() & names.keys()
    found: defaultdict[str | None, float] = defaultdict(float)
    for thread in named:
        found[names[thread]] += points[thread]
    if len(named) < len(points):
        found[others] += math.fsum([*points.values(), *(-points[thread] for thread in named)])
    return found


def _quarters(parts: Sequence[KeptPart], table: UsageTable) -> set[int]:
    """Return a quarter of each hour in which turns ended; each quarter, where an hour is one of several rows."""
    hours = set[int]().union(*(part.ends(HOUR_SECONDS) for part in parts))
    # The clock is set once a day at most.
    at_ends = {end for hour in hours for end in (hour - hour % 24, hour - hour % 24 + 23)}
    begun = (local_time(hour * HOUR_SECONDS, table.zone) for hour in at_ends)
    if all(at is None or at.minute == 0 for at in begun):
        return {hour * HOUR_SECONDS // QUARTER_SECONDS for hour in hours}
    return set[int]().union(*(part.ends(QUARTER_SECONDS) for part in parts))


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


class _Level(NamedTuple):
    """Spans that are whole months, days, hours or none of these, and what the names of their tables begin with."""

    prefix: str
    spans: list[KeptSpan]


def _levels(spans: Iterable[KeptSpan]) -> list[_Level]:
    """Return the parts of spans, each by the longest rows that there are for it."""
    shorter, months = split(spans, MONTH_SECONDS)
    apart, days = split(shorter, DAY_SECONDS)
    quarters, hours = split(apart, HOUR_SECONDS)
    return [_Level("", quarters), _Level("hourly_", hours), _Level("daily_", days), _Level("monthly_", months)]


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
        bounds = period_bounds(key, table.by, table.zone) if key else None
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
    """The points of threads, and which threads had turns; None is an unknown thread."""

    points: dict[str | None, float]
    had_turns: set[str | None]


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
        firsts = ", ".join(f"min((SELECT min(at) FROM {table} {_OF_ACCOUNT}))" for table in ("{turns}", "{shares}"))
        found = self._rows(f"SELECT {firsts} FROM json_each(:accounts) a").fetchone()
        return min((at for at in found if at is not None), default=None)

    def turns(self, levels: Iterable[_Level], by: GroupBy) -> Iterator[tuple[CellKey, TurnSums, Iterable[str | None]]]:
        """Yield the sums of turns that are alike in what rows stand for, and their threads where rows do not.

        Nothing is by the thread here.
        """
        names = {*_DIMENSIONS.get(by, ()), *PRICED}
        number = 1 + len(KEY)
        for prefix, spans in levels:
            query = (
                f"SELECT s.key, {_columns(KEY, names)}, {_SUMS}, {_threads(prefix, by)}"
                f" {_FROM} {{{prefix}turns}} {_WITHIN}"
                f" GROUP BY s.key, {', '.join(map(str, _positions(names, 2)))}"
            )
            rows = self._rows(query, spans).fetchall()
            lists = _parsed("null" if row[-1] is None else f"[{row[-1]}]" for row in rows)
            for row, threads in zip(rows, lists, strict=True):
                key = _cell_key(spans[row[0]], None, row[1:number])
                yield key, TurnSums(*row[number:-1]), chain.from_iterable(threads or ())

    def shares(self, levels: Iterable[_Level], by: GroupBy) -> Iterator[tuple[CellKey, float]]:
        """Yield the points of turns that are alike in what rows stand for, which are not threads."""
        names = {*_DIMENSIONS.get(by, ()), *(("model",) if by in TIMES else ())}
        # A turn may have ended in another hour or day than the one in which its part of an increase was read.
        apart = _ENDED_APART if by in TIMES else "NULL"
        for prefix, spans in levels:
            query = (
                f"SELECT s.key, {apart} AS apart, {_columns(KEY[:-1], names)}, sum(c.points)"
                f" {_FROM} {{{prefix}shares}} {_WITHIN}"
                f" GROUP BY {', '.join(['s.key', 'apart', *map(str, _positions(names, 3))])}"
            )
            for number, ended_at, *values, points in self._rows(query, spans):
                yield _cell_key(spans[number], ended_at, values), points

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
        points, had_turns = dict[str | None, float](), set[str | None]()
        apart, days = split([KeptSpan(*self.stretch)], DAY_SECONDS)
        lists = (self._lists(name, days) for name in ("threads", "points", "idle"))
        for threads, of_these, idle in zip(*lists, strict=True):
            found = dict(zip(threads, of_these, strict=True))
            for thread in points.keys() & found.keys():
                found[thread] += points[thread]
            points.update(found)
            had_turns.update(set(threads).difference(idle) if idle else threads)
        ended = set(chain.from_iterable(self._rows(f"SELECT c.thread {_FROM} {{turns}} {_WITHIN}", apart)))
        for thread in ended:
            points.setdefault(thread, 0.0)
        for thread, each in self._rows(f"SELECT c.thread, c.points {_FROM} {{shares}} {_WITHIN}", apart):
            points[thread] = points.get(thread, 0.0) + each
        return ThreadPoints(points, had_turns | ended)

    def _lists(self, name: str, days: Sequence[KeptSpan]) -> list[list[Any]]:
        """Return the list of each day, by the name of its column."""
        rows = self._rows(f"SELECT c.{name} {_FROM} {{daily_lists}} {_WITHIN}", days)
        return _parsed(chain.from_iterable(rows))

    def ends(self, seconds: int) -> set[int]:
        """Return the spans of so many seconds, counted from 1970, in which turns ended that have use here.

        These are hours or quarters of an hour.
        """
        apart, days = split([KeptSpan(*self.stretch)], DAY_SECONDS)
        if seconds == HOUR_SECONDS:
            found = set(chain.from_iterable(self._lists("hours", days)))
        else:
            found, apart = set[int](), [KeptSpan(*self.stretch)]
        for table, at in (("turns", "c.at"), ("shares", "c.ended_at")):
            query = f"SELECT DISTINCT CAST({at} - 1 AS INTEGER) / {seconds} {_FROM} {{{table}}} {_WITHIN}"
            found.update(chain.from_iterable(self._rows(query, apart)))
        return found

    def models(self) -> set[str | None]:
        """Return the models that turns had, and perhaps others: those that prices are found by."""
        since, until = self.stretch
        query = f"SELECT DISTINCT c.model {_FROM} {{models}} {_WITHIN}"
        return {row[0] for row in self._rows(query, [KeptSpan(since, until + DAY_SECONDS)])}

    def models_of_turns(self) -> set[str | None]:
        """Return the models of turns, as they were asked for."""
        found = set[str | None]()
        for prefix, spans in _levels([KeptSpan(*self.stretch)]):
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
    return "group_concat(c.threads)" if prefix else "json_group_array(DISTINCT c.thread)"


def _parsed(texts: Iterable[str]) -> list[Any]:
    """Return what texts of JSON say, parsed as one text: many short ones take three times as long."""
    found: list[Any] = json.loads(f"[{','.join(texts)}]")
    return found


def _columns(columns: Sequence[str], names: Collection[str]) -> str:
    return ", ".join(f"c.{name}" if name in names else "NULL" for name in columns)


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
_OF_ACCOUNT = "WHERE account = a.value AND limit_id = :limit AND at > :since AND at <= :until"

_DIMENSIONS: dict[GroupBy, tuple[str, ...]] = {
    "model": ("model",),
    "effort": ("reasoning_effort",),
    "subagent": ("subagent",),
    "tier": ("tier",),
    "client": ("client",),
}
"""What rows stand for, by the names of the columns."""
