"""The SQLite file: where it may lie, how it is opened, its schema and how that moves forward.

A row of `snapshots` is one limit of one account as it stood over a stretch of time: the same figures seen again only
move `last_seen_at` and `observations` (`store.record.merge` says what "the same" is). Rows are ordered by their id, the
order of arrival; the clock, which may step back, orders nothing. `limits` points at the newest row of each limit and
`accounts` at the newest row that told an account's facts, so that the present is one key look-up, however long the
history.

Files are private from the start: created with mode 0600, in a folder created with mode 0700. Readers open the file
read-only and never create it. Nothing is ever deleted: an older schema is copied before it is brought forward, a
damaged file is renamed. Nothing heavy is imported here: reading commands stand in people's prompts.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from typing import TYPE_CHECKING

from store import files, schema
from store.errors import (
    DamagedError,
    DatabaseError,
    FullError,
    LockedError,
    MissingError,
    error_code,
    is_damage,
    is_full,
    is_locked,
)
from store.files import inode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


BUSY_SECONDS = 0.2
"""How long one statement waits for another writer; the recorder tries again, so nothing hangs on this."""

READ_SECONDS = 5.0
"""How long a reader waits in the rare moments when the write-ahead log is locked for it too."""


def open_reader(path: Path, seconds: float = READ_SECONDS) -> sqlite3.Connection:
    """Open the database read-only; rows come as `sqlite3.Row`. One that is locked is waited for so many ``seconds``.

    Raises:
        MissingError: There is none yet.
        DatabaseError: It cannot be read: not ours, of another schema, not a database.

    """
    try:
        if not path.exists():
            raise MissingError(f"{path} is not there yet")
    except OSError as error:
        raise DatabaseError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        connection = _connect_reading(path, seconds)
        try:
            version = schema.schema_version(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise _translate_error(path, error) from error
    if version < schema.SCHEMA_VERSION:
        connection.close()
        if version == 0:
            raise MissingError(f"{path} is still empty")
        raise DatabaseError(
            f"{path} was written by an older codex-tap (schema {version}); starting the proxy once brings it forward"
        )
    connection.row_factory = sqlite3.Row
    return connection


def _connect_reading(path: Path, seconds: float = READ_SECONDS) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=seconds)


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the database for writing; create it, or bring its schema forward, where that is needed.

    Raises:
        DatabaseError: It cannot be used: not ours, newer than this program, not writable, not a database.
        LockedError: Another writer holds it.
        FullError: There is no room for it.
        DamagedError: It is ours and broken.

    """
    files.create_private(path)
    try:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    except sqlite3.Error as error:
        raise DatabaseError(f"{path}: {error}") from error
    try:
        _prepare(connection, path)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise _translate_error(path, error) from error
        raise
    return connection


def close_without_checkpoint(connection: sqlite3.Connection) -> None:
    """Let go of a connection whose file was replaced by another one.

    Closing it as usual would end with deleting the write-ahead log *by its name*, and that is the other file's by now.
    """
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE)
        connection.close()
    else:
        _unclosed.append(connection)


_unclosed: list[sqlite3.Connection] = []
"""Python 3.11 has no way to close without that: these stay open as long as the process."""

_MAGIC = b"SQLite format 3\0"
_APPLICATION_ID_AT = slice(68, 72)


def _translate_error(path: Path, error: sqlite3.Error) -> DatabaseError:
    if is_locked(error):
        return LockedError(f"{path} is locked by another program")
    if is_full(error):
        return FullError(f"{path} cannot be written, the disk is full")
    if is_damage(error) and is_ours(path):
        message = f"{path} is damaged ({error}); the next start of the proxy sets it aside and begins a new one"
        return DamagedError(message, inode(path))
    if error_code(error) == sqlite3.SQLITE_NOTADB:
        return DatabaseError(f"{path} is not a SQLite database; move it away or name another file")
    return DatabaseError(f"{path} cannot be used: {error}")


def is_ours(path: Path) -> bool:
    """Return True if a file is a database of codex-tap, also if it is damaged.

    Its header has our application id, or it has no readable id and is in our data folder. Any other file may be the
    user's, given by mistake.
    """
    from store.settings import data_folder

    if path.is_symlink() or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except OSError:
        return False
    application = int.from_bytes(header[_APPLICATION_ID_AT]) if header.startswith(_MAGIC) else 0
    if application:
        return application == schema.APPLICATION_ID
    return path.absolute().parent == data_folder().absolute()


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    version = schema.schema_version(connection, path)
    if version < schema.SCHEMA_VERSION:
        if version == 0:
            # Before the log is begun, so that it stands in the file itself, where `is_ours` looks.
            connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        connection.execute("PRAGMA journal_mode = WAL")
        _migrate(connection, path)
    for question in schema.PROBES:
        connection.execute(question).fetchone()
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Apply what is pending in one transaction: of two programs that start together one waits for the other."""
    with transaction(connection):
        version = schema.schema_version(connection, path)
        if version == schema.SCHEMA_VERSION:
            return
        copy = _keep_copy(path, version) if version else None
        try:
            schema.apply_migrations(connection)
        except BaseException:
            # The database is as it was, so the copy is one too many.
            if copy:
                copy.unlink(missing_ok=True)
            raise


def _keep_copy(path: Path, version: int) -> Path:
    """Copy the database beside itself, as private as it is; return the copy's name."""
    copy = files.backup_path(path, version)
    files.create_private(copy)
    try:
        with (
            contextlib.closing(_connect_reading(path)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    return copy


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold the one write lock from the start, so that what is read inside is what will be changed."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        # A full disk may have rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
