"""What the questions need of a connection, so that the same ones are asked of a file and of a team's database.

A `sqlite3.Connection` of `store.database.open_reader` has all of it, and so has `store.team.connection.TeamConnection`.
The protocols are for type checkers alone: making their classes takes time at the start of each command.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any, Protocol

    from typing_extensions import TypeIs

    Values = Sequence[Any] | Mapping[str, Any]

    class StoredRow(Protocol):
        """A row by the names and by the numbers of its columns, as a `sqlite3.Row` is."""

        def __getitem__(self, column: Any, /) -> Any:
            """Return the value of a column, or the values of a slice."""

        def __iter__(self) -> Iterator[Any]:
            """Iterate over the values."""

        def __len__(self) -> int:
            """Return the number of columns."""

    class Cursor(Protocol):
        """The rows of a statement, one after the other; a `row_factory` of None makes each a tuple."""

        row_factory: Any

        def execute(self, statement: str, values: Values = ..., /) -> Cursor:
            """Ask a question; its values stand at ``?``, or at ``:name``."""

        def fetchone(self) -> Any:
            """Return the next row, or None."""

        def fetchall(self) -> list[Any]:
            """Return the rows that are left."""

        def __iter__(self) -> Iterator[Any]:
            """Iterate over the rows that are left."""

    class Connection(Protocol):
        """Reads a database. The statements are what SQLite and PostgreSQL both understand."""

        @property
        def in_transaction(self) -> bool:
            """Whether questions are answered from one state of the database."""

        def execute(self, statement: str, values: Values = ..., /) -> Cursor:
            """Ask a question; the rows of the answer have names."""

        def cursor(self) -> Cursor:
            """Return a cursor of its own."""

        def rollback(self) -> None:
            """End the transaction."""

        def close(self) -> None:
            """Close the connection."""


def is_file(connection: Connection) -> TypeIs[sqlite3.Connection]:
    """Return True if a connection reads a file of this machine, and not a team's database."""
    return isinstance(connection, sqlite3.Connection)
