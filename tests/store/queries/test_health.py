"""How much was recorded, and what was lost."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from store.database import open_reader, open_writer
from store.queries.health import count_unreadable, load_last_read, load_last_turns, load_losses, load_summary
from store.record.statements import Loss, insert_losses
from tests.support.command_line import invoke
from tests.support.databases import record
from tests.support.factories import BOB, NOON, turn, used

if TYPE_CHECKING:
    from pathlib import Path


def test_a_summary_counts_rows(path: Path) -> None:
    """It has the time of the newest reading, whose snapshot may have begun earlier."""
    with closing(open_writer(path)) as connection:
        assert load_summary(connection) == (0, 0, None)
    record(path, used(1), used(2, at=NOON + 60), used(2, at=NOON + 90), used(3, at=NOON + 30, who=BOB))
    with closing(open_reader(path)) as connection:
        assert load_summary(connection) == (2, 3, NOON + 90)


def test_losses_are_summed_by_reason(path: Path) -> None:
    """The most frequent reason comes first."""
    with closing(open_writer(path)) as connection:
        insert_losses(connection, [Loss(NOON, 2, "full"), Loss(NOON + 90, 7, "damaged"), Loss(NOON + 60, 3, "full")])
    with closing(open_reader(path)) as connection:
        assert load_losses(connection) == (12, NOON + 90, ("damaged", "full"))


def test_a_database_without_losses(path: Path) -> None:
    """There is nothing to report."""
    with closing(open_reader(record(path, used(1)))) as connection:
        assert load_losses(connection) is None


def test_the_last_reading_may_be_a_turn(path: Path) -> None:
    """A turn with an API key has no limits."""
    with closing(open_writer(path)) as connection:
        assert load_last_read(connection) == (None, False)
    record(path, used(1, at=NOON + 60), turn(at=NOON + 30), turn(at=NOON + 90, who=BOB))
    with closing(open_reader(path)) as connection:
        assert load_last_read(connection) == (NOON + 90, False)


def test_the_newest_rows_were_deleted(path: Path) -> None:
    """With an account; deleted older rows do not matter."""
    record(path, used(1, at=NOON), turn(at=NOON), turn(at=NOON, who=BOB), used(2, at=NOON + 90))
    with closing(open_writer(path)) as connection:
        connection.execute("DELETE FROM snapshots WHERE id = 1")
        assert load_last_read(connection) == (NOON + 90, False)
        connection.execute("DELETE FROM accounts WHERE account_id = ?", (BOB.account_id,))
        assert load_last_read(connection) == (NOON + 90, True)


def test_the_last_turn_of_a_thread(path: Path) -> None:
    """It may be an account's or another's; a client without threads is found by its session."""
    record(
        path,
        turn("t-1", at=NOON),
        turn("t-1", at=NOON + 60, who=BOB),
        turn("t-2", at=NOON + 120, session="s-1"),
        turn(None, at=NOON + 180, session="s-2"),
    )
    with closing(open_reader(path)) as connection:
        assert load_last_turns(connection, ["t-1", "s-2", "t-9"]) == {"t-1": NOON + 60, "s-2": NOON + 180}
        assert load_last_turns(connection, []) == {}


@pytest.mark.parametrize(
    ("change", "number"),
    [
        ("snapshots SET last_seen_at = 'noon' WHERE account = 1", 1),
        ("snapshots SET late = 5", 2),
        ("limits SET snapshot_id = 999 WHERE account = 2", 1),
        ("limits SET limit_id = x'ff' WHERE account = 2", 1),
        ("snapshots SET used_5h_percent = -1", 0),
    ],
)
def test_limits_whose_newest_reading_is_damaged(path: Path, change: str, number: int) -> None:
    """`doctor` names them; a reading with a figure that is not there is a reading."""
    record(path, used(13), used(20, who=BOB))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE {change}")
    with closing(open_reader(path)) as connection:
        assert count_unreadable(connection) == number
    named = f"limits whose newest snapshot is damaged and cannot be read: {number}"
    assert (named in " ".join(invoke("doctor", "--db", path).output.split())) is bool(number)
