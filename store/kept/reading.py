"""What a question may use of the kept rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from store.connection import is_file
from store.kept.kind import Kept
from store.kept.storage import FAILURES, database_of, open_kept
from store.kept.validity import OtherStateError, find_cuts, kept_position, left_coverage, position_of, stored_coverage

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from store.connection import Connection
    from store.kept.kind import Kind

T = TypeVar("T")

UNUSABLE = (*FAILURES, ValueError, TypeError)
"""Errors of a file that cannot be used, and of values in it that were never written."""


def ask_kept(source: Connection, kind: Kind, read: Callable[[Kept], T]) -> T | None:
    """Return what `read` makes of the kept rows; None where none can be used: then the rows of the database are asked.

    The coverage that `read` is given holds for the state of the database that the transaction of `source` sees. Errors
    of the file, and values in it that were never written, count as nothing kept.

    Args:
        source: The connection of the question, in a read transaction.
        kind: The kind of rows that it needs.
        read: Reads what it needs, and keeps nothing of what it is given.

    """
    if not is_file(source):
        return None
    database = database_of(source)
    if database is None:
        return None
    try:
        with open_kept(database) as connection:
            kept = None if connection is None else _valid(source, connection, kind)
            return None if kept is None else read(kept)
    except UNUSABLE:
        return None


def _valid(source: sqlite3.Connection, connection: sqlite3.Connection, kind: Kind) -> Kept | None:
    known = connection.execute("SELECT rules FROM kinds WHERE name = ?", (kind.name,)).fetchone()
    at = kept_position(connection)
    if at is None or known is None or known[0] != kind.rules:
        return None
    try:
        cuts = find_cuts(source, at, position_of(source))
    except OtherStateError:
        return None
    coverage = left_coverage(source, kind.step, stored_coverage(connection, kind.name), cuts)
    return Kept(connection, coverage) if coverage else None
