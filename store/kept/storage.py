"""The file of kept rows: opening, its own tables, and its deletion.

The file is private and never waited for long. One that is damaged, of another program or of another version of
codex-tap's layout is deleted and made anew; where that cannot be done, nothing is kept.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from store.errors import DatabaseError, SettingError, is_damage
from store.files import create_private, kept_path, ownership_problem
from store.readable_rows import bound_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from store.kept.kind import Kind

_APPLICATION_ID = 0x4378546B
"""Written into the file's header ("CxTk")."""

_LAYOUT = 2
"""``PRAGMA user_version``: the version of the tables below."""

_READ_SECONDS, _WRITE_SECONDS = 1.0, 10.0
"""How long a question waits for a piece that is being stored, and a piece for questions and other pieces."""

FAILURES = (sqlite3.Error, DatabaseError, SettingError, OSError)
"""Errors of a file that cannot be used: then nothing is kept."""


def database_of(connection: sqlite3.Connection) -> Path | None:
    """Return the file of a database; None for one in memory, and for one that is not a file of SQLite."""
    if not isinstance(connection, sqlite3.Connection):
        return None
    for _, name, path in connection.execute("PRAGMA database_list"):
        if name == "main" and path:
            return Path(path)
    return None


@contextlib.contextmanager
def open_kept(database: Path) -> Iterator[sqlite3.Connection | None]:
    """Open what is kept of a database, read-only and in one state of it; None where nothing usable is there.

    A damaged file is deleted.
    """
    connection = None
    with _damage_deletes(database):
        path = kept_path(database)
        if path.exists() and not ownership_problem(path):
            connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_READ_SECONDS)
    try:
        with _damage_deletes(database):
            yield connection if connection is not None and _begin_reading(connection) else None
    finally:
        if connection is not None:
            connection.close()


@contextlib.contextmanager
def open_kept_for_filling(database: Path, kinds: Iterable[Kind]) -> Iterator[sqlite3.Connection]:
    """Open what is kept of a database for writing, with the tables of the kinds; create the file if it is missing.

    Raises:
        FAILURES: It cannot be used or created.

    """
    path = kept_path(database)
    create_private(path)
    connection = _open_writing(path)
    try:
        try:
            _prepare(connection, kinds)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            connection.close()
            delete_kept(database)
            create_private(path)
            connection = _open_writing(path)
            _prepare(connection, kinds)
        with _damage_deletes(database):
            yield connection
    finally:
        connection.close()


def delete_kept(database: Path) -> None:
    """Delete all that is kept of a database, as far as it can be deleted; it is made again when it is needed."""
    with contextlib.suppress(SettingError, OSError):
        path = kept_path(database)
        path.unlink(missing_ok=True)
        path.with_name(f"{path.name}-journal").unlink(missing_ok=True)


@contextlib.contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold the one write lock of the file; what an error leaves incomplete is undone."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextlib.contextmanager
def _damage_deletes(database: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            delete_kept(database)
        raise


def _begin_reading(connection: sqlite3.Connection) -> bool:
    bound_values(connection)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA query_only = ON")
    connection.execute("BEGIN")
    return _is_ours(connection)


def _is_ours(connection: sqlite3.Connection) -> bool:
    found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    return found == [_APPLICATION_ID, _LAYOUT]


def _open_writing(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_WRITE_SECONDS, isolation_level=None)
    bound_values(connection)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA synchronous = NORMAL")
    # What an account's deletion takes out is gone down to the bytes.
    connection.execute("PRAGMA secure_delete = ON")
    return connection


def _prepare(connection: sqlite3.Connection, kinds: Iterable[Kind]) -> None:
    """Create the tables that are missing; drop those of a kind with other rules.

    Raises:
        sqlite3.DatabaseError: The file is damaged, or not one of this version.

    """
    with writing(connection):
        if not _is_ours(connection):
            if connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
                error = sqlite3.DatabaseError("the file is of another version, or another program")
                error.sqlite_errorcode = sqlite3.SQLITE_NOTADB
                raise error
            for statement in _TABLES:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {_LAYOUT}")
        known = dict(connection.execute("SELECT name, rules FROM kinds").fetchall())
        for kind in kinds:
            if known.get(kind.name) != kind.rules:
                _renew_kind(connection, kind)


def _renew_kind(connection: sqlite3.Connection, kind: Kind) -> None:
    for (table,) in connection.execute("SELECT name FROM kept_tables WHERE kind = ?", (kind.name,)).fetchall():
        connection.execute(f"DROP TABLE IF EXISTS {table}")
    connection.execute("DELETE FROM kept_tables WHERE kind = ?", (kind.name,))
    connection.execute("DELETE FROM coverage WHERE kind = ?", (kind.name,))
    for table, columns in kind.tables.items():
        connection.execute(f"CREATE TABLE {table} (account INTEGER NOT NULL, at REAL NOT NULL, {columns})")
        connection.execute(f"CREATE INDEX {table}_at ON {table} (account, at)")
        values = table, kind.name, kind.spans.get(table, 0.0)
        connection.execute("INSERT INTO kept_tables (name, kind, span) VALUES (?, ?, ?)", values)
    connection.execute(
        "INSERT INTO kinds (name, rules, step) VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET rules = excluded.rules, step = excluded.step",
        (kind.name, kind.rules, kind.step),
    )


_TABLES = (
    # one row (`store.kept.validity.Position`): the state of the database that the kept rows were last compared with
    """CREATE TABLE position (
        created TEXT,
        snapshot_id INTEGER NOT NULL, snapshot_at REAL,
        request_id INTEGER NOT NULL, request_at REAL,
        edit_id INTEGER NOT NULL, edit_at REAL
    )""",
    "CREATE TABLE kinds (name TEXT PRIMARY KEY, rules INTEGER NOT NULL, step REAL NOT NULL) WITHOUT ROWID",
    "CREATE TABLE kept_tables (name TEXT PRIMARY KEY, kind TEXT NOT NULL, span REAL NOT NULL) WITHOUT ROWID",
    """CREATE TABLE coverage (
        kind TEXT NOT NULL, account INTEGER NOT NULL, since REAL NOT NULL, until REAL NOT NULL,
        PRIMARY KEY (kind, account)
    ) WITHOUT ROWID""",
)
