"""The kept rows of windows: the snapshots that long charts need, and the highest used percents by hour and quarter."""

from __future__ import annotations

import heapq
import math
import sqlite3
from collections import Counter
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from store.analysis.limit_status import SLOT_COLUMNS, WINDOW_COLUMNS, other_windows
from store.analysis.thinning import Needed, Reading, thinned
from store.kept.kind import Coverage, Kind, ceil_to, floor_to
from store.queries.cursors import tuple_cursor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from store.analysis.limit_status import Row
    from store.connection import Connection
    from store.kept.kind import Kept, Piece

QUARTER, HOUR, UTC_DAY = 900, 3_600, 86_400
"""Seconds; the days of every time zone begin at a quarter of an hour, and those of most at a full hour."""

_PEAKS = {HOUR: ("windows_hour_peaks", "windows_other_hour_peaks"), QUARTER: ("windows_peaks", "windows_other_peaks")}
"""The tables of the highest used percents of spans of so many seconds: of slots with a column, and of others."""

_STEP = 6 * 3_600.0

_FINAL_SECONDS = 2 * 3_600
"""A snapshot depends on no turn; until when the newest one is seen is read of the database."""


# Filling


def _fill(piece: Piece) -> float:
    for (limit_id,) in tuple_cursor(piece.source).execute(
        "SELECT limit_id FROM limits WHERE account = ? ORDER BY limit_id", (piece.account,)
    ):
        _fill_limit(piece, limit_id)
    return piece.until


def _fill_limit(piece: Piece, limit_id: str) -> None:
    values = {"account": piece.account, "limit_id": limit_id, "since": piece.since, "until": piece.until}
    cursor = tuple_cursor(piece.source)
    peaks = _QuarterPeaks()
    standing = cursor.execute(_STANDING, values).fetchone()
    if standing is not None:
        _store_seen(piece, standing, peaks)
    rows = {row[0]: row for row in cursor.execute(_PIECE, values)}
    readings = []
    for row in rows.values():
        reading = peaks.add(row, row[1], piece.until)
        if reading.first_seen_at > piece.since:
            readings.append(Needed(reading, 1))
    _insert_peaks(piece, limit_id, peaks)
    numbers = Counter(ceil_to(_STEP, at) for (at,) in cursor.execute(_TIMES, values))
    piece.kept.executemany(
        "INSERT INTO windows_numbers VALUES (?, ?, ?, ?)",
        [(piece.account, at, limit_id, number) for at, number in numbers.items()],
    )
    # Where the clock was set, one of another time may have come between two of these: then all of them are needed.
    values |= (
        {"first": readings[0].reading.id, "last": readings[-1].reading.id} if readings else {"first": 0, "last": 0}
    )
    is_thinned = not cursor.execute(_ARRIVED_BETWEEN, values).fetchone()[0]
    quarters = list(thinned(readings, QUARTER)) if is_thinned else readings
    days = {each.reading.id: each.number for each in (thinned(quarters, UTC_DAY) if is_thinned else readings)}
    piece.kept.executemany(
        _INSERT,
        (
            (piece.account, at, limit_id, row_id, seen_at, number, days.get(row_id, 0), *windows)
            for (row_id, at, seen_at, *windows), number in ((rows[each.reading.id], each.number) for each in quarters)
        ),
    )


def _insert_peaks(piece: Piece, limit_id: str, peaks: _QuarterPeaks) -> None:
    for seconds, (table, other_table) in _PEAKS.items():
        found = peaks.of_spans(seconds)
        piece.kept.executemany(
            _INSERT_PEAKS.format(table=table),
            [(piece.account, at, limit_id, *map(span.get, SLOT_COLUMNS)) for at, span in found.items()],
        )
        piece.kept.executemany(
            _INSERT_OTHER_PEAKS.format(table=other_table),
            [
                (piece.account, at, limit_id, slot, percent)
                for at, span in found.items()
                for slot, percent in span.items()
                if slot not in SLOT_COLUMNS
            ],
        )


def _store_seen(piece: Piece, row: tuple[Any, ...], peaks: _QuarterPeaks) -> None:
    """Store until when the snapshot was seen that stood at the start of a piece: it has another after it by now."""
    row_id, at, seen_at = row[:3]
    where = piece.account, at, row_id
    known = piece.kept.execute(
        "SELECT last_seen_at FROM windows_snapshots WHERE account = ? AND at = ? AND id = ?", where
    ).fetchone()
    begin = piece.since if known is None else min(known[0], piece.since)
    if seen_at > begin:
        peaks.add(row, begin, piece.until)
    piece.kept.execute(
        "UPDATE windows_snapshots SET last_seen_at = ? WHERE account = ? AND at = ? AND id = ?", (seen_at, *where)
    )


class _QuarterPeaks:
    """The highest used percents of a limit by the end of the quarter hour."""

    def __init__(self) -> None:
        self._peaks: dict[int, dict[str, float]] = {}

    def add(self, row: tuple[Any, ...], begin: float, until: float) -> Reading:
        """Add a snapshot that was seen from `begin` on, and return it; what is after `until` is left out."""
        row_id, at, seen_at, *own, others = row
        used: dict[str, float] = {}
        rest: list[object] = []
        for place, slot in enumerate(SLOT_COLUMNS):
            percent, minutes, resets_at = own[3 * place : 3 * place + 3]
            rest += slot if percent is not None else None, minutes, resets_at
            if percent is not None:
                used[slot] = percent
        if others:
            for slot, window in other_windows(others).items():
                rest += slot, window.used_percent is None, window.window_minutes, window.resets_at
                if window.used_percent is not None:
                    used[slot] = window.used_percent
        end, last = _quarter_end(begin), _quarter_end(max(begin, min(seen_at, until)))
        while end <= last:
            _raise(self._peaks, end, used)
            end += QUARTER
        return Reading(row_id, at, seen_at, tuple(used.values()), tuple(rest))

    def of_spans(self, seconds: int) -> dict[int, dict[str, float]]:
        """Return the highest used percents by slot of spans of so many seconds, by their ends."""
        if seconds == QUARTER:
            return self._peaks
        found: dict[int, dict[str, float]] = {}
        for end, used in self._peaks.items():
            _raise(found, -(-end // seconds) * seconds, used)
        return found


def _raise(peaks: dict[int, dict[str, float]], end: int, used: dict[str, float]) -> None:
    """Raise the highest used percents of the span that ends then."""
    span = peaks.get(end)
    if span is None:
        peaks[end] = dict(used)
        return
    for slot, percent in used.items():
        if percent > span.get(slot, -1.0):
            span[slot] = percent


def _quarter_end(at: float) -> int:
    return (math.floor(at / QUARTER) + 1) * QUARTER


_PEAK_COLUMNS = ", ".join(f"peak_{slot} REAL" for slot in SLOT_COLUMNS)
WINDOWS = Kind(
    "windows",
    3,
    {
        "windows_snapshots": "limit_id TEXT NOT NULL, id INTEGER NOT NULL, last_seen_at REAL NOT NULL,"
        f" quarter_number INTEGER NOT NULL, day_number INTEGER NOT NULL, {WINDOW_COLUMNS}",
        **{table: f"limit_id TEXT NOT NULL, {_PEAK_COLUMNS}" for table, _ in _PEAKS.values()},
        **{table: "limit_id TEXT NOT NULL, slot TEXT NOT NULL, peak REAL NOT NULL" for _, table in _PEAKS.values()},
        "windows_numbers": "limit_id TEXT NOT NULL, number INTEGER NOT NULL",
    },
    _fill,
    _STEP,
    _FINAL_SECONDS,
)
"""``quarter_number`` and ``day_number`` count the snapshots that a row stands for in charts with such buckets; 0: such
a chart does not need it. ``windows_numbers`` has the number of all snapshots, late ones too, by spans of `_STEP`.
"""

_OF_LIMIT = "FROM snapshots WHERE account = :account AND limit_id = :limit_id AND late = 0"
_COLUMNS = f"id, first_seen_at, last_seen_at, {WINDOW_COLUMNS}"
_PIECE = f"SELECT {_COLUMNS} {_OF_LIMIT} AND first_seen_at >= :since AND first_seen_at <= :until ORDER BY +id"
_STANDING = f"SELECT {_COLUMNS} {_OF_LIMIT} AND first_seen_at < :since ORDER BY first_seen_at DESC, id DESC LIMIT 1"
_INDEXED = "SELECT 1 FROM main.snapshots WHERE account = :account AND limit_id = :limit_id AND first_seen_at"
_TIMES = (
    "SELECT first_seen_at FROM main.snapshots WHERE account = :account AND limit_id = :limit_id"
    " AND first_seen_at > :since AND first_seen_at <= :until"
)
_ARRIVED_BETWEEN = (
    f"SELECT EXISTS ({_INDEXED} > :until AND id < :last) OR EXISTS ({_INDEXED} <= :since AND id > :first)"
)
_INSERT = f"INSERT INTO windows_snapshots VALUES ({', '.join('?' * (7 + len(WINDOW_COLUMNS.split(', '))))})"  # noqa: S608 (constants)
_INSERT_PEAKS = f"INSERT INTO {{table}} VALUES (?, ?, ?, {', '.join('?' * len(SLOT_COLUMNS))})"  # noqa: S608 (constants)
_INSERT_OTHER_PEAKS = "INSERT INTO {table} VALUES (?, ?, ?, ?, ?)"


# Reading


def limit_rows(
    connection: Connection, kept: Kept | None, limit: tuple[int, str], since: float, bucket: int
) -> Iterator[Row]:
    """Return the snapshots of a limit that a chart needs, in the order of arrival.

    The first one is that which stood at `since` (Unix seconds). Each row has its ``number``: that of the snapshots that
    it stands for.

    Args:
        connection: The database.
        kept: The kept rows, if any can be used.
        limit: The account and the id of the limit.
        since: The start of the chart; with a bucket, one of its multiples.
        bucket: `QUARTER` or `UTC_DAY` where all columns of the chart begin at its multiples, else 0.

    """
    values = {"account": limit[0], "limit_id": limit[1]}
    begin = _standing_at(connection, values, since)
    coverage = kept.coverage.get(limit[0]) if kept and bucket else None
    end = None if coverage is None else _standing_at(connection, values, coverage.until)
    if kept is None or coverage is None or end is None or end <= max(begin or 0.0, coverage.since):
        return iter(connection.execute(_ROWS, {**values, "begin": begin or 0.0}))
    values |= {"begin": begin or 0.0, "since": coverage.since, "end": end}
    cursor = kept.connection.cursor()
    cursor.row_factory = sqlite3.Row
    number = "quarter_number" if bucket == QUARTER else "day_number"
    # By arrival across all of them: the clock may have been set back.
    return heapq.merge(
        connection.execute(_OLDER_ROWS, values),
        cursor.execute(_KEPT_ROWS.format(number=number), values),
        connection.execute(_ROWS, {**values, "begin": end}),
        key=itemgetter("id"),
    )


def _standing_at(connection: Connection, values: dict[str, Any], at: float) -> float | None:
    """Return when the snapshot that stood at a timestamp was first seen; None where there is none."""
    row = connection.execute(
        f"SELECT first_seen_at {_OF_LIMIT} AND first_seen_at <= :at ORDER BY first_seen_at DESC LIMIT 1",
        {**values, "at": at},
    ).fetchone()
    return None if row is None else float(row[0])


# Without the `+` SQLite would walk the table by id.
_ROWS = f"SELECT {_COLUMNS}, 1 AS number {_OF_LIMIT} AND first_seen_at >= :begin ORDER BY +id"
_OLDER_ROWS = (
    f"SELECT {_COLUMNS}, 1 AS number {_OF_LIMIT} AND first_seen_at >= :begin AND first_seen_at <= :since ORDER BY +id"
)
_KEPT_ROWS = f"""
SELECT id, at AS first_seen_at, last_seen_at, {WINDOW_COLUMNS}, {{number}} AS number FROM windows_snapshots
WHERE account = :account AND at > :since AND at >= :begin AND at < :end AND limit_id = :limit_id AND {{number}} > 0
ORDER BY +id
"""  # noqa: S608 (constants)


class Day(NamedTuple):
    """A day by its key, and its bounds in Unix seconds."""

    key: str
    start: float
    end: float


def kept_peaks(kept: Kept, account: int, days: Sequence[Day]) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Yield the highest used percents of an account's limits on days, as far as they are kept.

    Args:
        kept: The kept rows.
        account: The account.
        days: The days; their bounds are multiples of `QUARTER`. Where they are full hours, fewer rows are read.

    Yields:
        The limit, the key of the day, and the peaks by slot.

    """
    listed = ", ".join(f"({number}, {int(start)}, {int(end)})" for number, (_, start, end) in enumerate(days))
    values = {"account": account, **kept.coverage[account]._asdict()}
    table, other_table = _PEAKS[HOUR if all(day.start % HOUR == day.end % HOUR == 0 for day in days) else QUARTER]
    for number, limit_id, *peaks in kept.connection.execute(_KEPT_PEAKS.format(days=listed, table=table), values):
        own = zip(SLOT_COLUMNS, peaks, strict=True)
        yield limit_id, days[number].key, {slot: percent for slot, percent in own if percent is not None}
    others = kept.connection.execute(_KEPT_OTHER_PEAKS.format(days=listed, table=other_table), values)
    for number, limit_id, slot, percent in others:
        yield limit_id, days[number].key, {slot: percent}


_OF_DAYS = "account = :account AND at > day_start AND at <= day_end AND at > :since AND at <= :until"
_KEPT_PEAKS = f"""
WITH days (number, day_start, day_end) AS (VALUES {{days}})
SELECT number, limit_id, {", ".join(f"max(peak_{slot})" for slot in SLOT_COLUMNS)}
FROM days CROSS JOIN {{table}} WHERE {_OF_DAYS} GROUP BY number, limit_id
"""  # noqa: S608 (constants, and whole numbers)
_KEPT_OTHER_PEAKS = f"""
WITH days (number, day_start, day_end) AS (VALUES {{days}})
SELECT number, limit_id, slot, max(peak) FROM days CROSS JOIN {{table}}
WHERE {_OF_DAYS} GROUP BY number, limit_id, slot
"""  # noqa: S608 (constants, and whole numbers)


def snapshots_number(
    connection: Connection, kept: Kept | None, limit: tuple[int, str], since: float, until: float
) -> int:
    """Return the number of a limit's snapshots from one timestamp to another; late and damaged ones count, too.

    The index alone is read, and of what is kept a number for each span.
    """
    values: dict[str, Any] = {"account": limit[0], "limit_id": limit[1]}
    known = kept.coverage.get(limit[0]) if kept else None
    part = known and Coverage(max(ceil_to(_STEP, since), known.since), min(floor_to(_STEP, until), known.until))
    if kept is None or part is None or part.since >= part.until:
        return int(connection.execute(_NUMBER, {**values, "since": since, "until": until}).fetchone()[0])
    found = kept.connection.execute(_KEPT_NUMBER, {**values, **part._asdict()}).fetchone()[0] or 0
    for begin, end in ((since, part.since), (math.nextafter(part.until, math.inf), until)):
        found += connection.execute(_NUMBER, {**values, "since": begin, "until": end}).fetchone()[0]
    return int(found)


_NUMBER = (
    "SELECT count(*) FROM main.snapshots WHERE account = :account AND limit_id = :limit_id"
    " AND first_seen_at >= :since AND first_seen_at <= :until"
)
_KEPT_NUMBER = (
    "SELECT sum(number) FROM windows_numbers WHERE account = :account AND at > :since AND at <= :until"
    " AND limit_id = :limit_id"
)
