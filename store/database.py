"""The SQLite file: opening, closing, transactions and errors.

A row of `snapshots` is one state of one limit of one account, from its first to its last observation: the same figures
seen again only change `last_seen_at` and `observations` (`store.record.merge` defines "the same"). Rows are ordered by
their id, the order of arrival, and never by the clock, which may step back. `limits` points at the newest row of each
limit and `accounts` at the newest row with an account's facts, so that the present is one key look-up, however long
the history.

Files are private from the start: created with mode 0600, in a folder created with mode 0700. Readers open the file
read-only and never create it. No file is ever deleted: an older schema is copied before it is migrated, a damaged file
is renamed. Nothing heavy is imported here: reading commands run in shell prompts.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from typing import TYPE_CHECKING

from store import files, readable_rows, schema
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
"""How long one statement waits for another writer; the recorder tries again afterwards."""

READ_SECONDS = 5.0
"""How long a reader waits while the write-ahead log is locked for readers too, which is rare."""


MAX_STEPS = 1_000_000_000
"""How many steps of SQLite's virtual machine the questions to one connection may take, some 15 s; a long file may take
`_STEPS_PER_BYTE` more for each byte."""

_STEPS_PER_BYTE = 10  # the longest question over a year takes half a step
_STEPS_AT_ONCE = 1_000_000


def open_reader(path: Path, seconds: float = READ_SECONDS) -> sqlite3.Connection:
    """Open the database read-only, with `sqlite3.Row` rows; wait at most ``seconds`` for a lock.

    Raises:
        MissingError: There is no database yet.
        DatabaseError: It cannot be read: not ours, of another schema, not a database.

    """
    try:
        if not path.exists():
            raise MissingError(f"{path} is not there yet")
        if not path.is_file():  # opening a named pipe would wait for another program
            raise DatabaseError(f"{path} is not a regular file; name another file with --db or CODEX_TAP_DB")
    except OSError as error:
        raise DatabaseError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        connection, version = _open_reading(path, seconds)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise _translate_error(path, error) from error
    if version < schema.SCHEMA_VERSION:
        connection.close()
        if version == 0:
            raise MissingError(f"{path} is still empty")
        raise DatabaseError(
            f"{path} was written by an older codex-tap (schema {version}); start the proxy once to migrate it"
        )
    try:
        bound_questions(connection, path)
        readable_rows.show_readable_rows(connection, path)
    except BaseException as error:
        connection.close()
        if isinstance(error, (sqlite3.Error, UnicodeDecodeError)):
            raise _translate_error(path, error) from error
        raise
    connection.row_factory = sqlite3.Row
    return connection


def bound_questions(connection: sqlite3.Connection, path: Path) -> None:
    """Have the questions to a connection fail when they take more than the size of the file explains.

    The pages of a damaged or forged file may refer to each other in a way that makes a few of them into endless rows,
    and what its schema computes may have any length.
    """
    readable_rows.bound_values(connection)
    rounds = iter(range((MAX_STEPS + _STEPS_PER_BYTE * path.stat().st_size) // _STEPS_AT_ONCE))
    connection.set_progress_handler(lambda: next(rounds, None) is None, _STEPS_AT_ONCE)


def _open_reading(path: Path, seconds: float) -> tuple[sqlite3.Connection, int]:
    """Return a connection and the schema version of the file.

    A reader of a write-ahead log needs its index, a file beside the database. On a read-only medium SQLite cannot
    create that; where no log was left, the file is complete without, and nobody can write it.
    """
    try:
        return _with_version(_connect_reading(path, seconds), path)
    except sqlite3.OperationalError as error:
        log = path.with_name(f"{path.name}-wal")
        if error_code(error) != sqlite3.SQLITE_CANTOPEN or os.access(path.parent, os.W_OK) or log.exists():
            raise
    return _with_version(_connect_reading(path, seconds, "mode=ro&immutable=1"), path)


def _with_version(connection: sqlite3.Connection, path: Path) -> tuple[sqlite3.Connection, int]:
    try:
        return connection, schema.schema_version(connection, path)
    except BaseException:
        connection.close()
        raise


def _connect_reading(path: Path, seconds: float = READ_SECONDS, options: str = "mode=ro") -> sqlite3.Connection:
    return sqlite3.connect(files.sqlite_uri(path.resolve(), options), uri=True, timeout=seconds)


def open_empty() -> sqlite3.Connection:
    """Return a database in memory that has the whole schema and no row, for queries where there is no file yet."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.apply_migrations(connection)
    connection.row_factory = sqlite3.Row
    return connection


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the database for writing; create it or migrate its schema if needed.

    Raises:
        DatabaseError: It cannot be used: not ours, newer than this program, not writable, not a database.
        LockedError: Another writer holds it.
        FullError: The disk is full.
        DamagedError: It is ours and broken.

    """
    files.create_private(path)
    try:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        connection.text_factory = readable_rows.readable_text
        readable_rows.bound_values(connection)
        _ignore_triggers(connection)
    except sqlite3.Error as error:
        raise DatabaseError(f"{path}: {error}") from error
    try:
        _prepare(connection, path)
    except BaseException as error:
        connection.close()
        if isinstance(error, (sqlite3.Error, UnicodeDecodeError)):
            raise _translate_error(path, error) from error
        raise
    return connection


def _ignore_triggers(connection: sqlite3.Connection) -> None:
    """Keep the triggers and views of a file from doing anything: codex-tap has no triggers."""
    connection.execute("PRAGMA trusted_schema = OFF")
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, False)


def close_without_checkpoint(connection: sqlite3.Connection) -> None:
    """Close a connection whose file was replaced by another one.

    An ordinary close would delete the write-ahead log *by its name*, which is now that of the other file.
    """
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE)
        connection.close()
    else:
        _unclosed.append(connection)


_unclosed: list[sqlite3.Connection] = []
"""Python 3.11 cannot close without a checkpoint: these stay open as long as the process."""

_MAGIC = b"SQLite format 3\0"
_APPLICATION_ID_AT = slice(68, 72)


def _translate_error(path: Path, error: sqlite3.Error | UnicodeDecodeError) -> DatabaseError:
    if isinstance(error, UnicodeDecodeError):
        # The text of the schema, which SQLite quotes in its message.
        error = sqlite3.DatabaseError("its schema is not text")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    if is_locked(error):
        return LockedError(f"{path} is locked by another program")
    if is_full(error):
        return FullError(f"{path} cannot be written, the disk is full")
    if is_damage(error) and is_ours(path):
        message = f"{path} is damaged ({error}); the next start of the proxy sets it aside and creates a new one"
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
            # Before the write-ahead log exists, so that it is in the file itself, where `is_ours` looks.
            connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        connection.execute("PRAGMA journal_mode = WAL")
        _migrate(connection, path)
    try:
        for question in (*schema.PROBES, *readable_rows.PROBES):
            connection.execute(question).fetchone()
    except sqlite3.OperationalError as error:
        if error_code(error) == sqlite3.SQLITE_ERROR:  # no such table or column: its schema is not the one it names
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Apply pending migrations in one transaction: of two programs that start together one waits for the other."""
    with transaction(connection):
        version = schema.schema_version(connection, path)
        if version == schema.SCHEMA_VERSION:
            return
        with _backed_up(path, version) if version else contextlib.nullcontext():
            schema.apply_migrations(connection)


@contextlib.contextmanager
def _backed_up(path: Path, version: int) -> Iterator[None]:
    """Copy the database beside itself, with the same permissions; the copy is deleted if the block fails.

    It gets its name when the block is done: each start that is killed in a migration would leave another copy.
    """
    copy = files.backup_path(path, version)
    partial = copy.with_name(f"{copy.name}{files.PARTIAL_SUFFIX}")
    try:
        partial.unlink(missing_ok=True)  # of a program that was killed; one that runs has the lock, which is ours
        files.create_private(partial)
        with (
            contextlib.closing(_connect_reading(path)) as source,
            contextlib.closing(sqlite3.connect(partial)) as target,
        ):
            source.backup(target)
        yield
        partial.rename(copy)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold the one write lock from the start: a row that is read inside cannot change before it is written."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        # A full disk may have rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
