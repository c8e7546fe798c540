"""The file of kept rows: private, and made anew where it cannot be used."""

from __future__ import annotations

import sqlite3
import stat
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from store.database import open_empty, open_reader
from store.files import kept_path
from store.kept.storage import database_of, delete_kept
from tests.store.kept.test_filling import NOW, daily
from tests.support.databases import damage
from tests.support.kept import SEEN, TOKENS, coverage, fill_all, kept_rows, stored_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _no_database(path: Path) -> None:
    path.write_bytes(b"not a database" * 1_000)


def _of_another_program(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE notes (text)")


def _of_another_layout(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA user_version = 99")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [_no_database, _of_another_program, _of_another_layout, _empty, damage])
def test_a_file_that_cannot_be_used_is_made_anew(path: Path, spoil: Callable[[Path], None]) -> None:
    """Until then nothing is kept."""
    fill_all(daily(path), NOW)
    rows = kept_rows(path)
    spoil(kept_path(path))
    assert kept_rows(path) is None
    assert fill_all(path, NOW)
    assert kept_rows(path) == rows


def test_other_rules_drop_the_rows_of_their_kind_alone(path: Path) -> None:
    """With their tables, which may have other columns."""
    fill_all(daily(path), NOW)
    other = SEEN._replace(rules=2, tables={"seen_percents": "used REAL, note TEXT DEFAULT 'new'"})
    hours = kept_rows(path, TOKENS)
    assert kept_rows(path, other) is None
    fill_all(path, NOW, other._replace(fill=lambda piece: piece.until))
    assert stored_rows(path) == []
    assert kept_rows(path) is None
    assert kept_rows(path, TOKENS) == hours


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes of files")
def test_the_file_is_private(path: Path) -> None:
    """And so is its folder."""
    fill_all(daily(path), NOW)
    file = kept_path(path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_in_the_place_of_the_file_is_not_followed(path: Path, tmp_path: Path) -> None:
    """It may lead to a file of the user's."""
    fill_all(daily(path), NOW)
    file = kept_path(path)
    file.rename(tmp_path / "other")
    file.symlink_to(tmp_path / "other")
    assert kept_rows(path) is None
    assert not fill_all(path, NOW)


def test_a_broken_value_counts_as_nothing_kept(path: Path) -> None:
    """A bit may have flipped."""
    fill_all(daily(path), NOW)
    with closing(sqlite3.connect(kept_path(path))) as connection, connection:
        connection.execute("UPDATE coverage SET until = 'x'")
    assert coverage(path) == {}


def test_deleting(path: Path) -> None:
    """What is not there is deleted already."""
    fill_all(daily(path), NOW)
    delete_kept(path)
    assert not kept_path(path).exists()
    delete_kept(path)


def test_which_file_a_connection_reads(path: Path) -> None:
    """None for a database in memory: nothing is kept of it."""
    with closing(open_reader(daily(path))) as connection:
        found = database_of(connection)
        assert found is not None
        assert kept_path(found) == kept_path(path)
    with closing(open_empty()) as connection:
        assert database_of(connection) is None
