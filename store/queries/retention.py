"""What is older than that?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from store.queries.accounts import load_accounts
from store.queries.cursors import read_transaction
from store.retention import OLD_REQUESTS, OLD_SNAPSHOTS, OLD_THREADS

if TYPE_CHECKING:
    import sqlite3

    from store.queries.accounts import Account


class PruneCounts(NamedTuple):
    """What of an account `store.retention.prune` would delete, and what would stay."""

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


def prune_counts(connection: sqlite3.Connection, before: float) -> list[PruneCounts]:
    """Answer "what would go?", account by account: what was last seen before a moment, but for the present's rows."""
    with read_transaction(connection):
        return [_old(connection, account, before) for account in load_accounts(connection)]


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


def _old(connection: sqlite3.Connection, account: Account, before: float) -> PruneCounts:
    values = {"account": account.id, "before": before}
    found = {name: int(connection.execute(count, values).fetchone()[0]) for name, count in _COUNTS.items()}
    return PruneCounts(
        account,
        found["snapshots"],
        found["turns"],
        found["threads"],
        found["all_snapshots"] - found["snapshots"],
        found["all_turns"] - found["turns"],
    )
