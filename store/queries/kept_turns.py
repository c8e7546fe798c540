"""The kept counts of turns, by the day of their end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from store.kept.kind import Kind, Piece, floor_to
from store.kept.reading import ask_kept
from store.queries.accounts import account_ids
from store.queries.turns import TurnCount, added_counts, count_ended, first_turn_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from store.connection import Connection
    from store.kept.kind import Kept

_DAY = 86_400.0


def count_all_turns(connection: Connection) -> list[TurnCount] | None:
    """Count all turns that the tap saw, with the help of kept counts; None where there are none.

    Call it in a read transaction; `store.queries.turns.count_turns` then counts the turns that come later.
    """

    def read(kept: Kept) -> list[TurnCount]:
        accounts = account_ids(connection)
        return added_counts(count for account in accounts for count in _counts(connection, kept, account))

    return ask_kept(connection, TURNS, read)


def _fill(piece: Piece) -> float:
    first_at = first_turn_at(piece.source, piece.account)
    begin = piece.since
    while first_at is not None and begin < piece.until:
        begin = max(begin, floor_to(_DAY, math.nextafter(first_at, -math.inf)))
        end = min(begin + _DAY, piece.until)
        counts = count_ended(piece.source, piece.account, begin, end)
        piece.kept.executemany(_INSERT, [(piece.account, end, *count[1:4], *count.tokens) for count in counts])
        begin = end
    return piece.until


TURNS = Kind(
    name="turns",
    rules=1,
    tables={
        "turns_counted": "limit_id TEXT NOT NULL, outcome TEXT NOT NULL, turns INTEGER NOT NULL,"
        " input INTEGER NOT NULL, cached INTEGER NOT NULL, output INTEGER NOT NULL, reasoning INTEGER NOT NULL"
    },
    fill=_fill,
    step=_DAY,
)


def _counts(connection: Connection, kept: Kept, account: int) -> Iterator[TurnCount]:
    coverage = kept.coverage.get(account)
    if coverage is None:
        yield from count_ended(connection, account)
        return
    for limit_id, outcome, turns, *tokens in kept.connection.execute(_COUNTED, (account, *coverage)):
        yield TurnCount(account, limit_id, outcome, turns, tuple(tokens))
    if coverage.since > 0:
        yield from count_ended(connection, account, until=coverage.since)
    yield from count_ended(connection, account, since=coverage.until)


_INSERT = "INSERT INTO turns_counted VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_COUNTED = (
    "SELECT limit_id, outcome, sum(turns), sum(input), sum(cached), sum(output), sum(reasoning) FROM turns_counted"
    " WHERE account = ? AND at > ? AND at <= ? GROUP BY limit_id, outcome"
)
