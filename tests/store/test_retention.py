"""The deletion of old rows, by the recorder and by `prune`."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.database import open_reader, open_writer
from store.outbox.tables import shipped_rows
from store.queries.accounts import load_accounts
from store.queries.status import load_status
from store.record.recorder import Recorder
from store.retention import prune
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, limit, snapshot, used, windows
from tests.support.synthetic_history import generate_month

if TYPE_CHECKING:
    from pathlib import Path

    from store.documents import StatusDocument

DAY = 86_400


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the bytes of a database with a month of use."""
    return generate_month(tmp_path_factory.mktemp("month") / "month.sqlite3").read_bytes()


@pytest.fixture
def path(month: bytes, tmp_path: Path) -> Path:
    found = tmp_path / "month.sqlite3"
    found.write_bytes(month)
    return found


def ask(path: Path, query: str, *values: float) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query, values).fetchall()


def present(path: Path, now: float) -> StatusDocument:
    with closing(open_reader(path)) as connection:
        return load_status(connection, now, load_accounts(connection))


def prune_all(path: Path, before: float, most: int = 500) -> int:
    with closing(open_writer(path)) as connection:
        deleted = 0
        while step := prune(connection, before, most):
            assert step <= most
            deleted += step
        return deleted


# Deleting


def test_only_old_rows_are_deleted(path: Path) -> None:
    """Old are readings last seen before the timestamp, turns that ended before it, and threads without turns."""
    before = time.time() - 10 * DAY
    newer = ask(path, "SELECT count(*) FROM snapshots WHERE last_seen_at >= ?", before)
    turns = ask(path, "SELECT count(*) FROM requests WHERE ended_at >= ?", before)
    threads = ask(path, "SELECT * FROM threads WHERE name IS NOT NULL OR last_seen_at >= ?", before - 3_600)
    assert prune_all(path, before) > 1_000
    assert ask(path, "SELECT count(*) FROM snapshots") == newer
    assert ask(path, "SELECT count(*) FROM requests") == turns
    assert ask(path, "SELECT count(*) FROM requests WHERE ended_at < ?", before) == [(0,)]
    assert ask(path, "SELECT * FROM threads") == threads


def test_the_present_is_untouched(path: Path) -> None:
    """`status` has the same result after every step of the deletion: the current rows stay."""
    now = time.time()
    before = present(path, now)
    prune_all(path, now + DAY)
    assert present(path, now) == before
    assert ask(path, "SELECT count(*) FROM snapshots") == ask(path, "SELECT count(*) FROM limits")
    assert ask(path, "SELECT count(*) FROM requests") == [(0,)]


def test_a_named_thread_stays(path: Path) -> None:
    """A thread with a name stays, since its owner may continue it."""
    named = ask(path, "SELECT * FROM threads WHERE name IS NOT NULL")
    prune_all(path, time.time() + DAY)
    assert ask(path, "SELECT * FROM threads") == named
    assert named


def test_the_age_of_a_reading(tmp_path: Path) -> None:
    """A reading is as old as its last observation, whenever the first one was."""
    now = time.time()
    seen = [used(1, at=now - 9 * DAY), used(1, at=now - DAY), used(2, at=now, plan_type="plus")]
    path = record(tmp_path / "db.sqlite3", *seen)
    assert prune_all(path, now - 2 * DAY) == 0
    assert prune_all(path, now - DAY / 2) == 1


def test_the_facts_of_an_account_stay(tmp_path: Path) -> None:
    """If plan and credits are those of another limit's newer reading, both rows stay."""
    now = time.time()
    seen = [
        snapshot(limit(windows(1, 2, at=now), limit_id="codex_bengalfox"), at=now - 9 * DAY, plan_type="pro"),
        snapshot(limit(windows(3, 4, at=now)), at=now - 8 * DAY, plan_type="pro"),
    ]
    path = record(tmp_path / "db.sqlite3", *seen)
    before = present(path, now)
    prune_all(path, now)
    assert present(path, now) == before


def test_one_step_is_bounded(path: Path) -> None:
    """A writer that prunes from time to time holds the lock for a bounded number of rows."""
    with closing(open_writer(path)) as connection:
        assert prune(connection, time.time(), 7) == 7
        assert prune(connection, 0) == 0


def test_old_rows_are_found_by_an_index(path: Path) -> None:
    """No step scans the whole history, whether it finds rows or not."""
    from store.retention import _OLD_ROWS

    with closing(open_writer(path)) as connection:
        values = {"before": 0, "most": 1, **shipped_rows(connection)._asdict()}
        for _, old in _OLD_ROWS:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {old}", values).fetchall()
            steps = [step[3] for step in plan]
            assert not any(step.startswith(("SCAN s", "SCAN r")) for step in steps), steps
            assert any("_at<?" in step for step in steps), steps


def test_a_recorder_goes_on_while_rows_are_deleted(tmp_path: Path) -> None:
    """The recorder's cache of the newest rows stays valid."""
    path = tmp_path / "db.sqlite3"
    now = time.time()
    recorder = Recorder(path)
    recorder.start()
    for number in range(200):
        recorder.put(used(number % 100, at=now - 9 * DAY + number))
    assert recorder.close()
    recorder = Recorder(path)
    recorder.start()
    recorder.put(used(42, at=now - 60))
    prune_all(path, now - DAY)
    recorder.put(used(42, at=now))
    assert recorder.close()
    (limits,) = present(path, now)["accounts"]
    assert limits["limits"][0]["windows"]["5h"]["used_percent"] == 42
    assert not ask(path, "PRAGMA foreign_key_check")


@given(
    st.lists(
        st.tuples(st.sampled_from([ALICE, BOB]), st.integers(0, 40), st.integers(0, 100)), min_size=1, max_size=12
    ),
    st.integers(0, 40),
)
def test_the_present_stays_after_any_history(
    tmp_path_factory: pytest.TempPathFactory, seen: list[tuple[Any, int, int]], days: int
) -> None:
    """Even after steps of the clock, `status` has the same result before and after the deletion."""
    now = time.time()
    readings = [used(figure, who=who, at=now - ago * DAY) for who, ago, figure in seen]
    path = record(tmp_path_factory.mktemp("any") / "db.sqlite3", *readings)
    before = present(path, now)
    prune_all(path, now - days * DAY, 3)
    assert present(path, now) == before
