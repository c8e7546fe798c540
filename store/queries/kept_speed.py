"""The kept figures of turns: by the day of UTC in which they ended, and by their kind."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from store.analysis.speed import TurnTiming
from store.analysis.speed_cells import QUARTER, TURN_BYTES, TurnKind, columns_from, columns_of, kind_of, level
from store.kept.kind import Coverage, Kind, ceil_to, floor_to
from store.queries.cursors import tuple_cursor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from store.analysis.speed_cells import Cell, Count
    from store.kept.kind import Kept, Piece

DAY = 86_400

_BANDS = (("speed_turns_64", 6), ("speed_turns_8", 3), ("speed_turns", 0))
"""The tables of turns, each with the lowest level of its turns: questions that need every 64th one read no others."""

_FINAL_SECONDS = 2 * 3_600
"""A turn is stored when it ends, and nearly none takes longer."""

TIMED = "warm_up = 0 AND imported = 0"
"""Session files tell no time of a first byte, and only an estimate of a start."""

TIMING_COLUMNS = ", ".join(TurnTiming._fields)
_KIND_COLUMNS = ", ".join(TurnKind._fields)


# Filling


class _Turn(NamedTuple):
    id: int
    timing: TurnTiming


def _fill(piece: Piece) -> float:
    cursor = tuple_cursor(piece.source)
    where = piece.account, piece.since, piece.until
    numbers = Counter(ceil_to(DAY, ended_at) for (ended_at,) in cursor.execute(_ENDS, where))
    piece.kept.executemany(
        "INSERT INTO speed_numbers VALUES (?, ?, ?)", [(piece.account, *each) for each in numbers.items()]
    )
    found: dict[tuple[float, TurnKind], list[_Turn]] = {}
    for row_id, *row in cursor.execute(_TURNS, where):
        turn = TurnTiming._make(row)
        found.setdefault((ceil_to(DAY, turn.ended_at), kind_of(turn)), []).append(_Turn(row_id, turn))
    for (at, kind), turns in found.items():
        place = piece.account, at, *kind
        piece.kept.execute(_INSERT.format(table="speed_counts"), (*place, len(turns), _quarters(turns)))
        above = math.inf
        for table, least in _BANDS:
            own = [turn for turn in turns if least <= level(turn.id) < above]
            if own:
                piece.kept.execute(_INSERT.format(table=table), (*place, *_sample(kind, own)))
            above = least
    return piece.until


def _quarters(turns: list[_Turn]) -> bytes:
    """Return the quarter hours in which turns started, each with their number."""
    numbers = Counter(int(turn.timing.started_at // QUARTER) * QUARTER for turn in turns)
    return array("q", chain.from_iterable(sorted(numbers.items()))).tobytes()


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


SPEED = Kind(
    "speed",
    2,
    {
        "speed_numbers": "number INTEGER NOT NULL",
        "speed_counts": f"{_KIND_COLUMNS}, turns INTEGER NOT NULL, quarters BLOB NOT NULL",
        **{table: f"{_KIND_COLUMNS}, levels BLOB NOT NULL, figures BLOB NOT NULL" for table, _ in _BANDS},
    },
    _fill,
    float(DAY),
    _FINAL_SECONDS,
)
"""``speed_numbers`` counts all turns of a day, which the index of the database does, too; ``speed_counts`` those of a
cell: in all, and by the quarter hour in which they started. It is small, so that counting reads little of the file.
"""

_IN_RANGE = "account = ? AND ended_at > ? AND ended_at <= ?"
_ENDS = f"SELECT ended_at FROM main.requests WHERE {_IN_RANGE}"  # noqa: S608 (constants)
_TURNS = f"SELECT id, {TIMING_COLUMNS} FROM requests WHERE {_IN_RANGE} AND {TIMED}"  # noqa: S608 (constants)
_INSERT = f"INSERT INTO {{table}} VALUES ({', '.join('?' * (len(TurnKind._fields) + 4))})"  # noqa: S608 (constants)


# Reading


def kept_range(kept: Kept | None, account: int, since: float, until: float) -> Coverage | None:
    """Return the part of a time range whose turns are kept; None where there is none."""
    known = kept.coverage.get(account) if kept else None
    if known is None:
        return None
    found = Coverage(max(ceil_to(DAY, since), known.since), min(floor_to(DAY, until), known.until))
    return found if found.since < found.until else None


def kept_number(kept: Kept, account: int, part: Coverage) -> int:
    """Return the number of all turns in a part that is kept."""
    found = kept.connection.execute(
        "SELECT sum(number) FROM speed_numbers WHERE account = ? AND at > ? AND at <= ?", (account, *part)
    ).fetchone()[0]
    return int(found or 0)


def kept_counts(kept: Kept, account: int, part: Coverage, *, by_quarter: bool) -> Iterator[Count]:
    """Yield the numbers of turns by kind, with the quarter hours in which they started; else those are 0."""
    if not by_quarter:
        for *kind, turns in kept.connection.execute(_KEPT_COUNTS, (account, *part)):
            yield TurnKind._make(kind), [0], [turns]
        return
    for *kind, quarters in kept.connection.execute(_KEPT_QUARTERS, (account, *part)):
        numbers = array("q")
        numbers.frombytes(quarters)
        yield TurnKind._make(kind), numbers[::2], numbers[1::2]


def kept_cells(kept: Kept, account: int, part: Coverage, wanted: int) -> Iterator[Cell]:
    """Yield a sample of the turns in a part that is kept: those of a level or above."""
    found: dict[tuple[str | int | None, ...], list[bytes]] = {}
    above = math.inf
    for table, least in _BANDS:
        if wanted < above:
            for *kind, levels, figures in kept.connection.execute(_KEPT_CELLS.format(table=table), (account, *part)):
                numbers = memoryview(levels).cast("q")
                if wanted < len(numbers):
                    found.setdefault(tuple(kind), []).append(figures[: numbers[wanted] * TURN_BYTES])
        above = least
    for each, written in found.items():
        yield TurnKind._make(each), columns_from(written)


_OF_PART = "account = ? AND at > ? AND at <= ?"
_KEPT_COUNTS = f"SELECT {_KIND_COLUMNS}, sum(turns) FROM speed_counts WHERE {_OF_PART} GROUP BY {_KIND_COLUMNS}"  # noqa: S608 (constants)
_KEPT_QUARTERS = f"SELECT {_KIND_COLUMNS}, quarters FROM speed_counts WHERE {_OF_PART}"  # noqa: S608 (constants)
_KEPT_CELLS = f"SELECT {_KIND_COLUMNS}, levels, figures FROM {{table}} WHERE {_OF_PART}"  # noqa: S608 (constants)
