"""What a batch says."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest

from store.database import open_reader
from store.models import Limit, Window
from store.outbox.batch import IMPORTED_LIMIT_COLUMNS, REQUEST_COLUMNS, SNAPSHOT_COLUMNS, read_batch
from store.outbox.ledger import Outbox
from store.outbox.privacy import account_number
from store.readable_rows import TABLES
from tests.support.databases import record
from tests.support.factories import snapshot, turn, used

if TYPE_CHECKING:
    from pathlib import Path

    from store.outbox.batch import Batch

_NOW = time.time() - 1_000


@pytest.mark.parametrize(
    ("table", "sent", "kept_back"),
    [
        ("snapshots", SNAPSHOT_COLUMNS, {"id", "account", "raw"}),
        ("requests", REQUEST_COLUMNS, {"id", "account", "session", "session_key", "response_id"}),
        ("imported_limits", IMPORTED_LIMIT_COLUMNS, {"account"}),
    ],
)
def test_each_column_is_either_sent_or_kept_back(table: str, sent: tuple[str, ...], kept_back: set[str]) -> None:
    """A new column is sent only when somebody has decided so."""
    columns = [each.split(":")[0] for each in TABLES[table].split()]
    assert sorted(columns) == sorted({*sent, *kept_back})


def _batch(path: Path, **options: Any) -> Batch | None:
    with Outbox(path) as outbox, contextlib.closing(open_reader(path)) as connection:
        since = outbox.find(None)
        assert since is not None
        return read_batch(connection, outbox.machine, since, **options)


def test_an_empty_database_has_no_batch(path: Path) -> None:
    record(path)
    assert _batch(path) is None


def test_a_batch_is_bounded_and_says_what_is_left(path: Path) -> None:
    record(path, *(turn(at=_NOW + number) for number in range(10)))
    batch = _batch(path, most=4, version="1.2", turns_known_since=5.0)
    assert batch is not None
    assert (batch.rows, batch.head["remaining"], batch.head["requests_upto"]) == (4, 6, 4)
    assert (batch.head["version"], batch.head["turns_known_since"], batch.head["previous"]) == ("1.2", 5.0, None)
    (account,) = batch.head["accounts"]
    assert account["id"] == account_number("acct-a", "user-a")


def test_far_clocks_move_the_resets_too(path: Path) -> None:
    """By so much they were worked out on the local clock; those of other slots as well."""
    at = _NOW - 3_600
    lengths = {"7d": 10_080, "30d": 43_200}
    told = {
        slot: Window(used_percent=5, window_minutes=minutes, resets_at=int(at) + 60)
        for slot, minutes in lengths.items()
    }
    record(path, snapshot(Limit(windows=told), at=at, server_time=at + 3_600))
    batch = _batch(path, offset=50.0)
    assert batch is not None
    (row,) = batch.snapshots
    assert (row["skew"], row["first_seen_at"]) == (3_600.0, at)
    assert row["resets_7d_at"] == json.loads(row["other_windows"])["30d"][2] == int(at) + 3_660


def test_a_text_that_postgres_cannot_have_is_changed(path: Path) -> None:
    record(path, turn(at=_NOW, model="a\x00b"))
    batch = _batch(path)
    assert batch is not None
    assert json.loads(batch.arguments[2])[0]["model"] == "a\ufffdb"


def test_an_account_that_cannot_be_read_is_left_out(path: Path) -> None:
    """With its rows, as for every reader; the others are sent."""
    record(path, used(5, at=_NOW), turn(at=_NOW))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE accounts SET first_seen_at = 'noon'")
    batch = _batch(path)
    assert batch is None or (batch.rows, batch.head["accounts"], batch.head["tokens"]) == (0, [], [])
