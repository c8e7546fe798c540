"""What is kept of the use of a window.

Of each limit of an account there are, by the quarter of an hour: the sums of its turns, the points that were attributed
to them, those that no turn explains, and the readings. Attributions are kept with the weights that they were made with,
which are kept, too: later history changes neither. Rows by the hour, the day and the month sum these up, so that a
question about a year reads few rows (`store.queries.kept_usage_parts`).
"""

# ruff: noqa: S608 (all statements are made of constants, and of a slot that is checked)
from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from store.analysis.attribution import MAX_TURN_SECONDS, Weights
from store.analysis.periods import days_between
from store.analysis.token_weights import Fit, Fitted
from store.analysis.usage_cells import QUARTER_SECONDS, CellKey, TurnSums
from store.constants import BUDGET_LIMIT, BUDGET_SLOT
from store.kept.kind import Kind, Piece, ceil_to, floor_to
from store.queries.kept_usage_values import add_functions
from store.queries.usage_rows import Place, UseReader, Weigher

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from store.queries.usage_rows import Use

_RULES = 4
"""Raise it whenever the same rows of the database lead to other kept rows."""

FINAL_SECONDS = float(MAX_TURN_SECONDS)
"""A turn that lasts longer is found by its start, and what it may explain is made again."""

HOUR_SECONDS, DAY_SECONDS, MONTH_SECONDS = 3_600, 86_400, 30 * 86_400
QUARTERS_AN_HOUR, QUARTERS_A_DAY = HOUR_SECONDS // QUARTER_SECONDS, DAY_SECONDS // QUARTER_SECONDS

_LONGEST_DAY_SECONDS = 25 * 3_600

KEY = CellKey._fields[1:-1]
"""Without the machine: only turns of files are kept, and a file does not name its own."""

SHARED = KEY[KEY.index("subagent") : -1]
"""What turns of several threads have in common."""

PRICED = ("model", "response_model", "tier", "above")
"""What prices of turns depend on."""

SUMS = tuple(TurnSums.__dataclass_fields__)


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
        tables={f"usage_{slot}_{table}": columns for table, columns in TABLES.items()},
        fill=partial(_fill, slot, refit_at),
        step=QUARTER_SECONDS,
        final=FINAL_SECONDS,
        spans={f"usage_{slot}_{table}": seconds for table, seconds in SPANS.items()},
    )


def _texts(names: Iterable[str]) -> str:
    return ", ".join(["limit_id TEXT NOT NULL", *(f"{name} TEXT" for name in names)])


_COUNTED = f"above INTEGER, {', '.join(f'{name} INTEGER' for name in SUMS[:-1])}, last_at REAL"
_READINGS = "limit_id TEXT NOT NULL, readings INTEGER, imported INTEGER, increases INTEGER, points REAL"
_TURNS, _SHARES = f"{_texts(SHARED)}, {_COUNTED}, threads TEXT", f"{_texts(SHARED)}, ended_at REAL, points REAL"
TABLES = {
    "turns": f"{_texts(KEY[:-1])}, {_COUNTED}",
    "shares": f"{_texts(KEY[:-1])}, ended_at REAL, points REAL",
    "hourly_turns": _TURNS,
    "hourly_shares": _SHARES,
    "daily_turns": _TURNS,
    "daily_shares": _SHARES,
    "monthly_turns": _TURNS,
    "monthly_shares": _SHARES,
    "daily_threads": f"{_texts(['thread'])}, points REAL, {_texts(PRICED[:-1]).partition(', ')[2]}, {_COUNTED},"
    f" UNIQUE (thread, account, at, limit_id, {', '.join(PRICED)})",
    "daily_lists": "limit_id TEXT NOT NULL, threads TEXT, points BLOB, idle TEXT, quarters BLOB",
    "local_days": "since REAL NOT NULL",
    # In the order in which they are asked for: so nothing has to be sorted.
    "local_turns": f"{_texts(PRICED[:-1])}, {_COUNTED}, threads TEXT,"
    f" UNIQUE (limit_id, at, {', '.join(PRICED)}, account)",
    "local_shares": f"{_texts(['model'])}, ended_at REAL, points REAL",
    "origins": f"{_texts(['thread', 'session', 'parent_thread', 'subagent'])}, ended_at REAL",
    "unexplained": "limit_id TEXT NOT NULL, points REAL, last_at REAL",
    "readings": f"{_READINGS}, minutes INTEGER",
    "daily_readings": _READINGS,
    "weights": "limit_id TEXT NOT NULL, fitted TEXT NOT NULL",
    "models": "limit_id TEXT NOT NULL, model TEXT",
}
"""The columns of the tables; ``at`` is the end of the quarter of an hour, of weights when their history ends.

The hourly, daily and monthly ones sum up those of each hour, of each day in UTC and of each 30 days, counted from 1970;
of one that is not over, or whose beginning is not kept, they have a part. The local ones do so for those days of the
machine's time zone that are in ``local_days``, each from ``since`` on. ``threads`` are the numbers of the threads of
the turns, and ``ended_at`` of points is null where the turns ended in the same hour, day or month. Daily lists are of
the threads of a day, of their points in the same order, of those among them that had no turn, and of the quarters of an
hour in which turns ended that are counted on that day or have points on it. Origins are those of sub-agents. Models are
those that have prices: each once a day, with the last quarter of an hour in which it had turns.
"""

_LENGTHS = {"hourly": HOUR_SECONDS, "daily": DAY_SECONDS, "monthly": MONTH_SECONDS, "local": _LONGEST_DAY_SECONDS}
SPANS = {table: length for table in TABLES if (length := _LENGTHS.get(table.partition("_")[0]))}
"""The tables that sum up spans of time, and how long these are at most, in seconds."""

_LOCAL = ("local_turns", "local_shares", "local_days")


# Filling


def _fill(slot: str, refit_at: float | None, piece: Piece) -> float:
    add_functions(piece.kept)
    for limit_id in _limits(piece, slot):
        place = Place(piece.account, limit_id, slot)
        weigher = Weigher(piece.source, place, kept_weights(piece.kept, place), refit_at=refit_at)
        for use in UseReader(piece.source, place, weigher).weeks(piece.since, piece.until):
            for table, rows in _rows(use).items():
                _insert(piece.kept, place, table, rows)
        weigher.at(piece.until)  # those that a question about the present shows
        _keep_weights(piece.kept, place, weigher.made)
    _sum_up(slot, piece)
    return piece.until


def _sum_up(slot: str, piece: Piece) -> None:
    """Sum up the hours, days and months that a piece has a part of, anew."""
    for table, seconds in SPANS.items():
        if table in _LOCAL:
            continue
        values = {"account": piece.account, "since": floor_to(seconds, piece.since)}
        values["until"] = ceil_to(seconds, piece.until)
        query = _SUMMED_UP[table.partition("_")[2]]
        query = query.format(prefix=f"usage_{slot}_", seconds=seconds, end=_END.format(seconds))
        piece.kept.execute(f"DELETE FROM usage_{slot}_{table} {_WITHIN}", values)
        piece.kept.execute(f"INSERT INTO usage_{slot}_{table} {query}", values)
    _sum_up_local_days(slot, piece)


def _sum_up_local_days(slot: str, piece: Piece) -> None:
    """Sum up the days of the machine's time zone that a piece has a part of, anew.

    Days of another time zone that overlap these are deleted: they were summed up before the machine moved.
    """
    prefix = f"usage_{slot}_"
    values: dict[str, object] = {"account": piece.account, "since": piece.since, "until": piece.until}
    (first_at,) = piece.kept.execute(_FIRST_USE.format(prefix=prefix), values).fetchone()
    since = max(piece.since, (first_at or piece.until) - QUARTER_SECONDS)
    found = [bounds for _, bounds in days_between(since, piece.until - 1)]
    # There were zones whose days begin in the middle of a quarter of an hour, and one that left out a day.
    days = [day for day in found if day.start < day.end and not any(bound % QUARTER_SECONDS for bound in day)]
    values.update(days=json.dumps(days), since=min([piece.since, *(day.start for day in days)]))
    values.update(until=max([piece.until, *(day.end for day in days)]))
    for table in _LOCAL:
        piece.kept.execute(f"DELETE FROM {prefix}{table} {_OVERLAPPING.format(prefix=prefix)}", values)
    for table in _LOCAL:
        piece.kept.execute(f"INSERT INTO {prefix}{table} {_SUMMED_UP_LOCALLY[table].format(prefix=prefix)}", values)


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
        day = key.quarter // QUARTERS_A_DAY, key.response_model or key.model
        days[day] = max(days.get(day, 0), key.quarter)
    origins = {(key.quarter, *key[1:5], key.quarter) for key in use.turns}
    origins |= {(quarter, *key[1:5], key.quarter) for quarter, key in use.shares}
    unexplained: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
    for points, at in use.unexplained:
        unexplained[int(at // QUARTER_SECONDS)].append((points, at))
    return {
        "origins": (
            (_end(quarter), None, *words, _end(ended))
            for quarter, *words, ended in origins
            if words[2] is not None or words[3] is not None
        ),
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
    number = TABLES[table].count(",") + 1
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


# Statements

_WITHIN = "WHERE account = :account AND at > :since AND at <= :until"
_END = "(CAST(at - 1 AS INTEGER) / {0} + 1) * {0}"  # which is part of the hour, day or month
_ALIKE, _PRICED = ", ".join(SHARED), ", ".join(PRICED)
_ADDED = f"{', '.join(f'sum({name})' for name in SUMS[:-1])}, max(last_at)"
_OF_DAY = "account = days.account AND limit_id = days.limit_id AND at > days.at - {seconds} AND at <= days.at"
_QUARTERS = (
    f"SELECT quarter_set(CAST((ended - 1) / {QUARTER_SECONDS} AS INTEGER))"
    f" FROM (SELECT at AS ended FROM {{prefix}}turns WHERE {_OF_DAY}"
    f" UNION SELECT ended_at FROM {{prefix}}shares WHERE {_OF_DAY})"
)
_SUMMED_UP = {
    "turns": f"SELECT account, {{end}} AS ending, limit_id, {_ALIKE}, above, {_ADDED},"
    " thread_set(thread)"
    f" FROM {{prefix}}turns {_WITHIN} GROUP BY account, ending, limit_id, {_ALIKE}, above",
    "shares": f"SELECT account, {{end}} AS ending, limit_id, {_ALIKE},"
    " CASE WHEN ended_at <= {end} - {seconds} OR ended_at > {end} THEN ended_at END AS apart, sum(points)"
    f" FROM {{prefix}}shares {_WITHIN} GROUP BY account, ending, limit_id, {_ALIKE}, apart",
    "threads": f"SELECT account, {{end}} AS ending, limit_id, thread, sum(points), {_PRICED}, {_ADDED} FROM ("
    f"SELECT account, at, limit_id, thread, 0.0 AS points, {_PRICED}, {', '.join(SUMS)} FROM {{prefix}}turns {_WITHIN}"
    " UNION ALL SELECT account, at, limit_id, thread, points, model, response_model, tier, -1,"
    f" {', '.join('0' for _ in SUMS[:-1])}, NULL FROM {{prefix}}shares {_WITHIN})"
    f" GROUP BY account, ending, limit_id, thread, {_PRICED}",
    "lists": "SELECT account, at, limit_id, json_group_array(thread), number_list(points),"
    f" json_group_array(thread) FILTER (WHERE turns = 0), ({_QUARTERS}) FROM ("
    "SELECT account, at, limit_id, thread, total(points) AS points, sum(turns + refused + warm_ups) AS turns"
    f" FROM {{prefix}}daily_threads {_WITHIN} GROUP BY account, at, limit_id, thread) AS days"
    " GROUP BY account, at, limit_id",
    "readings": "SELECT account, {end} AS ending, limit_id, sum(readings), sum(imported), sum(increases), sum(points)"
    f" FROM {{prefix}}readings {_WITHIN} GROUP BY account, ending, limit_id",
}
"""How rows are summed up by the hour, the day or the month."""

_FIRST_USE = f"""
SELECT min(at) FROM (
    SELECT min(at) AS at FROM {{prefix}}turns {_WITHIN} UNION ALL SELECT min(at) FROM {{prefix}}shares {_WITHIN}
)
"""
_OVERLAPPING = (
    "WHERE account = :account AND at IN"
    " (SELECT at FROM {prefix}local_days WHERE account = :account AND at > :since AND since < :until)"
)
_EACH_DAY = (
    "FROM (SELECT key, json_extract(value, '$[0]') AS begun, json_extract(value, '$[1]') AS ending"
    " FROM json_each(:days)) CROSS JOIN {{prefix}}{0} WHERE account = :account AND at > begun AND at <= ending"
)
_SUMMED_UP_LOCALLY = {
    "local_days": "SELECT :account, json_extract(value, '$[1]'), json_extract(value, '$[0]') FROM json_each(:days)",
    "local_turns": f"SELECT account, ending, limit_id, {_PRICED}, {_ADDED}, thread_set(thread)"
    f" {_EACH_DAY.format('turns')} GROUP BY key, limit_id, {_PRICED}",
    "local_shares": "SELECT account, ending, limit_id, model,"
    " CASE WHEN ended_at <= begun OR ended_at > ending THEN ended_at END AS apart, sum(points)"
    f" {_EACH_DAY.format('shares')} GROUP BY key, limit_id, model, apart",
}
"""How rows are summed up by the day of the machine's time zone."""

_LIMITS = """
SELECT limit_id FROM limits WHERE account = :account
UNION SELECT limit_id FROM imported_limits WHERE account = :account
UNION SELECT limit_id FROM requests WHERE account = :account AND ended_at >= :since AND ended_at < :until
"""
