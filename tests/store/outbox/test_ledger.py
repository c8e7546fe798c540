"""How far the batches went, and which machine the file is."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

from store.database import open_reader
from store.errors import DatabaseError
from store.outbox import ledger
from store.outbox.batch import read_batch
from store.outbox.ledger import Outbox, Wishes, end_shipping, progress
from store.outbox.tables import OutboxPosition
from tests.support.databases import record
from tests.support.factories import turn, used

if TYPE_CHECKING:
    from pathlib import Path

    from store.outbox.batch import Batch


def _next(path: Path, outbox: Outbox, since: OutboxPosition) -> Batch:
    with contextlib.closing(open_reader(path)) as connection:
        batch = read_batch(connection, outbox.machine, since, most=2)
    assert batch is not None
    assert outbox.note(since, batch)
    return batch


def _recorded(path: Path, count: int = 6) -> Path:
    at = time.time() - 1_000
    return record(path, *(entry for n in range(count) for entry in (used(n, at=at + n), turn(at=at + n))))


def test_batches_follow_each_other_and_are_found_by_their_nonce(path: Path) -> None:
    with Outbox(_recorded(path)) as outbox:
        begin = outbox.find(None)
        assert begin == (0, None, 0, 0, 0, 0)
        assert begin is not None
        first = _next(path, outbox, OutboxPosition(*begin)).upto
        second = _next(path, outbox, first).upto
        assert (first.snapshots, second.snapshots, second.seq) == (2, 4, first.seq + 1)
        assert outbox.find(second.nonce) == second
        assert outbox.find("00000000-0000-0000-0000-000000000000") is None
    with Outbox(path) as again:
        assert again.find(first.nonce) == first


def test_it_is_the_same_machine_until_it_is_another(path: Path) -> None:
    """The other one goes on behind the newest batch of its own that the team's database has."""
    with Outbox(_recorded(path), Wishes(emails="hash")) as outbox, Outbox(path) as other:
        machine = outbox.machine
        assert (other.machine, machine.privacy.emails, machine.privacy.threads) == (machine, "hash", "keep")
        begin = outbox.find(None)
        assert begin is not None
        first = _next(path, outbox, begin).upto
        second = _next(path, outbox, first).upto
        assert first.nonce is not None
        outbox.become_another([first.nonce])
        assert (outbox.machine.parent, outbox.machine.privacy) == (machine.file_id, machine.privacy)
        assert outbox.find(None) == (0, None, 2, 2, 0, 0)
        with contextlib.closing(open_reader(path)) as connection:
            batch = read_batch(connection, other.machine, second)
        assert batch is not None
        assert not other.note(second, batch), "it noted a batch for a machine that the file no longer is"


def test_what_was_sent_and_lost_is_sent_again(path: Path) -> None:
    """Of a batch that the team's database does not have."""
    with Outbox(_recorded(path)) as outbox:
        begin = outbox.find(None)
        assert begin is not None
        first = _next(path, outbox, begin)
        assert first.head["accounts"]
        outbox.go_on_behind(begin)
        again = _next(path, outbox, begin)
        assert again.head["accounts"] == first.head["accounts"]
        outbox.settle(again.upto)
        outbox.go_on_behind(again.upto)
        after = _next(path, outbox, again.upto)
        assert (after.head["threads"], len(after.head["tokens"])) == ([], 0)


def test_the_log_has_an_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "LOG_KEPT", 2)
    with Outbox(_recorded(path, 12)) as outbox:
        position = outbox.find(None)
        assert position is not None
        for _ in range(5):
            position = _next(path, outbox, position).upto
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM ship_log").fetchone() == (2,)


@pytest.mark.parametrize(
    "change",
    [
        "ship_file SET file_id = 'me'",
        "ship_file SET file_id = x'00'",
        "ship_file SET parent = 5",
        "ship_file SET emails = 'all'",
        "ship_file SET salt = x'00'",
        "ship_file SET snapshots_from = 'few'",
    ],
)
def test_odd_values_are_told(path: Path, change: str) -> None:
    """None of them is sent."""
    Outbox(_recorded(path)).close()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE {change}")
    with pytest.raises(DatabaseError, match="is damaged"), Outbox(path) as outbox:
        outbox.find(None)


def test_how_far_it_is(path: Path) -> None:
    with contextlib.closing(open_reader(_recorded(path))) as connection:
        assert progress(connection) is None
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert not end_shipping(connection)
    with Outbox(path) as outbox:
        begin = outbox.find(None)
        assert begin is not None
        outbox.settle(_next(path, outbox, begin).upto)
    with contextlib.closing(open_reader(path)) as connection:
        found = progress(connection)
    assert found is not None
    assert (found.snapshots, found.requests, found.is_off) == (4, 4, False)
    assert found.taken_at == pytest.approx(time.time(), abs=60)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        assert end_shipping(connection)
    with contextlib.closing(open_reader(path)) as connection:
        found = progress(connection)
    assert found is not None
    assert found.is_off
    with Outbox(path), contextlib.closing(open_reader(path)) as connection:
        found = progress(connection)
    assert found is not None
    assert not found.is_off, "the next shipping did not begin again"
