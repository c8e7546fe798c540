"""Errors of the database, and the SQLite errors behind them."""

from __future__ import annotations

import sqlite3
from pathlib import Path


class DatabaseError(Exception):
    """The database cannot be used; the message says why and what to do."""


class SettingError(Exception):
    """A setting names a place that does not exist; the message says which and what to do."""


class LockedError(DatabaseError):
    """Another writer holds the database now; try again later."""


class FullError(DatabaseError):
    """The disk is full now; try again later."""


class RefusedBatchError(DatabaseError):
    """A team's database does not store a batch, because a row of it cannot be right."""


class OtherMachineError(DatabaseError):
    """A team's database knows a file as one that another role ships."""


class DamagedError(DatabaseError):
    """The database is ours and broken; `store.files.quarantine` makes room for a new one."""

    def __init__(self, message: str, inode: Inode | None) -> None:
        super().__init__(message)
        self.inode = inode


class MissingError(DatabaseError):
    """There is no database yet, or nothing in it."""


Inode = tuple[int, int]
"""Identifies a file, as another one may be at the same path."""


def is_locked(error: sqlite3.Error) -> bool:
    """Return True if an error says that another connection holds the file."""
    return error_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_damage(error: sqlite3.Error) -> bool:
    """Return True if an error says that the file's contents are broken."""
    return error_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_full(error: sqlite3.Error) -> bool:
    """Return True if an error says that the disk is full."""
    # SQLite reports the second if there is no room for the index of the write-ahead log.
    extended = getattr(error, "sqlite_errorcode", 0)
    return extended in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)


def error_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code of an error, or 0."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def failure_text(error: sqlite3.Error) -> str:
    """Return what a failure of SQLite was, for people."""
    if error_code(error) == sqlite3.SQLITE_INTERRUPT:  # `store.database.bound_questions`
        return "a question takes longer than the size of the file explains; it is damaged"
    return str(error)


def error_place(error: BaseException) -> str:
    """Return where an error was raised, ``headers.py:42``: what can be logged when its message may hold traffic."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
