"""Read transactions and cursors."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, TypeVar

from store.connection import is_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from typing import Any

    from store.connection import Connection, Cursor, StoredRow, Values


T = TypeVar("T", int, str)


@contextlib.contextmanager
def read_transaction(connection: Connection) -> Iterator[None]:
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


def tuple_cursor(connection: Connection) -> Cursor:
    """Return a cursor that yields tuples; building `sqlite3.Row` objects dominates queries with many rows."""
    cursor = connection.cursor()
    cursor.row_factory = None
    return cursor


MAX_AMONG = 500
"""Values in a condition; a query for more reads all rows."""


def is_among(column: str, values: Collection[T]) -> tuple[str, Sequence[T]]:
    """Return a condition on a column (an SQL constant), and its values; of very many it is always true."""
    if len(values) > MAX_AMONG:
        return "1 = 1", ()
    return f"{column} IN ({', '.join('?' * len(values)) or 'NULL'})", tuple(values)


def stream_mappings(connection: Connection, statement: str, values: Values = ()) -> Iterator[dict[str, Any]]:
    """Yield the rows of a long answer as `stream` does, each with its values by the names of their columns."""
    if not is_file(connection):
        yield from map(dict, stream(connection, statement, values))
        return
    cursor = connection.cursor()
    # A `sqlite3.Row` of many columns takes several times as long to become a dictionary.
    cursor.row_factory = None
    cursor.execute(statement, values)
    names = [column[0] for column in cursor.description]
    for row in cursor:
        yield dict(zip(names, row, strict=True))


_ROWS_AT_ONCE = 5_000
_numbers = itertools.count()


def stream(connection: Connection, statement: str, values: Values = ()) -> Iterator[StoredRow]:
    """Return the rows of a long answer, without having all of them in memory."""
    # Not "yield from", which closes the cursor when a reader stops early: the connection may be closed by then.
    return iter(connection.execute(statement, values)) if is_file(connection) else _fetch(connection, statement, values)


def _fetch(connection: Connection, statement: str, values: Values) -> Iterator[StoredRow]:
    """Yield the rows of a team's database, some thousands at a time; the cursor is closed with the transaction."""
    name = f"stream_{next(_numbers)}"
    connection.execute(f"DECLARE {name} NO SCROLL CURSOR FOR {statement}", values)
    while rows := connection.execute(f"FETCH {_ROWS_AT_ONCE} FROM {name}").fetchall():
        yield from rows
        if len(rows) < _ROWS_AT_ONCE:
            return


def edit_number(connection: Connection) -> int:
    """Return a number that is another one after each change or deletion of rows that were stored earlier."""
    query = "SELECT coalesce(max(id), 0) FROM edits" if is_file(connection) else "SELECT edits FROM installation"
    return int(connection.execute(query).fetchone()[0])


def change_number(connection: Connection) -> int:
    """Return a number that is another one after each change that somebody else made; it ends the transaction."""
    if is_file(connection):
        return int(connection.execute("PRAGMA data_version").fetchone()[0])
    try:
        connection.rollback()
        query = "SELECT edits + (SELECT coalesce(sum(batches), 0) FROM machines) FROM installation"
        return int(connection.execute(query).fetchone()[0])
    finally:
        connection.rollback()
