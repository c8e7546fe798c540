"""A connection to a team's database that answers as one to a file does (`store.connection.Connection`).

Statements are what SQLite and PostgreSQL both understand; here their placeholders become psycopg's, and rows get names.
Values are bound by the client, so that a null needs no type, and nothing is prepared in the server: a pooler may stand
between. All questions to a connection are answered from one state of the database, until its transaction is ended.
"""

from __future__ import annotations

import contextlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.adapt import Loader
from psycopg.rows import tuple_row

from store.errors import DatabaseError
from store.team.address import connect, explained
from store.team.schema import CHOOSE_SCHEMA, SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, KeysView, Mapping, Sequence

    from store.team.address import TeamAddress

QUESTION_SECONDS = 60.0
"""How long one question may take; the server ends it then."""

CONNECT_SECONDS = 10.0
"""How long to wait for the server, usually; libpq's least are 2."""

_MIN_CONNECT_SECONDS = 2


def open_team_reader(address: TeamAddress, seconds: float = CONNECT_SECONDS) -> TeamConnection:
    """Open a team's database for reading; wait at most ``seconds`` for the server.

    Raises:
        DatabaseError: It cannot be read: no server, no such database, no schema of ours, one of another version.

    """
    connection = TeamConnection(address, max(_MIN_CONNECT_SECONDS, round(seconds)))
    try:
        _check_version(connection, address)
    except BaseException:
        connection.close()
        raise
    return connection


def _no_tables(address: TeamAddress) -> str:
    return f"{address} has no tables of codex-tap; its administrator makes them with codex-tap team init"


def _check_version(connection: TeamConnection, address: TeamAddress) -> None:
    row = connection.execute("SELECT schema_version FROM installation").fetchone()
    if row is None:
        raise DatabaseError(_no_tables(address))
    (version,) = row
    if version < SCHEMA_VERSION:
        raise DatabaseError(
            f"{address} was made by an older codex-tap (schema {version}); codex-tap team init brings it up to date"
        )
    if version > SCHEMA_VERSION:
        raise DatabaseError(
            f"{address} was made by a newer codex-tap (schema {version}, this one knows {SCHEMA_VERSION});"
            " update codex-tap"
        )


class TeamRow:
    """A row by the names and by the numbers of its columns, as a `sqlite3.Row` is."""

    __slots__ = ("_places", "_values")

    def __init__(self, places: Mapping[str, int], values: Sequence[Any]) -> None:
        self._places, self._values = places, values

    def __getitem__(self, column: Any) -> Any:
        return self._values[self._places[column] if column.__class__ is str else column]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def keys(self) -> KeysView[str]:
        """Return the names of the columns; with them, a row can be made a dict."""
        return self._places.keys()


def _named_rows(cursor: psycopg.Cursor[Any]) -> Callable[[Sequence[Any]], TeamRow]:
    places = {column.name: place for place, column in enumerate(cursor.description or ())}
    return lambda values: TeamRow(places, values)


class _NumberLoader(Loader):
    """Loads a numeric, which PostgreSQL makes of sums of whole numbers, as the int or float that SQLite returns."""

    def load(self, data: Any) -> int | float:
        text = bytes(data)
        return int(text) if text.lstrip(b"-").isdigit() else float(text)


class TeamCursor:
    """The rows of a statement, one after the other."""

    def __init__(self, connection: TeamConnection, cursor: psycopg.Cursor[Any]) -> None:
        self._connection, self._cursor = connection, cursor

    @property
    def row_factory(self) -> Any:
        """What makes a row: None for tuples."""
        return None if self._cursor.row_factory is tuple_row else self._cursor.row_factory

    @row_factory.setter
    def row_factory(self, wanted: Any) -> None:
        self._cursor.row_factory = tuple_row if wanted is None else wanted

    def execute(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> TeamCursor:
        """Ask a question; its values stand at ``?``, or at ``:name``.

        Raises:
            DatabaseError: The server refuses it, or is gone.
        """
        self._connection.begin()
        with self._connection.explained():
            self._cursor.execute(_translated(statement), values)
        return self

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        return self._cursor.fetchall()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)


class TeamConnection:
    """Reads a team's database, all of it in transactions that only read."""

    def __init__(self, address: TeamAddress, seconds: int) -> None:
        """Connect.

        Args:
            address: Where to.
            seconds: How long to wait for the server.

        Raises:
            DatabaseError: There is no connection to be had.
        """
        self._address = address
        self._connection = connect(address, cursor_factory=psycopg.ClientCursor, connect_timeout=seconds)
        self._connection.adapters.register_loader("numeric", _NumberLoader)

    @property
    def in_transaction(self) -> bool:
        """Whether questions are answered from one state of the database."""
        return self._connection.info.transaction_status is not psycopg.pq.TransactionStatus.IDLE

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Turn failures of psycopg within a `with` block into those of the database."""
        with explained(self._address):
            try:
                yield
            except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
                raise DatabaseError(_no_tables(self._address)) from None
            except psycopg.errors.InsufficientPrivilege:
                role = self._connection.info.user
                raise DatabaseError(
                    f"{self._address}: {role} may not read it; its administrator can let a role read with"
                    " codex-tap team add-reader"
                ) from None
            except psycopg.errors.QueryCanceled:
                raise DatabaseError(
                    f"{self._address}: a question takes longer than {QUESTION_SECONDS:.0f} s; ask for a shorter time or"
                    " for one account"
                ) from None

    def begin(self) -> None:
        """Begin a transaction, unless there is one.

        All of it is one message, and holds for the transaction alone: a pooler may give the next one to another server.
        """
        if not self.in_transaction:
            with self.explained():
                self._connection.execute(_BEGIN)

    def cursor(self) -> TeamCursor:
        """Return a cursor of its own."""
        return TeamCursor(self, self._connection.cursor(row_factory=_named_rows))

    def execute(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> TeamCursor:
        """Ask a question; the rows of the answer have names.

        Raises:
            DatabaseError: The server refuses it, or is gone.
        """
        if statement == "BEGIN":
            self.begin()
            return self.cursor()
        return self.cursor().execute(statement, values)

    def rollback(self) -> None:
        """End the transaction.

        Raises:
            DatabaseError: The server is gone.
        """
        with self.explained():
            self._connection.rollback()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


_BEGIN = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
    f" SET LOCAL statement_timeout = {QUESTION_SECONDS * 1_000:.0f}; SET LOCAL cursor_tuple_fraction = 1;"
    f" {CHOOSE_SCHEMA}"
)

_TOKEN = re.compile(r"'[^']*'|:([a-z_]\w*)|[?%]|\bmain\.")
_WHOLE = re.compile(r"CAST\(((?:[^()]|\([^()]*\))*) AS BIGINT\)")


@lru_cache(maxsize=256)
def _translated(statement: str) -> bytes:
    """Return a statement as psycopg reads it; SQLite cuts off the fraction that PostgreSQL would round."""
    whole = _WHOLE.sub(r"CAST(floor(\1) AS BIGINT)", statement)
    return _TOKEN.sub(_translated_token, whole).encode()


def _translated_token(found: re.Match[str]) -> str:
    if found[1]:
        return f"%({found[1]})s"
    # `main` has the tables of a file behind what is readable of them; here nothing else can be in them.
    return {"?": "%s", "%": "%%", "main.": ""}.get(found[0], found[0].replace("%", "%%"))
