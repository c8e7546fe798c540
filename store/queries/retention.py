"""The number of rows that ``prune`` and ``accounts forget`` delete, and the size of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from store.outbox.tables import shipped_rows
from store.queries.cursors import read_transaction
from store.retention import OLD_IMPORTED_LIMITS, OLD_REQUESTS, OLD_SNAPSHOTS, OLD_THREADS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from store.connection import Connection
    from store.documents import PrunedAccount
    from store.queries.accounts import Account


class PruneCounts(NamedTuple):
    """The rows of an account that `store.retention.prune` would delete, and those that would stay."""

    account: Account
    snapshots: int
    turns: int
    imported_limits: int
    threads: int
    snapshots_kept: int
    turns_kept: int

    @property
    def rows(self) -> int:
        """All rows that would be deleted."""
        return self.snapshots + self.turns + self.imported_limits + self.threads

    @property
    def document(self) -> PrunedAccount:
        """The counts as ``prune --json`` has them."""
        return {
            **self.account.reference,
            "snapshots": self.snapshots,
            "turns": self.turns,
            "imported_limits": self.imported_limits,
            "threads": self.threads,
            "snapshots_kept": self.snapshots_kept,
            "turns_kept": self.turns_kept,
        }


def prune_counts(connection: sqlite3.Connection, before: float, accounts: Sequence[Account]) -> list[PruneCounts]:
    """Count, account by account, the rows last seen before `before` (Unix seconds), without those of the present."""
    with read_transaction(connection):
        return [_prune_counts(connection, account, before) for account in accounts]


def file_bytes(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the size of the database, and how many bytes of it are free for new rows."""
    size, pages, free = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_size", "page_count", "freelist_count")
    )
    return size * pages, size * free


_COUNTS = {
    "snapshots": f"SELECT count(*) {OLD_SNAPSHOTS} AND l.account = :account",
    "turns": f"SELECT count(*) {OLD_REQUESTS} AND r.account = :account",
    "imported_limits": f"SELECT count(*) {OLD_IMPORTED_LIMITS} AND i.account = :account",
    "threads": f"SELECT count(*) {OLD_THREADS} AND t.account = :account",
    "all_snapshots": "SELECT count(*) FROM snapshots WHERE account = :account",
    "all_turns": "SELECT count(*) FROM requests WHERE account = :account",
}


def _prune_counts(connection: sqlite3.Connection, account: Account, before: float) -> PruneCounts:
    values = {"account": account.id, "before": before, **shipped_rows(connection)._asdict()}
    found = {name: int(connection.execute(count, values).fetchone()[0]) for name, count in _COUNTS.items()}
    return PruneCounts(
        account,
        found["snapshots"],
        found["turns"],
        found["imported_limits"],
        found["threads"],
        found["all_snapshots"] - found["snapshots"],
        found["all_turns"] - found["turns"],
    )


class AccountCounts(NamedTuple):
    """The number of rows stored for an account."""

    snapshots: int
    limits: int
    tokens: int


def account_counts(connection: Connection, account: Account) -> AccountCounts:
    """Count the rows that are deleted with an account, or go over when it is merged into another."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM snapshots WHERE account = :id),"
        " (SELECT count(*) FROM limits WHERE account = :id), (SELECT count(*) FROM tokens WHERE account = :id)",
        {"id": account.id},
    ).fetchone()
    return AccountCounts(*row)
