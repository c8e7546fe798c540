"""The kept figures of turns: by the day of UTC in which they ended, and by their kind.

Those of the last days are kept by the hour as well: for both ends of a time range, which are parts of days.
"""

from __future__ import annotations

import json
import math
import sys
from array import array
from collections import Counter, defaultdict
from functools import cache, lru_cache
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from store.analysis.attribution import MAX_TURN_SECONDS
from store.analysis.speed import TurnTiming
from store.analysis.speed_cells import QUARTER, TURN_BYTES, TurnKind, columns_from, columns_of, kind_of, level
from store.kept.kind import Coverage, Kind, ceil_to, floor_to
from store.queries.cursors import tuple_cursor

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from store.analysis.speed_cells import Cell, Count
    from store.kept.kind import Kept, Piece

HOUR, DAY = 3_600, 86_400

_HOURS_SECONDS = 31 * DAY
"""For how long hours are kept: the 30 days that are asked for most, with the day in which these begin."""

_BANDS = (("speed_turns_64", 6), ("speed_turns_8", 3), ("speed_turns", 0))
"""The tables of turns, each with the lowest level of its turns: questions that need every 64th one read no others."""

_FINAL_SECONDS = MAX_TURN_SECONDS + QUARTER
"""A turn is stored when it ends; one that lasts longer drops a whole day."""

TIMED = "warm_up = 0 AND imported = 0"
"""Session files tell no time of a first byte, and only an estimate of a start."""

TIMING_COLUMNS = ", ".join(TurnTiming._fields)


# Filling


class _Turn(NamedTuple):
    id: int
    timing: TurnTiming


_Cells = dict[tuple[float, TurnKind], list[_Turn]]
"""Turns by the end of a span of time, and by their kind."""


def _fill(piece: Piece) -> float:
    begun = floor_to(DAY, piece.since)
    days_end, hours_since = floor_to(DAY, piece.until), _hours_since(piece)
    cursor = tuple_cursor(piece.source)
    ends = [at for (at,) in cursor.execute(_ENDS, (piece.account, begun, piece.until))]
    days = Counter(ceil_to(DAY, at) for at in ends if at <= days_end)
    hours: Counter[float] = Counter(dict.fromkeys(range(int(hours_since) + HOUR, int(piece.until) + 1, HOUR), 0))
    hours.update(ceil_to(HOUR, at) for at in ends if at > hours_since)
    for table, numbers in (("speed_numbers", days), ("speed_hour_numbers", hours)):
        rows = [(piece.account, *each) for each in numbers.items()]
        piece.kept.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", rows)  # noqa: S608 (constants)
    by_day: _Cells = {}
    by_hour: _Cells = {}
    for row_id, *row in cursor.execute(_TURNS, (piece.account, begun, piece.until)):
        turn = _Turn(row_id, TurnTiming._make(row))
        kind, at = kind_of(turn.timing), turn.timing.ended_at
        if at <= days_end:
            by_day.setdefault((ceil_to(DAY, at), kind), []).append(turn)
        if at > hours_since:
            by_hour.setdefault((ceil_to(HOUR, at), kind), []).append(turn)
    _insert_days(piece, by_day)
    for (at, kind), turns in by_hour.items():
        place = piece.account, at, json.dumps(kind)
        piece.kept.execute(_INSERT_HOUR, (*place, *_numbers(turns, at - HOUR, at), *_sample(kind, turns)))
    return piece.until


def _hours_since(piece: Piece) -> float:
    """Return from when on the hours of a piece are kept, and delete those that are too old after it.

    Of a piece that others follow, those hours that the last one would delete are left out.
    """
    where = piece.account, piece.until
    if piece.kept.execute("SELECT 1 FROM speed_hour_numbers WHERE account = ? AND at > ?", where).fetchone():
        return piece.until
    since = piece.until - _HOURS_SECONDS
    for table in ("speed_hour_numbers", "speed_hours"):
        piece.kept.execute(f"DELETE FROM {table} WHERE account = ? AND at <= ?", (piece.account, since))  # noqa: S608 (constants)
    (newest,) = piece.source.execute(_NEWEST, (piece.account,)).fetchone()
    return min(max(piece.since, since, floor_to(HOUR, newest or 0.0) - _HOURS_SECONDS), piece.until)


def _insert_days(piece: Piece, found: _Cells) -> None:
    for (at, kind), turns in found.items():
        place = piece.account, at, json.dumps(kind)
        piece.kept.execute(_INSERT_COUNTS, (*place, *_numbers(turns, at - DAY, at)))
        above = math.inf
        for table, least in _BANDS:
            own = [turn for turn in turns if least <= level(turn.id) < above]
            if own:
                piece.kept.execute(_INSERT.format(table=table), (*place, *_sample(kind, own)))
            above = least


def _numbers(turns: list[_Turn], since: float, until: float) -> tuple[int, bytes, bytes]:
    """Return how many turns there are, how many started in each quarter hour of a span, and in which others."""
    numbers = Counter(int(turn.timing.started_at // QUARTER) * QUARTER for turn in turns)
    within = array("I", [numbers.pop(at, 0) for at in range(int(since), int(until), QUARTER)])
    return len(turns), within.tobytes(), array("q", chain.from_iterable(sorted(numbers.items()))).tobytes()


def _sample(kind: TurnKind, turns: list[_Turn]) -> tuple[bytes, bytes]:
    """Return how many turns each level has, and the figures of all in the order of their levels."""
    turns.sort(key=lambda turn: -level(turn.id))
    levels: list[int] = []
    for number, turn in enumerate(turns, 1):
        depth = level(turn.id) + 1
        levels += [0] * (depth - len(levels))
        levels[depth - 1] = number
    for depth in range(len(levels) - 1, 0, -1):
        levels[depth - 1] = max(levels[depth - 1], levels[depth])
    return array("q", levels).tobytes(), columns_of(kind, [turn.timing for turn in turns]).to_bytes()


_COUNTS = "kind TEXT NOT NULL, turns INTEGER NOT NULL, quarters BLOB NOT NULL, others BLOB NOT NULL"
_FIGURES = "levels BLOB NOT NULL, figures BLOB NOT NULL"
SPEED = Kind(
    "speed",
    5,
    {
        "speed_numbers": "number INTEGER NOT NULL",
        "speed_counts": _COUNTS,
        **{table: f"kind TEXT NOT NULL, {_FIGURES}" for table, _ in _BANDS},
        "speed_hour_numbers": "number INTEGER NOT NULL",
        "speed_hours": f"{_COUNTS}, {_FIGURES}",
    },
    _fill,
    float(DAY),
    _FINAL_SECONDS,
    growth=float(HOUR),
)
"""``speed_numbers`` counts all turns of a day, which the index of the database does, too; ``speed_counts`` those of a
cell: in all, by the quarter hour of the day in which they started, and of ``others`` the quarter hours and the numbers.
It is small, so that counting reads little of the file. A ``kind`` is JSON of the fields of `TurnKind`.
``speed_hour_numbers`` has each hour that is kept, one without turns, too; ``speed_hours`` has all of a cell of an hour.
"""

_IN_RANGE = "account = ? AND ended_at > ? AND ended_at <= ?"
_NEWEST = "SELECT max(ended_at) FROM main.requests WHERE account = ?"
_ENDS = f"SELECT ended_at FROM main.requests WHERE {_IN_RANGE}"  # noqa: S608 (constants)
_TURNS = f"SELECT id, {TIMING_COLUMNS} FROM requests WHERE {_IN_RANGE} AND {TIMED}"  # noqa: S608 (constants)
_INSERT = "INSERT INTO {table} VALUES (?, ?, ?, ?, ?)"
_INSERT_COUNTS = "INSERT INTO speed_counts VALUES (?, ?, ?, ?, ?, ?)"
_INSERT_HOUR = "INSERT INTO speed_hours VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


# Reading


class KeptTurns(NamedTuple):
    """What is kept of the turns of accounts, by the day and by the hour; an account may have neither."""

    connection: sqlite3.Connection
    days: Mapping[int, Coverage]
    hours: Mapping[int, Coverage]


def kept_turns(kept: Kept | None) -> KeptTurns | None:
    """Return what is kept of turns; None where nothing is."""
    if kept is None:
        return None
    hours = {account: _kept_hours(kept, account, coverage) for account, coverage in kept.coverage.items()}
    days = {
        account: coverage._replace(until=floor_to(DAY, coverage.until)) for account, coverage in kept.coverage.items()
    }
    return KeptTurns(kept.connection, days, hours)


def _kept_hours(kept: Kept, account: int, coverage: Coverage) -> Coverage:
    """Return the hours that are kept up to the end of the coverage; where one of them is missing, none."""
    first, last, number = kept.connection.execute(_HOURS, (account, *coverage)).fetchone()
    is_whole = number and last == coverage.until and last - first == (number - 1) * HOUR
    return Coverage(first - HOUR if is_whole else coverage.until, coverage.until)


class KeptParts(NamedTuple):
    """The spans of a time range whose turns are kept by the day, and by the hour."""

    days: list[Coverage]
    hours: list[Coverage]


def kept_parts(kept: KeptTurns, account: int, since: float, until: float) -> KeptParts:
    """Return the spans of a time range whose turns are kept, hours where no whole day is."""
    days = _whole(DAY, kept.days.get(account), since, until)
    around = [(since, days[0].since), (days[0].until, until)] if days else [(since, until)]
    return KeptParts(days, [part for span in around for part in _whole(HOUR, kept.hours.get(account), *span)])


def _whole(step: int, known: Coverage | None, since: float, until: float) -> list[Coverage]:
    """Return the span of whole steps that are known of a time range, if there is one."""
    if known is None:
        return []
    found = Coverage(max(ceil_to(step, since), known.since), min(floor_to(step, until), known.until))
    return [found] if found.since < found.until else []


def kept_number(kept: KeptTurns, account: int, parts: KeptParts) -> int:
    """Return the number of all turns in parts that are kept."""
    return sum(
        kept.connection.execute(_KEPT_NUMBER.format(table=table), (account, *span)).fetchone()[0] or 0
        for table, spans in (("speed_numbers", parts.days), ("speed_hour_numbers", parts.hours))
        for span in spans
    )


def kept_counts(
    kept: KeptTurns, parts: Mapping[int, KeptParts], alike: Callable[[float, int], float] | None
) -> Iterator[Count]:
    """Yield the numbers of turns by kind, with the quarter hours in which they started; without `alike` those are 0.

    `alike` returns the start of a span of so many quarter hours whose numbers may be added to those of another's.
    """
    for table, step in (("speed_counts", DAY), ("speed_hours", HOUR)):
        where = [
            (account, *span) for account, each in parts.items() for span in (each.days if step == DAY else each.hours)
        ]
        if alike is not None:
            yield from _quarter_counts(kept, table, step, where, alike)
            continue
        for values in where:
            for kind, turns in kept.connection.execute(_KEPT_COUNTS.format(table=table), values):
                yield _read_kind(kind), 0, [turns]


def _quarter_counts(
    kept: KeptTurns,
    table: str,
    step: int,
    where: Sequence[tuple[int, float, float]],
    alike: Callable[[float, int], float],
) -> Iterator[Count]:
    # The numbers of the quarter hours of spans are added as one integer: none of them reaches the next one's bits.
    sums: dict[tuple[float, str], int] = {}
    start_of = cache(lambda at: alike(at - step, step // QUARTER))
    for values in where:
        for at, kind, quarters, others in kept.connection.execute(_KEPT_QUARTERS.format(table=table), values):
            place = start_of(at), kind
            sums[place] = sums.get(place, 0) + int.from_bytes(quarters, sys.byteorder)
            if others:
                numbers = array("q", others)
                for start, number in zip(numbers[::2], numbers[1::2], strict=True):
                    yield _read_kind(kind), start, [number]
    size = step // QUARTER * array("I").itemsize
    for (start, kind), added in sums.items():
        yield _read_kind(kind), start, array("I", added.to_bytes(size, sys.byteorder))


def kept_cells(kept: KeptTurns, account: int, parts: KeptParts, wanted: int) -> Iterator[Cell]:
    """Yield a sample of the turns in parts that are kept: those of a level or above."""
    found: defaultdict[str, list[bytes]] = defaultdict(list)
    for tables, spans in ((_bands(wanted), parts.days), ([("speed_hours", 0)], parts.hours)):
        for table, least in tables:
            for span in spans:
                rows = kept.connection.execute(_KEPT_CELLS.format(table=table), (account, *span))
                if wanted <= least:
                    for kind, _, figures in rows:
                        found[kind].append(figures)
                    continue
                for kind, levels, figures in rows:
                    numbers = memoryview(levels).cast("q")
                    if wanted < len(numbers):
                        found[kind].append(figures[: numbers[wanted] * TURN_BYTES])
    for kind, written in found.items():
        yield _read_kind(kind), columns_from(written)


@lru_cache(maxsize=1_000)
def _read_kind(written: str) -> TurnKind:
    return TurnKind._make(json.loads(written))


def _bands(wanted: int) -> list[tuple[str, int]]:
    """Return the tables that have turns of a level or above, each with the lowest level of its turns."""
    above = (math.inf, *(least for _, least in _BANDS))
    return [band for band, most in zip(_BANDS, above, strict=False) if wanted < most]


_OF_PART = "account = ? AND at > ? AND at <= ?"
_HOURS = f"SELECT min(at), max(at), count(*) FROM speed_hour_numbers WHERE {_OF_PART}"  # noqa: S608 (constants)
_KEPT_NUMBER = f"SELECT sum(number) FROM {{table}} WHERE {_OF_PART}"  # noqa: S608 (constants)
_KEPT_COUNTS = f"SELECT kind, sum(turns) FROM {{table}} WHERE {_OF_PART} GROUP BY kind"  # noqa: S608 (constants)
_KEPT_QUARTERS = f"SELECT at, kind, quarters, others FROM {{table}} WHERE {_OF_PART}"  # noqa: S608 (constants)
_KEPT_CELLS = f"SELECT kind, levels, figures FROM {{table}} WHERE {_OF_PART}"  # noqa: S608 (constants)
