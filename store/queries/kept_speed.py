"""The kept figures of turns: by the day of UTC in which they ended, and by their kind."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from store.analysis.speed import TurnTiming
from store.analysis.speed_cells import QUARTER, TurnKind, empty_columns, kind_of, level
from store.kept.kind import Coverage, Kind, ceil_to, floor_to
from store.queries.cursors import tuple_cursor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from store.analysis.speed_cells import Cell, TurnColumns
    from store.kept.kind import Kept, Piece

DAY = 86_400

_FEW_LEVEL = 3
"""The turns of this level and above, every eighth one, are in rows of their own: long questions read no others."""

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
    piece.kept.executemany(
        _INSERT,
        ((piece.account, at, *kind, *row) for (at, kind), turns in found.items() for row in _rows(turns)),
    )
    return piece.until


def _rows(turns: list[_Turn]) -> Iterator[tuple[object, ...]]:
    """Yield the rows of a cell: that of its few turns, which counts all, and that of the others."""
    quarters = Counter(int(turn.timing.started_at // QUARTER) for turn in turns)
    counts = array("q", [value for each in quarters.items() for value in each])
    few = [turn for turn in turns if level(turn.id) >= _FEW_LEVEL]
    others = [turn for turn in turns if level(turn.id) < _FEW_LEVEL]
    yield 1, len(turns), counts.tobytes(), *_sample(few)
    if others:
        yield 0, 0, b"", *_sample(others)


def _sample(turns: list[_Turn]) -> tuple[bytes, bytes]:
    """Return how many turns each level has, and the columns of all in the order of their levels."""
    turns.sort(key=lambda turn: -level(turn.id))
    columns = empty_columns()
    levels: list[int] = []
    for number, turn in enumerate(turns, 1):
        columns.add(turn.timing)
        depth = level(turn.id) + 1
        levels += [0] * (depth - len(levels))
        levels[depth - 1] = number
    for depth in range(len(levels) - 1, 0, -1):
        levels[depth - 1] = max(levels[depth - 1], levels[depth])
    return array("q", levels).tobytes(), columns.to_bytes()


SPEED = Kind(
    "speed",
    1,
    {
        "speed_numbers": "number INTEGER NOT NULL",
        "speed_turns": f"{_KIND_COLUMNS}, is_few INTEGER NOT NULL, turns INTEGER NOT NULL, quarters BLOB NOT NULL,"
        " levels BLOB NOT NULL, figures BLOB NOT NULL",
    },
    _fill,
    float(DAY),
    _FINAL_SECONDS,
)
"""``speed_numbers`` counts all turns of a day, which the index of the database does, too. ``turns`` and ``quarters``
count those of a cell: in all, and by the quarter hour in which they started.
"""

_IN_RANGE = "account = ? AND ended_at > ? AND ended_at <= ?"
_ENDS = f"SELECT ended_at FROM main.requests WHERE {_IN_RANGE}"  # noqa: S608 (constants)
_TURNS = f"SELECT id, {TIMING_COLUMNS} FROM requests WHERE {_IN_RANGE} AND {TIMED}"  # noqa: S608 (constants)
_INSERT = f"INSERT INTO speed_turns VALUES ({', '.join('?' * (len(TurnKind._fields) + 7))})"  # noqa: S608 (constants)


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


def kept_counts(
    kept: Kept, account: int, part: Coverage, *, by_quarter: bool
) -> Iterator[tuple[TurnKind, Iterable[tuple[int, int]]]]:
    """Yield the number of turns by kind, with the quarter hour in which they started; else that is 0."""
    if not by_quarter:
        for *kind, turns in kept.connection.execute(_KEPT_COUNTS, (account, *part)):
            yield TurnKind._make(kind), [(0, turns)]
        return
    for *kind, quarters in kept.connection.execute(_KEPT_QUARTERS, (account, *part)):
        numbers = memoryview(quarters).cast("q").tolist()
        yield TurnKind._make(kind), zip(numbers[::2], numbers[1::2], strict=True)


def kept_cells(kept: Kept, account: int, part: Coverage, wanted: int) -> Iterator[Cell]:
    """Yield a sample of the turns in a part that is kept: those of a level or above."""
    statement = _KEPT_FEW if wanted >= _FEW_LEVEL else _KEPT_CELLS
    found: dict[tuple[str | int | None, ...], TurnColumns] = {}
    for *kind, levels, figures in kept.connection.execute(statement, (account, *part)):
        numbers = memoryview(levels).cast("q")
        if wanted < len(numbers):
            # A day has few turns of a kind: they are gathered here, not in columns of their own.
            columns = found.get(tuple(kind))
            if columns is None:
                columns = found[tuple(kind)] = empty_columns()
            columns.add_bytes(figures, numbers[wanted])
    for each, columns in found.items():
        yield TurnKind._make(each), columns


_OF_PART = "FROM speed_turns WHERE account = ? AND at > ? AND at <= ?"
_KEPT_COUNTS = f"SELECT {_KIND_COLUMNS}, sum(turns) {_OF_PART} AND is_few GROUP BY {_KIND_COLUMNS}"
_KEPT_QUARTERS = f"SELECT {_KIND_COLUMNS}, quarters {_OF_PART} AND is_few"
_KEPT_CELLS = f"SELECT {_KIND_COLUMNS}, levels, figures {_OF_PART}"
_KEPT_FEW = f"{_KEPT_CELLS} AND is_few"
