"""Changes that a person makes to the database: names, and an account's deletion."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3


def rename_thread(connection: sqlite3.Connection, thread: str, name: str | None) -> None:
    """Name a thread, or remove its name."""
    connection.execute("UPDATE threads SET name = ? WHERE thread = ?", (name, thread))


def rename_account(connection: sqlite3.Connection, account: int, name: str | None) -> None:
    """Name an account, or remove its name.

    Raises:
        sqlite3.IntegrityError: Another account has that name.

    """
    connection.execute("UPDATE accounts SET name = ? WHERE id = ?", (name, account))


def forget_account(connection: sqlite3.Connection, account: int) -> None:
    """Delete an account and everything stored of it, down to the bytes in the file."""
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("DELETE FROM accounts WHERE id = ?", (account,))
    # The log still holds the deleted pages; if a reader is in the way, the next checkpoint overwrites them.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
