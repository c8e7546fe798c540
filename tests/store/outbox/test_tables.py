"""The notes that changes of old rows leave for a team's database."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from store import edits
from store.database import open_writer, transaction
from store.models import Identity
from store.outbox import tables
from store.outbox.ledger import Outbox
from store.outbox.privacy import account_number
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, limit, snapshot, turn, used, windows

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

_ALICE, _BOB = account_number("acct-a", "user-a"), account_number("acct-b", "user-b")


@pytest.fixture(name="connection")
def _connection(path: Path) -> Iterator[sqlite3.Connection]:
    """A writer's connection to a database with two accounts that was shipped once."""
    now = time.time() - 500
    record(path, used(10, at=now), turn(at=now + 1), used(20, at=now + 2, who=BOB), turn(at=now + 3, who=BOB))
    Outbox(path).close()
    with contextlib.closing(open_writer(path)) as connection:
        yield connection


def _edits(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    return connection.execute(
        "SELECT kind, account, target, limit_id, target_limit_id, snapshots_upto, requests_upto FROM ship_edits"
    ).fetchall()


def test_without_the_tables_nothing_is_noted(path: Path) -> None:
    record(path, used(10))
    with contextlib.closing(open_writer(path)) as connection:
        assert not tables.is_set_up(connection)
        assert tables.shipped_rows(connection) == tables.EVERY_ROW
        edits.forget_account(connection, 1)
        assert connection.execute("SELECT count(*) FROM accounts").fetchone() == (0,)


def test_a_deletion_is_noted_with_the_highest_rows(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO ship_sent VALUES ('account', 1, '', '[\"alice@example.com\"]', 1)")
    edits.forget_account(connection, 1)
    assert _edits(connection) == [("forgotten", _ALICE, None, None, None, 2, 2)]
    assert connection.execute("SELECT count(*) FROM ship_sent").fetchone() == (0,)


def test_a_merge_is_noted_and_what_may_grow_goes_along(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO ship_sent VALUES ('row', 2, '2', '[1, 0]', 1), ('thread', 2, 't', '[]', 1)")
    with transaction(connection):
        edits.merge_accounts(connection, 1, 2)
    assert _edits(connection) == [("moved", _BOB, _ALICE, None, None, 2, 2)]
    assert connection.execute("SELECT kind, account FROM ship_sent").fetchall() == [("row", 1)]


def test_another_user_id_is_noted(path: Path, connection: sqlite3.Connection) -> None:
    """An earlier version gave short tokens another key, which stands for the user of an account without claims."""
    former, key = "sk-a~0000000003", "sk-a~0000000004"
    record(path, used(5, at=time.time(), who=Identity(token_key=former, account_id="", user_id=former)))
    with transaction(connection):
        edits.replace_token_key(connection, former, key)
    numbers = account_number("", "0000000003"), account_number("", "0000000004")
    assert _edits(connection) == [("moved", *numbers, None, None, 3, 2)]


def test_a_limit_whose_id_becomes_known_is_noted(path: Path, connection: sqlite3.Connection) -> None:
    at = time.time()
    named = limit(windows(5), limit_id="spark", limit_name="Spark", by_name=True)
    known = limit(windows(6), limit_id="codex_bengalfox", limit_name="Spark")
    record(path, snapshot(named, at=at), snapshot(known, at=at + 1))
    assert ("limit", _ALICE, None, "spark", "codex_bengalfox") in [row[:5] for row in _edits(connection)]


def test_what_was_not_taken_or_may_grow_is_not_deleted(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE ship_file SET snapshots_taken = 7, requests_taken = 5")
    connection.execute("INSERT INTO ship_sent VALUES ('row', 1, '3', NULL, 1), ('limit', 1, 'codex', '[3]', 1)")
    assert tables.shipped_rows(connection) == (7, 5, "[3]")
    connection.execute("UPDATE ship_file SET is_off = 1")
    assert tables.shipped_rows(connection) == tables.EVERY_ROW
    assert ALICE.account_id == "acct-a"
