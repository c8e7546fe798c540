"""The rows that a deletion of old data would delete, and the size of the file."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from store.database import open_reader, open_writer
from store.queries.accounts import load_accounts
from store.queries.retention import PruneCounts, file_bytes, prune_counts
from store.retention import prune
from tests.support.databases import record
from tests.support.factories import BOB, NOON, turn, used

if TYPE_CHECKING:
    from pathlib import Path


DAY = 86_400


@pytest.fixture
def path(path: Path) -> Path:
    """Ten days of Alice, a turn and a thread each, and one old snapshot of Bob."""
    days = [NOON + day * DAY for day in range(10)]
    alice = (
        each
        for day, at in enumerate(days)
        for each in (used(day, at=at, plan_type="plus"), turn(f"thread-{day}", at=at))
    )
    return record(path, *alice, used(50, who=BOB))


def counts(path: Path, before: float) -> list[PruneCounts]:
    """The counts of all accounts."""
    with closing(open_reader(path)) as connection:
        return prune_counts(connection, before, load_accounts(connection))


def test_counts_are_those_of_the_deletion(path: Path) -> None:
    """The newest snapshot of each limit stays, and the first snapshot with the account's present facts."""
    before = NOON + 5 * DAY
    alice, bob = counts(path, before)
    assert alice[1:] == (4, 5, 0, 5, 6, 5)
    assert bob[1:] == (0, 0, 0, 0, 1, 0)
    deleted = 0
    with closing(open_writer(path)) as connection:
        while step := prune(connection, before):
            deleted += step
    assert deleted == alice.rows + bob.rows
    assert [(each.rows, each.snapshots_kept, each.turns_kept) for each in counts(path, before)] == [
        (0, 6, 5),
        (0, 1, 0),
    ]


def test_everything_but_the_present_can_be_deleted(path: Path) -> None:
    """The document has the counts with the account."""
    alice, _ = counts(path, NOON + 99 * DAY)
    assert alice.document == {
        "account": "acct-a/user-a",
        "label": "alice@example.com",
        "name": None,
        "email": "alice@example.com",
        "snapshots": 8,
        "turns": 10,
        "imported_limits": 0,
        "threads": 10,
        "snapshots_kept": 2,
        "turns_kept": 0,
    }


def test_the_size_is_that_of_the_file(path: Path) -> None:
    """Deleted rows leave pages that are free for new rows."""
    with closing(open_writer(path)) as connection:
        size, _ = file_bytes(connection)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert size == path.stat().st_size
        connection.execute("CREATE TABLE filler AS SELECT randomblob(100000) AS bytes")
        full = file_bytes(connection)
        connection.execute("DROP TABLE filler")
        emptied = file_bytes(connection)
    assert full[0] > size
    assert emptied[0] == full[0]
    assert emptied[1] >= full[1] + 100_000
