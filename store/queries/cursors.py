"""Read transactions and cursors."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator


@contextlib.contextmanager
def read_transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run all statements on one state of the database: that at the first of them.

    Within a transaction of the caller this does nothing, so that several queries can share one.
    """
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.rollback()


def tuple_cursor(connection: sqlite3.Connection) -> sqlite3.Cursor:
    """Return a cursor that yields tuples; building `sqlite3.Row` objects dominates queries with many rows."""
    cursor = connection.cursor()
    cursor.row_factory = None
    return cursor
