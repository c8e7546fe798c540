"""Turns, page by page, and counts of turns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from store.constants import BUDGET_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from store.connection import Connection, StoredRow
    from store.documents import TurnEntry
    from store.queries.accounts import Account

TOKEN_KINDS = ("input", "cached", "output", "reasoning")
"""The kinds of tokens; ``cached`` is part of ``input``, ``reasoning`` part of ``output``."""

OF_LIMIT = f"(limit_id = ? OR ? = '{BUDGET_LIMIT}')"
"""Condition for the turns that use a limit, given twice: any turn of a member uses what the member may spend."""


def load_turns(
    connection: Connection,
    accounts: Sequence[Account],
    *,
    limit: int = 100,
    before: int | None = None,
) -> list[TurnEntry]:
    """Return at most `limit` turns of the accounts in the order of their ends, the newest first.

    A page follows the turn of id `before`: the last one of the previous page.
    """
    by_id = {account.id: account for account in accounts}
    rows = [
        row
        for account in by_id
        for row in connection.execute(_OF_ACCOUNT, {"account": account, "before": before, "limit": limit})
    ]
    rows.sort(key=lambda row: (row["ended_at"], row["id"]), reverse=True)
    return [_entry(row, by_id[row["account"]]) for row in rows[:limit]]


# The index has an account's turns by their end. If the last turn of a page has been pruned, so have older ones.
_OF_ACCOUNT = (
    "SELECT r.*, t.name AS thread_name FROM requests r"
    " LEFT JOIN threads t ON t.account = r.account AND t.thread = coalesce(r.thread, r.session)"
    " WHERE r.account = :account AND (:before IS NULL"
    " OR (r.ended_at, r.id) < (SELECT ended_at, id FROM requests WHERE id = :before))"
    " ORDER BY r.ended_at DESC, r.id DESC LIMIT :limit"
)


def _entry(row: StoredRow, account: Account) -> TurnEntry:
    return {
        "id": row["id"],
        "imported": bool(row["imported"]),
        **account.reference,
        "token_key": row["token_key"],
        "limit_id": row["limit_id"],
        "thread": row["thread"],
        "thread_name": row["thread_name"],
        "title": None,
        "folder": None,
        "project": None,
        "session": row["session"],
        "parent_thread": row["parent_thread"],
        "subagent": row["subagent"],
        "client": row["client"],
        "model": row["model"],
        "response_model": row["response_model"],
        "reasoning_effort": row["reasoning_effort"],
        "tier": row["tier"],
        "transport": row["transport"],
        "warm_up": bool(row["warm_up"]),
        "started_at": row["started_at"],
        "first_byte_at": row["first_byte_at"],
        "ended_at": row["ended_at"],
        "status": row["status"],
        "error_type": row["error_type"],
        "input_tokens": row["input_tokens"],
        "cached_tokens": row["cached_tokens"],
        "cache_write_tokens": row["cache_write_tokens"],
        "output_tokens": row["output_tokens"],
        "reasoning_tokens": row["reasoning_tokens"],
    }


class TurnCount(NamedTuple):
    """The number of turns of one account, limit and outcome, and their tokens by `TOKEN_KINDS`.

    ``outcome`` is ``answered``, ``failed`` (refused, or cut off with an error) or ``warm_up``.
    """

    account: int
    limit_id: str
    outcome: str
    turns: int
    tokens: tuple[int, ...]


def newest_turn(connection: Connection) -> int:
    """Return the id of the newest turn, 0 if there is none."""
    return int(connection.execute("SELECT coalesce(max(id), 0) FROM requests").fetchone()[0])


def count_turns(connection: Connection, after: int, upto: int) -> list[TurnCount]:
    """Count the turns with ids above `after`, up to `upto`, that the tap saw; ids only grow."""
    return _turn_counts(connection.execute(f"{_COUNT} WHERE id > ? AND id <= ? {_OF_TAP}", (after, upto)))


def count_ended(
    connection: Connection, account: int, since: float = -math.inf, until: float = math.inf
) -> list[TurnCount]:
    """Count an account's turns with ``since < ended_at <= until`` (Unix seconds) that the tap saw."""
    where = f"WHERE account = ? AND ended_at > ? AND ended_at <= ? {_OF_TAP}"
    return _turn_counts(connection.execute(f"{_COUNT} {where}", (account, since, until)))


def first_turn_at(connection: Connection, account: int) -> float | None:
    """Return when the first turn of an account ended (Unix seconds); None if it has none."""
    (at,) = connection.execute("SELECT min(ended_at) FROM requests WHERE account = ?", (account,)).fetchone()
    return None if at is None else float(at)


def added_counts(counts: Iterable[TurnCount]) -> list[TurnCount]:
    """Return one count for each account, limit and outcome."""
    sums: dict[tuple[int, str, str], list[int]] = {}
    for count in counts:
        found = sums.setdefault(count[:3], [0] * (1 + len(TOKEN_KINDS)))
        for number, value in enumerate((count.turns, *count.tokens)):
            found[number] += value
    return [TurnCount(*place, turns, tuple(tokens)) for place, (turns, *tokens) in sums.items()]


def _turn_counts(rows: Iterable[StoredRow]) -> list[TurnCount]:
    return [TurnCount(row[0], row[1], row[2], row[3], tuple(int(each) for each in row[4:])) for row in rows]


_SUMS = ", ".join(f"coalesce(sum(1.0 * {kind}_tokens), 0)" for kind in TOKEN_KINDS)
"""Sums of real numbers: one of integers may overflow."""

_COUNT = f"""
SELECT account, limit_id, CASE WHEN warm_up = 1 THEN 'warm_up'
    WHEN error_type IS NOT NULL OR coalesce(status, 0) >= 400 THEN 'failed' ELSE 'answered' END AS outcome,
    count(*), {_SUMS}
FROM requests
"""  # noqa: S608 (constants)
_OF_TAP = "AND imported = 0 GROUP BY account, limit_id, outcome"


class SeenTurn(NamedTuple):
    """What a metric needs of a turn. Timestamps are Unix seconds; unknown token counts are None."""

    id: int
    account: int
    model: str | None
    status: int | None
    error_type: str | None
    started_at: float
    ended_at: float
    input_tokens: int | None
    output_tokens: int | None


def load_seen_turns(connection: Connection, after: int, since: float, *, limit: int) -> list[SeenTurn]:
    """Return at most `limit` turns with ids above `after` that the tap saw end since a time, without warm-ups."""
    rows = connection.execute(
        f"SELECT {', '.join(SeenTurn._fields)} FROM requests"  # noqa: S608 (constants)
        " WHERE id > ? AND ended_at >= ? AND imported = 0 AND warm_up = 0 ORDER BY id LIMIT ?",
        (after, since, limit),
    )
    return [SeenTurn(*row) for row in rows]
