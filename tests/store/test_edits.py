"""Names given by a person, and the deletion of an account."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

from store import edits
from store.database import open_writer
from tests.support.databases import record
from tests.support.factories import BOB, turn, used
from tests.support.recorded_rows import figures, rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database as a command that changes it does."""
    with contextlib.closing(open_writer(path)) as connection:
        yield connection


def test_the_name_of_an_account(path: Path) -> None:
    """An account gets a name, another one, and none again; the other accounts keep theirs."""
    record(path, used(13), used(50, who=BOB))
    names = []
    with writing(path) as connection:
        edits.rename_account(connection, 2, "home")
        for name in ("work", "office", None):
            edits.rename_account(connection, 1, name)
            names.append([row["name"] for row in rows(path, "SELECT name FROM accounts ORDER BY id")])

    assert names == [["work", "home"], ["office", "home"], [None, "home"]]


def test_names_of_accounts_are_unique(path: Path) -> None:
    """A name that another account has is refused, and nothing changes."""
    record(path, used(13), used(50, who=BOB))
    with writing(path) as connection:
        edits.rename_account(connection, 1, "work")
        with pytest.raises(sqlite3.IntegrityError):
            edits.rename_account(connection, 2, "work")

    assert [row["name"] for row in rows(path, "SELECT name FROM accounts ORDER BY id")] == ["work", None]


def test_the_name_of_a_thread(path: Path) -> None:
    """A thread gets its name in every account that it ran on, and loses it there."""
    record(path, turn("t-1"), turn("t-2"), turn("t-1", who=BOB))
    names = []
    with writing(path) as connection:
        for name in ("refactor", None):
            edits.rename_thread(connection, "t-1", name)
            names.append([row["name"] for row in rows(path, "SELECT name FROM threads ORDER BY account, thread")])

    assert names == [["refactor", None, "refactor"], [None, None, None]]


def test_a_forgotten_account_is_deleted_to_the_last_byte(path: Path) -> None:
    """An account's rows are deleted, also from the free pages of the file; other accounts keep theirs."""
    record(path, used(13), used(50, who=BOB), used(14))
    with writing(path) as connection:
        edits.forget_account(connection, 1)

    assert figures(path) == [(50.0, 1)]
    assert rows(path, "SELECT count(*) AS left FROM tokens") == [{"left": 1}]
    assert b"alice" not in path.read_bytes()
    assert b"bob@example.com" in path.read_bytes()


def test_turns_are_deleted_with_their_account(path: Path) -> None:
    """Nothing of an account's turns and threads is left in the file."""
    record(path, used(13), turn("the-thread-of-alice"), turn("t-2", who=BOB))
    with writing(path) as connection:
        edits.forget_account(connection, 1)

    assert [row["thread"] for row in rows(path, "SELECT * FROM requests")] == ["t-2"]
    assert [row["thread"] for row in rows(path, "SELECT * FROM threads")] == ["t-2"]
    assert b"the-thread-of-alice" not in path.read_bytes()
