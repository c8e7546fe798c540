"""Which turns were there, and how many of them?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from store.queries.accounts import load_accounts
from store.queries.cursors import read_transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from store.queries.accounts import Account

TOKEN_KINDS = ("input", "cached", "output", "reasoning")
"""What tokens are counted as; ``cached`` is a part of ``input``, ``reasoning`` one of ``output``."""


def load_turns(
    connection: sqlite3.Connection,
    *,
    account: Account | None = None,
    limit: int = 100,
    before: int | None = None,
) -> list[dict[str, Any]]:
    """Answer "which turns were there?": at most `limit`, the newest first, behind the turn of id `before`.

    The id of the last one is the `before` of the next page. All turns come by their ids, those of one account by when
    they ended.
    """
    with read_transaction(connection):
        known = {each.id: each for each in load_accounts(connection)}
        rows = connection.execute(
            _ALL if account is None else _OF_ACCOUNT,
            {"account": account and account.id, "before": before, "limit": limit},
        ).fetchall()
    return [_entry(row, known[row["account"]]) for row in rows if row["account"] in known]


_COLUMNS = (
    "SELECT r.*, t.name AS thread_name FROM requests r"
    " LEFT JOIN threads t ON t.account = r.account AND t.thread = r.thread"
)
_ALL = f"{_COLUMNS} WHERE :before IS NULL OR r.id < :before ORDER BY r.id DESC LIMIT :limit"
# Of one account the index has the turns by their end. Where the one that a page ended with is gone, so are older ones.
_OF_ACCOUNT = (
    f"{_COLUMNS} WHERE r.account = :account AND (:before IS NULL"  # noqa: S608 (constant)
    " OR (r.ended_at, r.id) < (SELECT ended_at, id FROM requests WHERE id = :before))"
    " ORDER BY r.ended_at DESC, r.id DESC LIMIT :limit"
)


def _entry(row: sqlite3.Row, account: Account) -> dict[str, Any]:
    return {
        "id": row["id"],
        **account.named,
        "token_key": row["token_key"],
        "limit_id": row["limit_id"],
        "thread": row["thread"],
        "thread_name": row["thread_name"],
        "session": row["session"],
        "model": row["model"],
        "transport": row["transport"],
        "warm_up": bool(row["warm_up"]),
        "started_at": row["started_at"],
        "first_byte_at": row["first_byte_at"],
        "ended_at": row["ended_at"],
        "status": row["status"],
        "error_type": row["error_type"],
        **{f"{kind}_tokens": row[f"{kind}_tokens"] for kind in TOKEN_KINDS},
    }


class TurnCount(NamedTuple):
    """How many turns of one account, limit and outcome there were, and their tokens by `TOKEN_KINDS`.

    ``outcome`` is ``answered``, ``failed`` (refused or cut off with an error) or ``warm_up``.
    """

    account: int
    limit_id: str
    outcome: str
    turns: int
    tokens: tuple[int, ...]


def newest_turn(connection: sqlite3.Connection) -> int:
    """Return the id of the newest turn, 0 where there is none."""
    return int(connection.execute("SELECT coalesce(max(id), 0) FROM requests").fetchone()[0])


def count_turns(connection: sqlite3.Connection, after: int, upto: int) -> Sequence[TurnCount]:
    """Answer "how many turns were there?" of those with ids above `after` up to `upto`: ids only grow."""
    rows = connection.execute(
        "SELECT account, limit_id, CASE WHEN warm_up THEN 'warm_up'"
        " WHEN error_type IS NOT NULL OR coalesce(status, 0) >= 400 THEN 'failed' ELSE 'answered' END AS outcome,"
        " count(*), total(input_tokens), total(cached_tokens), total(output_tokens), total(reasoning_tokens)"
        " FROM requests WHERE id > ? AND id <= ? GROUP BY account, limit_id, outcome",
        (after, upto),
    )
    return [TurnCount(row[0], row[1], row[2], row[3], tuple(int(each) for each in row[4:])) for row in rows]
