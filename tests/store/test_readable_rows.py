"""What a reader sees of a file with values that were never recorded, and the schema that a file has to have."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from store.database import open_reader, open_writer
from store.errors import DatabaseError
from store.readable_rows import MAX_TEXT, TABLES
from tests.support.databases import record
from tests.support.factories import turn, used

if TYPE_CHECKING:
    from pathlib import Path


def test_each_column_is_described(path: Path) -> None:
    """In the order of the table; `rowid` is shown beside them."""
    open_writer(path).close()
    with closing(sqlite3.connect(path)) as connection:
        for table, columns in TABLES.items():
            found = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            assert [each.split(":")[0] for each in columns.split() if not each.startswith("rowid:")] == found


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ("snapshots SET used_5h_percent = 13", (13.0, None)),
        ("snapshots SET used_5h_percent = 0", (0.0, None)),
        ("snapshots SET used_5h_percent = -1", (None, None)),
        ("snapshots SET used_5h_percent = 9e999", (None, None)),
        ("snapshots SET used_5h_percent = 'full'", (None, None)),
        ("snapshots SET used_5h_percent = x'00'", (None, None)),
        ("snapshots SET plan_type = 'plus'", (13.0, "plus")),
        ("snapshots SET plan_type = x'ff'", (13.0, None)),
        ("snapshots SET plan_type = CAST(x'706cff' AS TEXT)", (13.0, "pl\ufffd")),
        (f"snapshots SET plan_type = printf('%.{MAX_TEXT}c', 'x')", (13.0, "x" * MAX_TEXT)),
        (f"snapshots SET plan_type = printf('%.{MAX_TEXT + 1}c', 'x')", (13.0, None)),
        ("snapshots SET first_seen_at = 'noon'", None),
        ("snapshots SET first_seen_at = 1e300", None),
        ("snapshots SET last_seen_at = -1", None),
        ("snapshots SET late = 7", None),
        ("snapshots SET limit_id = x'ff'", None),
        ("snapshots SET observations = 'many'", None),
    ],
)
def test_a_value_that_was_never_recorded_is_not_there(path: Path, change: str, seen: tuple[Any, ...] | None) -> None:
    """Without a value that every row has, the whole row is not there."""
    record(path, used(13))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE {change}")
    with closing(open_reader(path)) as connection:
        row = connection.execute("SELECT used_5h_percent, plan_type FROM snapshots").fetchone()
    assert (None if row is None else tuple(row)) == seen


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE losses",
        "ALTER TABLE limits RENAME TO old; CREATE VIEW limits AS SELECT * FROM old",
        "ALTER TABLE sightings RENAME TO old; CREATE VIRTUAL TABLE sightings USING fts5(kind)",
    ],
    ids=["missing", "view", "virtual table"],
)
def test_what_is_read_are_tables(path: Path, change: str) -> None:
    """A view could read forever, or read something else."""
    record(path, used(13))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.executescript(change)
    with pytest.raises(DatabaseError, match="has no table"):
        open_reader(path)


def test_the_indexes_are_used(path: Path) -> None:
    """The conditions of a view must not make a search walk the history."""
    record(path, used(13), turn())
    questions = [
        "SELECT id FROM snapshots WHERE account = 1 AND limit_id = 'codex' AND first_seen_at >= 5 AND late = 0",
        "SELECT max(first_seen_at) FROM snapshots WHERE account = 1 AND limit_id = 'codex' AND first_seen_at < 5",
        "SELECT id FROM requests WHERE account = 1 AND ended_at > 5 ORDER BY ended_at",
        "SELECT s.* FROM limits l JOIN snapshots s ON s.id = l.snapshot_id",
    ]
    with closing(open_reader(path)) as connection:
        plans = [[row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {each}")] for each in questions]
    assert "first_seen_at>" in plans[0][0]
    assert "first_seen_at<" in plans[1][-1]
    assert "ended_at>" in plans[2][0]
    assert any("INTEGER PRIMARY KEY" in step for step in plans[3])
