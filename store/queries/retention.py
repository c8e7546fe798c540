"""What is older than that?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from store.database import OLD_REQUESTS, OLD_SNAPSHOTS, OLD_THREADS
from store.queries.accounts import accounts
from store.queries.view import one_view

if TYPE_CHECKING:
    import sqlite3

    from store.queries.accounts import Account


class Old(NamedTuple):
    """What of an account `store.database.prune` would delete, and what would stay."""

    account: Account
    snapshots: int
    turns: int
    threads: int
    snapshots_kept: int
    turns_kept: int

    @property
    def rows(self) -> int:
        """All that would go."""
        return self.snapshots + self.turns + self.threads


def older_than(connection: sqlite3.Connection, before: float) -> list[Old]:
    """Answer "what would go?", account by account: what was last seen before a moment, but for the present's rows."""
    with one_view(connection):
        return [_old(connection, account, before) for account in accounts(connection)]


def file_bytes(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return how large the database is, and how much of it is free for new rows."""
    size, pages, free = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_size", "page_count", "freelist_count")
    )
    return size * pages, size * free


_COUNTS = {
    "snapshots": f"SELECT count(*) {OLD_SNAPSHOTS} AND l.account = :account",
    "turns": f"SELECT count(*) {OLD_REQUESTS} AND r.account = :account",
    "threads": f"SELECT count(*) {OLD_THREADS} AND t.account = :account",
    "all_snapshots": "SELECT count(*) FROM snapshots WHERE account = :account",
    "all_turns": "SELECT count(*) FROM requests WHERE account = :account",
}


def _old(connection: sqlite3.Connection, account: Account, before: float) -> Old:
    values = {"account": account.id, "before": before}
    found = {name: int(connection.execute(count, values).fetchone()[0]) for name, count in _COUNTS.items()}
    return Old(
        account,
        found["snapshots"],
        found["turns"],
        found["threads"],
        found["all_snapshots"] - found["snapshots"],
        found["all_turns"] - found["turns"],
    )
