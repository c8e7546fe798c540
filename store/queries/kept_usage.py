"""What is kept of the use of a window, so that a question about a year reads few rows.

Of each limit of an account there are, by the quarter of an hour: the sums of its turns, the points that were attributed
to them, those that no turn explains, and the readings. Attributions are kept with the weights that they were made with,
which are kept, too: later history changes neither.
"""

# ruff: noqa: S608 (all statements are made of constants, and of a slot that is checked)
from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from functools import cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from store.analysis.attribution import MAX_RUNNING_SECONDS, Weights
from store.analysis.periods import period_bounds
from store.analysis.thread_tree import ThreadOrigin
from store.analysis.token_weights import Fit, Fitted
from store.analysis.usage_cells import QUARTER_SECONDS, CellKey, TurnSums
from store.analysis.usage_table import OF_THREADS, OTHERS, TIMES, Readings
from store.constants import BUDGET_LIMIT, BUDGET_SLOT
from store.kept.kind import Kind, Piece, ceil_to, floor_to
from store.queries.usage_rows import Place, Weigher, place_use

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from store.analysis.usage_table import RowOwner, TimeRange, UsageTable
    from store.constants import GroupBy
    from store.queries.usage_rows import Use

_RULES = 1
"""Raise it whenever the same rows of the database lead to other kept rows."""

FINAL_SECONDS = 2 * 3_600.0
"""A turn that ends later is found by its start, and what it may explain is made again."""

_KEY = CellKey._fields[1:-1]
"""Without the machine: only turns of files are kept, and a file does not name its own."""

_SUMS = tuple(TurnSums.__dataclass_fields__)


@cache
def usage_kind(slot: str, refit_at: float | None = None) -> Kind | None:
    """Return the kind of what is kept of the windows in a slot; None where such a slot has none.

    With `refit_at` (Unix seconds), all that is filled has the weights that the history up to then shows.
    """
    if not re.fullmatch(r"[a-z0-9]{1,12}", slot):
        return None
    return Kind(
        name=f"usage_{slot}",
        rules=_RULES,
        tables={f"usage_{slot}_{table}": columns for table, columns in _TABLES.items()},
        fill=partial(_fill, slot, refit_at),
        step=QUARTER_SECONDS,
        final=FINAL_SECONDS,
    )


_CELL = ", ".join(["limit_id TEXT NOT NULL", *(f"{name} TEXT" for name in _KEY if name != "above")])
_TABLES = {
    "turns": f"{_CELL}, above INTEGER, {', '.join(f'{name} INTEGER' for name in _SUMS[:-1])}, last_at REAL",
    "shares": f"{_CELL}, ended_at REAL, points REAL",
    "daily_turns": f"{_CELL}, above INTEGER, {', '.join(f'{name} INTEGER' for name in _SUMS[:-1])}, last_at REAL",
    "daily_shares": f"{_CELL}, points REAL",
    "unexplained": "limit_id TEXT NOT NULL, points REAL, last_at REAL",
    "readings": "limit_id TEXT NOT NULL, readings INTEGER, imported INTEGER, increases INTEGER, points REAL,"
    " minutes INTEGER",
    "weights": "limit_id TEXT NOT NULL, fitted TEXT NOT NULL",
    "models": "limit_id TEXT NOT NULL, model TEXT",
}
"""The columns of the tables; ``at`` is the end of the quarter of an hour, of weights when their history ends.

The daily ones sum up those of each day in UTC; of a day that is not over, or whose beginning is not kept, they have a
part. Models are those that have prices: each once a day, with the last quarter of an hour in which it had turns.
"""


# Filling


def _fill(slot: str, refit_at: float | None, piece: Piece) -> float:
    for limit_id in _limits(piece, slot):
        place = Place(piece.account, limit_id, slot)
        weigher = Weigher(piece.source, place, kept_weights(piece.kept, place), refit_at=refit_at)
        for use in place_use(piece.source, place, piece.since, piece.until, weigher=weigher):
            for table, rows in _rows(use).items():
                _insert(piece.kept, place, table, rows)
        _keep_weights(piece.kept, place, weigher.made)
    _sum_up_days(slot, piece)
    return piece.until


def _sum_up_days(slot: str, piece: Piece) -> None:
    """Sum up the days that a piece has a part of, anew."""
    days = {"account": piece.account, "since": floor_to(_DAY_SECONDS, piece.since)}
    days["until"] = ceil_to(_DAY_SECONDS, piece.until)
    texts = ", ".join(_KEY[:-1])
    sums = ", ".join(f"sum({name})" for name in _SUMS[:-1])
    for table, columns, added in (
        ("turns", f"{texts}, above", f"{sums}, max(last_at)"),
        ("shares", texts, "sum(points)"),
    ):
        daily, rows = f"usage_{slot}_daily_{table}", f"usage_{slot}_{table}"
        within = "WHERE account = :account AND at > :since AND at <= :until"
        piece.kept.execute(f"DELETE FROM {daily} {within}", days)
        piece.kept.execute(
            f"INSERT INTO {daily} SELECT account, {_END_OF_DAY} AS day,"
            f" limit_id, {columns}, {added} FROM {rows} {within} GROUP BY account, day, limit_id, {columns}",
            days,
        )


def _limits(piece: Piece, slot: str) -> list[str]:
    """Return the limits of an account, and those of its turns in a piece."""
    if slot == BUDGET_SLOT:
        return [BUDGET_LIMIT]
    values = {"account": piece.account, "since": piece.since, "until": piece.until}
    return sorted(row[0] for row in piece.source.execute(_LIMITS, values))


def _rows(use: Use) -> dict[str, Iterable[tuple[Any, ...]]]:
    """Return the rows of each table, each with the end of its quarter, and a place for its limit."""
    days: dict[tuple[int, str | None], int] = {}
    for key in use.turns:
        day = key.quarter // _QUARTERS_A_DAY, key.response_model or key.model
        days[day] = max(days.get(day, 0), key.quarter)
    unexplained: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
    for points, at in use.unexplained:
        unexplained[int(at // QUARTER_SECONDS)].append((points, at))
    return {
        "turns": ((_end(key.quarter), None, *key[1:-1], *sums.values()) for key, sums in use.turns.items()),
        "shares": (
            (_end(quarter), None, *key[1:-2], _end(key.quarter), points)
            for (quarter, key), points in use.shares.items()
        ),
        "unexplained": (
            (_end(quarter), None, math.fsum(points for points, _ in each), max(at for _, at in each))
            for quarter, each in unexplained.items()
        ),
        "readings": (
            (_end(quarter), None, *readings, use.lengths.get(quarter)) for quarter, readings in use.readings.items()
        ),
        "models": ((_end(quarter), None, model) for (_, model), quarter in days.items()),
    }


def _insert(kept: sqlite3.Connection, place: Place, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    number = _TABLES[table].count(",") + 1
    kept.executemany(
        f"INSERT INTO usage_{place.slot}_{table} VALUES (?, ?{', ?' * number})",
        ((place.account, at, place.limit_id, *values) for at, _, *values in rows),
    )


def _end(quarter: int) -> float:
    return (quarter + 1) * QUARTER_SECONDS


# Weights


def kept_weights(kept: sqlite3.Connection, place: Place) -> dict[float, Fitted | None]:
    """Return the weights that are kept, by the end of the history that they are from."""
    rows = kept.execute(
        f"SELECT at, fitted FROM usage_{place.slot}_weights WHERE account = ? AND limit_id = ?",
        (place.account, place.limit_id),
    )
    return {at: _read(written) for at, written in rows}


def _keep_weights(kept: sqlite3.Connection, place: Place, made: Mapping[float, Fitted | None]) -> None:
    former = f"DELETE FROM usage_{place.slot}_weights WHERE account = ? AND limit_id = ? AND at = ?"
    kept.executemany(former, [(place.account, place.limit_id, at) for at in made])
    _insert(kept, place, "weights", [(at, None, _written(fitted)) for at, fitted in made.items()])


def _written(fitted: Fitted | None) -> str:
    if fitted is None:
        return "null"
    return json.dumps([[[model, *fit.weights, fit.increases] for model, fit in fitted.fits.items()], *fitted[1:]])


def _read(written: str) -> Fitted | None:
    found = json.loads(written)
    if found is None:
        return None
    fits, rate, at = found
    return Fitted({model: Fit(Weights(*weights), increases) for model, *weights, increases in fits}, rate, at)


# Reading


def choose_rows(parts: Sequence[tuple[KeptPart, RowOwner]], table: UsageTable) -> Choice:
    """Choose what of kept use has a row of its own, when the rest of the use has been counted.

    Of rows that are found by threads, the points are added.
    """
    if table.by in TIMES:
        if not any(table.may_leave_out(part.stretch) for part, _ in parts):
            return Choice()
        return Choice(unlisted_until=table.unlisted_until(_quarters([part for part, _ in parts], table)))
    if table.by not in OF_THREADS:
        return Choice()
    points = []
    threads = set[str | None]()
    for part, owner in parts:
        for origin, quarter in part.origins():
            table.add_origin(owner, origin, quarter)
        points.append(part.points())
        part.add_threads(threads)
    stand_ins = table.stand_ins(points, threads)
    for (_, owner), found in zip(parts, points, strict=True):
        for thread, each in (_summed(found, stand_ins) if stand_ins else found).items():
            table.add_points(owner, CellKey(0, thread), each)
    return Choice(stand_ins)


def _summed(points: Mapping[str | None, float], names: Mapping[str | None, str | None]) -> dict[str | None, float]:
    found: defaultdict[str | None, float] = defaultdict(float)
    for thread, each in points.items():
        found[names[thread]] += each
    return found


def _quarters(parts: Sequence[KeptPart], table: UsageTable) -> set[int]:
    """Return a quarter of each hour in which turns ended; each quarter, where an hour is one of several rows."""
    hours = set[int]().union(*(part.ends(_HOUR_SECONDS) for part in parts))
    each = _HOUR_SECONDS // QUARTER_SECONDS
    if all(table.period_key(hour * each) == table.period_key(hour * each + each - 1) for hour in hours):
        return {hour * each for hour in hours}
    return set[int]().union(*(part.ends(QUARTER_SECONDS) for part in parts))


def add_kept(part: KeptPart, table: UsageTable, owner: RowOwner, changes: Collection[float], choice: Choice) -> None:
    """Add kept use to the rows of a document; `changes` are the timestamps at which prices change."""
    spans = list(_spans(part, changes, table, choice.unlisted_until))
    apart, days = split_days(spans)
    for source, some in (("turns", apart), ("daily_turns", days)):
        for key, sums, threads in part.turns(source, some, table.by, choice):
            table.add_turns(owner, key, sums, threads)
    if table.by in TIMES:
        apart, days = _split_shares(spans)
    for source, some in (("shares", apart), ("daily_shares", days)) if table.by not in OF_THREADS else ():
        for key, points in part.shares(source, some, table.by):
            table.add_points(owner, key, points)
    for points, at in part.unexplained():
        table.add_unexplained(owner, points, at)
    table.add_readings(owner, part.readings())


class Choice(NamedTuple):
    """What of kept use has no row of its own.

    Args:
        stand_ins: the threads in whose names those of others are counted; None if each has its own.
        unlisted_until: up to when times have no row, in Unix seconds.
    """

    stand_ins: Mapping[str | None, str | None] | None = None
    unlisted_until: float = -math.inf


class KeptSpan(NamedTuple):
    """The time with ``since < at <= until``, which belongs to one row, or to those that are not listed."""

    since: float
    until: float
    is_other: bool = False


def split_days(spans: Iterable[KeptSpan]) -> tuple[list[KeptSpan], list[KeptSpan]]:
    """Return the parts of stretches of time that are not whole days in UTC, and those that are."""
    apart: list[KeptSpan] = []
    days: list[KeptSpan] = []
    for since, until, is_other in spans:
        first, last = ceil_to(_DAY_SECONDS, since), floor_to(_DAY_SECONDS, until)
        if first < last:
            days.append(KeptSpan(first, last, is_other))
            ends = (KeptSpan(since, first, is_other), KeptSpan(last, until, is_other))
            apart += [each for each in ends if each.since < each.until]
        else:
            apart.append(KeptSpan(since, until, is_other))
    return apart, days


def _split_shares(spans: Iterable[KeptSpan]) -> tuple[list[KeptSpan], list[KeptSpan]]:
    """Do the same for points: those are by the day, too, whose turns certainly ended before the times with rows."""
    apart: list[KeptSpan] = []
    days: list[KeptSpan] = []
    for span in spans:
        settled = min(span.until, floor_to(_DAY_SECONDS, span.until - MAX_RUNNING_SECONDS))
        if span.is_other and span.since < settled:
            more, whole = split_days([span._replace(until=settled)])
            apart += [*more, span._replace(since=settled)]
            days += whole
        else:
            apart.append(span)
    return apart, days


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
                yield KeptSpan(start, listed, is_other=True)
            yield from _periods(listed, end, table)
        else:
            yield KeptSpan(start, end)
        start = end


def _periods(since: float, until: float, table: UsageTable) -> Iterator[KeptSpan]:
    """Yield the days, weeks, months or hours of a stretch of time."""
    start = since
    while start < until:
        key = table.period_key(int(start / QUARTER_SECONDS))
        bounds = period_bounds(key, table.by, table.zone) if key else None
        end = max(start + QUARTER_SECONDS, ceil_to(QUARTER_SECONDS, bounds.end) if bounds else 0.0)
        # Hours begin at one of UTC nearly everywhere.
        hour = ceil_to(_HOUR_SECONDS, end)
        if not bounds and table.period_key(int(hour / QUARTER_SECONDS) - 1) == key:
            end = max(end, hour)
        while not bounds and end < until and table.period_key(int(end / QUARTER_SECONDS)) == key:
            end += QUARTER_SECONDS
        yield KeptSpan(start, min(end, until))
        start = end


class KeptPart(NamedTuple):
    """The kept rows of a window in a stretch of time, which begins and ends with a quarter of an hour."""

    connection: sqlite3.Connection
    place: Place
    stretch: TimeRange

    def first_at(self) -> float | None:
        """Return the end of the first quarter of an hour with turns or increases."""
        each = " UNION ALL ".join(f"SELECT min(at) AS at FROM {table} {_WITHIN}" for table in ("{turns}", "{shares}"))
        found: float | None = self._rows(f"SELECT min(at) FROM ({each})").fetchone()[0]
        return found

    def turns(
        self, table: str, spans: Sequence[KeptSpan], by: GroupBy, choice: Choice
    ) -> Iterator[tuple[CellKey, TurnSums, Iterable[str | None]]]:
        """Yield the sums of turns that are alike in what rows stand for, and their threads where rows do not."""
        names = {*_DIMENSIONS.get(by, ()), "model", "response_model", "tier", "above"}
        sums = ", ".join(f"sum(c.{name})" for name in _SUMS[:-1])
        thread = "c.thread" if choice.stand_ins is None else "stand_in(c.thread)"
        threads = "NULL" if by in OF_THREADS else "json_group_array(DISTINCT c.thread)"
        query = (
            f"SELECT s.key, {threads}, {_columns(_KEY, names, thread)}, {sums}, max(c.last_at)"
            f" FROM json_each(:spans) s CROSS JOIN {{{table}}} c {_WITHIN_SPAN}"
            f" GROUP BY s.key, {', '.join(map(str, _positions(names, 3)))}"
        )
        end = 2 + len(_KEY)
        for row in self._rows(query, spans, choice):
            key = _cell_key(spans[row[0]], None, row[2:end])
            yield key, TurnSums(*row[end:]), () if row[1] is None else json.loads(row[1])

    def shares(self, table: str, spans: Sequence[KeptSpan], by: GroupBy) -> Iterator[tuple[CellKey, float]]:
        """Yield the points of turns that are alike in what rows stand for."""
        names = {*_DIMENSIONS.get(by, ()), *(("model",) if by in TIMES else ())}
        # A turn may have ended in another day than the one in which its part of an increase was read.
        apart = _ENDED_APART if by in TIMES and table == "shares" else "NULL"
        query = (
            f"SELECT s.key, {apart} AS apart, {_columns(_KEY[:-1], names)}, sum(c.points)"
            f" FROM json_each(:spans) s CROSS JOIN {{{table}}} c {_WITHIN_SPAN}"
            f" GROUP BY {', '.join(['s.key', 'apart', *map(str, _positions(names, 3))])}"
        )
        for number, ended_at, *values, points in self._rows(query, spans):
            yield _cell_key(spans[number], ended_at, values), points

    def points(self) -> dict[str | None, float]:
        """Return the points of each thread."""
        found: defaultdict[str | None, float] = defaultdict(float)
        for rows in self._whole("c.thread, c.points", "shares"):
            for thread, points in rows:
                found[thread] += points
        return found

    def add_threads(self, threads: set[str | None]) -> None:
        """Add the threads that had turns."""
        for rows in self._whole("c.thread", "turns"):
            threads.update(chain.from_iterable(rows))

    def _whole(self, columns: str, table: str) -> Iterator[sqlite3.Cursor]:
        """Yield the rows of all of the time, of whole days as far as possible."""
        apart, days = split_days([KeptSpan(*self.stretch)])
        for source, spans in ((table, apart), (f"daily_{table}", days)):
            query = f"SELECT {columns} FROM json_each(:spans) s CROSS JOIN {{{source}}} c {_WITHIN_SPAN}"
            yield self._rows(query, spans)

    def ends(self, seconds: int) -> set[int]:
        """Return the spans of so many seconds, counted from 1970, in which turns ended that have use here."""
        found = set[int]()
        for table, at in (("{turns}", "at"), ("{shares}", "ended_at")):
            query = f"SELECT DISTINCT CAST({at} - 1 AS INTEGER) / {seconds} FROM {table} {_WITHIN}"
            found.update(chain.from_iterable(self._rows(query)))
        return found

    def models(self) -> set[str | None]:
        """Return the models that turns had, and perhaps others: those that prices are found by."""
        query = f"SELECT DISTINCT model FROM {{models}} {_WITHIN.replace(':until', f':until + {_DAY_SECONDS}')}"
        return {row[0] for row in self._rows(query)}

    def length(self) -> tuple[int | None] | None:
        """Return the minutes of the window at its last reading; None if there was none."""
        query = f"SELECT minutes FROM {{readings}} {_WITHIN} AND readings > 0 ORDER BY at DESC LIMIT 1"
        found: tuple[int | None] | None = self._rows(query).fetchone()
        return found

    def origins(self) -> Iterator[tuple[ThreadOrigin, int]]:
        """Yield where threads of sub-agents come from, and the quarter of an hour in which a turn said so first."""
        names = "thread, session, parent_thread, subagent"
        for table, at in (("{turns}", "at"), ("{shares}", "ended_at")):
            query = f"SELECT {names}, min({at}) FROM {table} {_WITHIN} AND {_SUBAGENT} GROUP BY {names}"
            for *words, found in self._rows(query):
                yield ThreadOrigin(*words), int(found / QUARTER_SECONDS) - 1

    def unexplained(self) -> Iterator[tuple[float, float]]:
        """Yield points that no turn explains, and when they were read last."""
        points, at = self._rows(f"SELECT sum(points), max(last_at) FROM {{unexplained}} {_WITHIN}").fetchone()
        if at is not None:
            yield points, at

    def readings(self) -> Readings:
        """Return the number of readings and increases, and the points of these."""
        sums = "total(readings), total(imported), total(increases), total(points)"
        readings, imported, increases, points = self._rows(f"SELECT {sums} FROM {{readings}} {_WITHIN}").fetchone()
        return Readings(int(readings), int(imported), int(increases), points)

    def _rows(self, query: str, spans: Sequence[KeptSpan] = (), choice: Choice | None = None) -> sqlite3.Cursor:
        if choice and choice.stand_ins is not None:
            self.connection.create_function("stand_in", 1, choice.stand_ins.get, deterministic=True)
        tables = {table: f"usage_{self.place.slot}_{table}" for table in _TABLES}
        since, until = self.stretch
        values = {
            "account": self.place.account,
            "limit": self.place.limit_id,
            "since": since,
            "until": until,
            "spans": json.dumps(spans),
        }
        return self.connection.execute(query.format_map(tables), values)


def _columns(columns: Sequence[str], names: Collection[str], thread: str = "NULL") -> str:
    expressions = {name: f"c.{name}" for name in names} | ({"thread": thread} if "thread" in names else {})
    return ", ".join(expressions.get(name, "NULL") for name in columns)


def _positions(names: Collection[str], first: int) -> list[int]:
    """Return the places of the columns of `_columns` that have values."""
    return [number for number, name in enumerate(_KEY, first) if name in names]


def _cell_key(span: KeptSpan, ended_at: float | None, values: Iterable[Any]) -> CellKey:
    key = CellKey(int((span.since if ended_at is None else ended_at - 1) / QUARTER_SECONDS), *values)
    return key._replace(thread=OTHERS) if span.is_other and ended_at is None else key


_WITHIN = "WHERE account = :account AND limit_id = :limit AND at > :since AND at <= :until"
_SUBAGENT = "(subagent IS NOT NULL OR parent_thread IS NOT NULL)"
_START, _END = "json_extract(s.value, '$[0]')", "json_extract(s.value, '$[1]')"
_ENDED_APART = (
    f"CASE WHEN (json_extract(s.value, '$[2]') OR c.ended_at > {_START}) AND c.ended_at <= {_END}"
    " THEN NULL ELSE c.ended_at END"
)
_WITHIN_SPAN = f"ON c.account = :account AND c.at > {_START} AND c.at <= {_END} WHERE c.limit_id = :limit"

_DIMENSIONS: dict[GroupBy, tuple[str, ...]] = {
    **dict.fromkeys(OF_THREADS, ("thread",)),
    "model": ("model",),
    "effort": ("reasoning_effort",),
    "subagent": ("subagent",),
    "tier": ("tier",),
    "client": ("client",),
}
"""What rows stand for, by the names of the columns."""

_HOUR_SECONDS, _DAY_SECONDS = 3_600, 86_400
_END_OF_DAY = f"(CAST(at - 1 AS INTEGER) / {_DAY_SECONDS} + 1) * {_DAY_SECONDS}"  # which is part of the day
_QUARTERS_A_DAY = _DAY_SECONDS // QUARTER_SECONDS

_LIMITS = """
SELECT limit_id FROM limits WHERE account = :account
UNION SELECT limit_id FROM imported_limits WHERE account = :account
UNION SELECT limit_id FROM requests WHERE account = :account AND ended_at >= :since AND ended_at < :until
"""
