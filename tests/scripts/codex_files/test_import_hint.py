"""The one line that mentions the import."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from scripts.codex_files.import_hint import HINT, import_hint
from scripts.codex_files.session_import import ImportQuery, import_sessions
from store.database import open_writer
from tests.support.databases import damage, record
from tests.support.factories import NOON, used
from tests.support.session_files import SessionText

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home with one session."""
    SessionText().begin(NOON).write(tmp_path / "codex")
    return tmp_path / "codex"


def hint(path: Path, home: Path) -> str | None:
    return import_hint(path, {"CODEX_HOME": str(home)})


def test_while_codex_tap_is_new(path: Path, home: Path) -> None:
    """Without a database, with an empty one, and on the first day."""
    assert hint(path, home) == HINT
    open_writer(path).close()
    assert hint(path, home) == HINT
    record(path, used(13, at=time.time() - 3_600))
    assert hint(path, home) == HINT


def test_not_without_session_files(path: Path, tmp_path: Path) -> None:
    """There is nothing to import."""
    assert hint(path, tmp_path) is None


def test_not_later(path: Path, home: Path) -> None:
    """A day after the first reading it has been read, or is not wanted."""
    record(path, used(13, at=time.time() - 2 * 86_400))
    assert hint(path, home) is None


def test_not_after_an_import(path: Path, home: Path) -> None:
    """It was done."""
    with closing(open_writer(path)) as connection:
        query = ImportQuery([home], NOON + 100)
        import_sessions(connection, query, on_start=lambda _: None, on_bytes=lambda _: None)
    assert hint(path, home) is None


def test_not_of_a_database_that_cannot_be_read(path: Path, home: Path) -> None:
    """The command itself says what is wrong with it."""
    damage(record(path, used(13)))
    assert hint(path, home) is None
