"""The kinds of SQLite's errors, and the place of any error."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from store.errors import error_code, error_place, is_damage, is_full, is_locked
from tests.support.recorded_rows import locked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def lock(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE numbers (number INTEGER)")
    with locked(path), closing(sqlite3.connect(path, timeout=0)) as connection:
        connection.execute("INSERT INTO numbers VALUES (1)")


def break_header(path: Path) -> None:
    path.write_bytes(b"not a database" * 100)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("SELECT * FROM sqlite_master")


def fill(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA max_page_count = 2")
        connection.execute("CREATE TABLE texts (text TEXT)")
        connection.execute("INSERT INTO texts VALUES (zeroblob(100000))")


def mistype(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("SELEKT 1")


@pytest.mark.parametrize(
    ("cause", "kinds"),
    [
        (lock, (True, False, False)),
        (break_header, (False, True, False)),
        (fill, (False, False, True)),
        (mistype, (False, False, False)),
    ],
)
def test_kinds(tmp_path: Path, cause: Callable[[Path], None], kinds: tuple[bool, bool, bool]) -> None:
    """A real error of SQLite is a lock, damage, a full disk, or none of the three."""
    with pytest.raises(sqlite3.Error) as caught:
        cause(tmp_path / "tap.sqlite3")
    assert (is_locked(caught.value), is_damage(caught.value), is_full(caught.value)) == kinds


@pytest.mark.parametrize(
    ("extended", "code", "full"),
    [
        (sqlite3.SQLITE_BUSY_SNAPSHOT, sqlite3.SQLITE_BUSY, False),
        (sqlite3.SQLITE_CORRUPT_VTAB, sqlite3.SQLITE_CORRUPT, False),
        (sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR, True),
        (sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR, False),
    ],
)
def test_extended_codes(extended: int, code: int, *, full: bool) -> None:
    """Of an extended code the primary one counts; no room for the log's index is a full disk too."""
    error = sqlite3.OperationalError("made up")
    error.sqlite_errorcode = extended
    assert (error_code(error), is_full(error)) == (code, full)


def test_error_without_a_code() -> None:
    """Errors of the sqlite3 module itself carry no code."""
    error = sqlite3.ProgrammingError("made up")
    assert error_code(error) == 0
    assert [is_locked(error), is_damage(error), is_full(error)] == [False] * 3


def test_place() -> None:
    """The place is the innermost file and line, without the message."""
    with pytest.raises(sqlite3.OperationalError) as caught:
        mistype_in_memory()
    assert error_place(caught.value) == f"test_errors.py:{mistype_in_memory.__code__.co_firstlineno + 2}"
    assert error_place(ValueError("never raised")) == "?"


def mistype_in_memory() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("SELEKT 'a secret'")
