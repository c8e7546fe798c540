"""A kind of kept rows for tests: the snapshots of an account, and the output tokens of its turns by the hour."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from typing import TYPE_CHECKING, Any

from store.database import open_reader
from store.files import kept_path
from store.kept.filling import Wish, fill
from store.kept.kind import Coverage, Kind, Piece, ceil_to
from store.kept.reading import ask_kept
from store.queries.cursors import read_transaction

if TYPE_CHECKING:
    from pathlib import Path

    from store.kept.kind import Kept

HOUR, DAY = 3_600, 86_400


def _fill_seen(piece: Piece) -> float:
    rows = piece.source.execute(
        "SELECT account, first_seen_at, used_5h_percent FROM snapshots"
        " WHERE account = ? AND late = 0 AND first_seen_at > ? AND first_seen_at <= ?",
        piece[2:],
    )
    piece.kept.executemany("INSERT INTO seen_percents VALUES (?, ?, ?)", map(tuple, rows))
    return piece.until


def _fill_tokens(piece: Piece) -> float:
    sums = Counter[float]()
    for ended_at, tokens in piece.source.execute(
        "SELECT ended_at, output_tokens FROM requests WHERE account = ? AND ended_at > ? AND ended_at <= ?", piece[2:]
    ):
        sums[ceil_to(HOUR, ended_at)] += tokens or 0
    rows = [(piece.account, *each) for each in sums.items()]
    piece.kept.executemany("INSERT INTO tokens_hours VALUES (?, ?, ?)", rows)
    return piece.until


SEEN = Kind("seen", 1, {"seen_percents": "used REAL"}, _fill_seen)
TOKENS = Kind("tokens", 1, {"tokens_hours": "tokens REAL NOT NULL"}, _fill_tokens, HOUR)


def fill_all(path: Path, now: float, *kinds: Kind, **wish: Any) -> bool:
    return fill(path, [Wish(kind, **wish) for kind in kinds or (SEEN, TOKENS)], now)


def kept_rows(path: Path, kind: Kind = SEEN) -> list[tuple[Any, ...]] | None:
    """Return the rows of a kind that a question may use, in the order of their times; None where there are none."""
    (table,) = kind.tables

    def read(kept: Kept) -> list[tuple[Any, ...]]:
        return [
            row
            for account, (since, until) in kept.coverage.items()
            for row in kept.connection.execute(
                f"SELECT * FROM {table} WHERE account = ? AND at > ? AND at <= ? ORDER BY at",  # noqa: S608 (a name)
                (account, since, until),
            )
        ]

    with contextlib.closing(open_reader(path)) as source, read_transaction(source):
        return ask_kept(source, kind, read)


def coverage(path: Path, kind: Kind = SEEN) -> dict[int, Coverage]:
    """Return what a question may use of a kind, by account."""
    with contextlib.closing(open_reader(path)) as source, read_transaction(source):
        return ask_kept(source, kind, lambda kept: dict(kept.coverage)) or {}


def stored_rows(path: Path, table: str = "seen_percents") -> list[tuple[Any, ...]]:
    """Return all rows of a table in the file of kept rows."""
    with contextlib.closing(sqlite3.connect(kept_path(path))) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY account, at").fetchall()  # noqa: S608 (a name)
