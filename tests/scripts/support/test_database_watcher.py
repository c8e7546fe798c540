"""Detection of changes of the database."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from scripts.support.database_watcher import DatabaseWatcher
from tests.support.command_line import WINDOWS
from tests.support.databases import record
from tests.support.factories import NOON, used

if TYPE_CHECKING:
    from pathlib import Path


def test_each_write_changes_the_state(path: Path) -> None:
    """Without a write the state stays the same."""
    record(path, used(1))
    with closing(DatabaseWatcher(path)) as watcher:
        first = watcher.state()
        assert watcher.state() == first
        record(path, used(2, at=NOON + 60))
        second = watcher.state()
        assert second != first
        assert watcher.state() == second


def test_a_database_created_later_changes_the_state(path: Path) -> None:
    """Watching creates no database."""
    with closing(DatabaseWatcher(path)) as watcher:
        missing = watcher.state()
        assert watcher.state() == missing
        assert not path.exists()
        record(path, used(1))
        assert watcher.state() != missing


@pytest.mark.skipif(WINDOWS, reason="an open file cannot be deleted there")
def test_a_recreated_database_changes_the_state(path: Path) -> None:
    """Later writes to the new file are detected, too."""
    record(path, used(1))
    with closing(DatabaseWatcher(path)) as watcher:
        before = watcher.state()
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()
        record(path, used(1))
        recreated = watcher.state()
        assert recreated != before
        record(path, used(2, at=NOON + 60))
        assert watcher.state() != recreated


def test_a_damaged_database_is_a_state(path: Path) -> None:
    """Damage raises no error, and a repair changes the state."""
    content = record(path, used(1)).read_bytes()
    with closing(DatabaseWatcher(path)) as watcher:
        path.write_bytes(b"not a database" * 1_000)
        damaged = watcher.state()
        assert watcher.state() == damaged
        path.write_bytes(content)
        assert watcher.state() != damaged


def test_a_closed_watcher_opens_the_database_again(path: Path) -> None:
    """A watcher may be closed twice, and then detects changes as before."""
    record(path, used(1))
    watcher = DatabaseWatcher(path)
    watcher.state()
    watcher.close()
    watcher.close()
    first = watcher.state()
    record(path, used(2, at=NOON + 60))
    assert watcher.state() != first
    watcher.close()


def test_a_change_while_a_watcher_is_closed(path: Path) -> None:
    """A connection counts changes from its opening on, so a state from before may come again only if it names that."""
    record(path, used(1))
    with closing(DatabaseWatcher(path)) as watcher:
        before = watcher.state()
        watcher.close()
        record(path, used(2, at=NOON + 60))
        assert watcher.state() != before
