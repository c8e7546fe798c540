"""What late rows, edits and other databases leave of the coverage of kept rows."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from store import edits
from store.database import open_writer, transaction
from store.edit_log import log_edit
from store.kept.kind import FINAL_SECONDS, Coverage
from store.kept.reading import ask_kept
from store.retention import prune
from tests.store.kept.test_filling import END, NOW, daily
from tests.support.databases import record
from tests.support.factories import NOON, turn, used
from tests.support.kept import DAY, HOUR, SEEN, TOKENS, coverage, fill_all, kept_rows, stored_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WHOLE = Coverage(0.0, END)


@pytest.fixture(name="full")
def _full(path: Path) -> Path:
    """Return a database whose rows of a hundred days are kept."""
    assert fill_all(daily(path), NOW)
    return path


def _late_turn(path: Path) -> None:
    record(path, turn("t-9", at=NOON + 50 * DAY, tokens={"output": 7}))


def _late_snapshot(path: Path) -> None:
    """Insert a snapshot of Bob's, with a time fifty days after noon."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO snapshots (account, token_key, limit_id, first_seen_at, last_seen_at, source, raw)"
            " VALUES (2, 'k~0', 'codex', :at, :at, 'headers', '{}')",
            {"at": NOON + 50 * DAY - 5},
        )


def _edit_of_bob(path: Path) -> None:
    with closing(open_writer(path)) as connection:
        log_edit(connection, account=2, since=NOON + 50 * DAY - 5)


@pytest.mark.parametrize(
    ("change", "account"),
    [
        pytest.param(_late_turn, 1, id="a turn that was stored late"),
        pytest.param(_late_snapshot, 2, id="a snapshot with an old time"),
        pytest.param(_edit_of_bob, 2, id="rows that were changed"),
    ],
)
def test_what_comes_late_ends_the_coverage_before_it(full: Path, change: Callable[[Path], None], account: int) -> None:
    """Of its account alone; a filling makes the rest anew, with what came."""
    change(full)
    left = coverage(full)
    assert left[account].until < NOON + 50 * DAY - 4
    assert left[account].until > NOON + 50 * DAY - 6
    assert left[3 - account] == WHOLE
    hours = coverage(full, TOKENS)
    assert hours[account].until == (NOON + 50 * DAY - 5) // HOUR * HOUR
    fill_all(full, NOW)
    assert coverage(full) == {1: WHOLE, 2: WHOLE}
    expected = {(row[1], row[2]) for row in _snapshots(full, account) if row[1] <= END}
    assert {(row[1], row[2]) for row in stored_rows(full) if row[0] == account} == expected


def _snapshots(path: Path, account: int) -> list[tuple[int, float, float]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            "SELECT account, first_seen_at, used_5h_percent FROM snapshots WHERE account = ?", (account,)
        ).fetchall()


def test_new_rows_leave_the_coverage(full: Path) -> None:
    """They are newer than its end."""
    record(full, used(5, at=NOW), turn(at=NOW))
    assert coverage(full) == {1: WHOLE, 2: WHOLE}


def test_a_merge_drops_both_accounts(full: Path) -> None:
    """Their rows became those of one account."""
    with closing(open_writer(full)) as connection, transaction(connection):
        edits.merge_accounts(connection, 1, 2)
    assert coverage(full) == {}
    fill_all(full, NOW)
    assert {row[0] for row in stored_rows(full)} == {1}
    assert len(stored_rows(full)) == len({row[1:] for row in _snapshots(full, 1) if row[1] <= END})


def test_deleted_old_rows_are_not_kept(full: Path) -> None:
    """The first remaining row has none before it any more: coverage begins with it."""
    before = NOON + 30 * DAY + HOUR
    with closing(open_writer(full)) as connection:
        while prune(connection, before):
            pass
    assert coverage(full) == dict.fromkeys((1, 2), Coverage(NOON + 31 * DAY, END))
    assert next(row[1] for row in kept_rows(full) or ()) == NOON + 32 * DAY
    fill_all(full, NOW)
    assert coverage(full) == {1: WHOLE, 2: WHOLE}
    facts = NOON
    assert {row[1] for row in stored_rows(full)} == {facts, *(NOON + day * DAY for day in range(31, 99))}


def test_a_database_that_was_created_again_has_nothing_kept(full: Path) -> None:
    """The same path, but other rows."""
    full.unlink()
    daily(full, 10)
    assert kept_rows(full) is None
    fill_all(full, NOON + 10 * DAY)
    assert {row[1] for row in stored_rows(full)} == {NOON + day * DAY for day in range(9)}


def test_of_a_copy_that_was_put_back_only_what_was_final_in_it_is_used(path: Path, tmp_path: Path) -> None:
    """Once other rows follow in it, nothing is."""
    daily(path, 50)
    copy = tmp_path / "copy"
    shutil.copy(path, copy)
    record(path, *(used(day % 90, at=NOON + day * DAY) for day in range(50, 100)))
    fill_all(path, NOW)
    shutil.copy(copy, path)
    newest = NOON + 49 * DAY + 60
    assert coverage(path)[1].until == pytest.approx(newest - FINAL_SECONDS)
    record(path, *(used(day % 80, at=NOON + day * DAY + 9) for day in range(50, 200)))
    assert kept_rows(path) is None
    fill_all(path, NOW + 100 * DAY, SEEN)
    assert (1, NOON + 60 * DAY + 9, 60.0) in stored_rows(path)


def test_a_state_from_before_a_change_uses_nothing(full: Path) -> None:
    """A long question sees the database as it was when it began; the rows kept by then are newer."""
    with closing(open_writer(full)) as writer, closing(open_writer(full)) as source:
        source.execute("BEGIN")
        source.execute("SELECT 1 FROM snapshots").fetchone()
        edits.forget_account(writer, 1)
        fill_all(full, NOW)
        assert ask_kept(source, SEEN, lambda kept: dict(kept.coverage)) is None
    assert set(coverage(full)) == {2}
