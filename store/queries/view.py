"""One view of the database for several statements."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator


@contextlib.contextmanager
def one_view(connection: sqlite3.Connection) -> Iterator[None]:
    """Let several statements see the database as it is at the first of them."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.rollback()
