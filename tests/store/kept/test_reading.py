"""What a question gets of the kept rows."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, NoReturn

import pytest

from store.database import open_empty, open_reader
from store.files import kept_path
from store.kept.reading import ask_kept
from tests.store.kept.test_filling import NOW, daily
from tests.support.kept import SEEN, fill_all, kept_rows

if TYPE_CHECKING:
    from pathlib import Path

    from store.kept.kind import Kept


def test_without_a_file_nothing_is_kept(path: Path) -> None:
    """And none is made."""
    assert kept_rows(daily(path)) is None
    assert not kept_path(path).exists()
    with closing(open_empty()) as connection:
        assert ask_kept(connection, SEEN, lambda kept: kept) is None


def test_without_rows_of_its_kind_nothing_is_kept(path: Path) -> None:
    """Rows of others do not matter."""
    fill_all(daily(path), NOW)
    assert kept_rows(path, SEEN._replace(name="other")) is None


@pytest.mark.parametrize("error", [sqlite3.OperationalError("no such table"), ValueError("x"), TypeError("x")])
def test_rows_that_cannot_be_read_count_as_none(path: Path, error: Exception) -> None:
    """The rows of the database are asked then."""

    def read(_: Kept) -> NoReturn:
        raise error

    fill_all(daily(path), NOW)
    with closing(open_reader(path)) as source:
        assert ask_kept(source, SEEN, read) is None


def test_a_question_does_not_wait_for_a_filling(path: Path) -> None:
    """It reads what was stored before."""
    fill_all(daily(path), NOW)
    with closing(sqlite3.connect(kept_path(path), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM coverage")
        assert len(kept_rows(path) or ()) == 2 * 99
