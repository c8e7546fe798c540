"""How statements look at the database: several of them in one view, and rows as plain tuples."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator


@contextlib.contextmanager
def read_transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Let several statements see the database as it is at the first of them."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.rollback()


def tuple_cursor(connection: sqlite3.Connection) -> sqlite3.Cursor:
    """Return a cursor whose rows are plain tuples: of many, a `sqlite3.Row` costs more than what is done with it."""
    cursor = connection.cursor()
    cursor.row_factory = None
    return cursor
