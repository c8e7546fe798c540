"""The limits that were seen, and the newest snapshot of each."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from store.database import open_reader, open_writer
from store.queries.accounts import load_accounts
from store.queries.events import load_events
from store.queries.limits import MAX_LIMITS, current_snapshots, load_limit_ids
from tests.support.databases import record
from tests.support.factories import BOB, NOON, limit, snapshot, used, windows

if TYPE_CHECKING:
    from pathlib import Path


def test_each_limit_has_its_newest_snapshot(path: Path) -> None:
    """By account, the main limit first, then by id."""
    others = (limit(windows(number), limit_id=name) for number, name in ((1, "zeta"), (2, "alpha")))
    record(path, snapshot(*others), used(10), used(20, at=NOON + 60), used(30, who=BOB))
    with closing(open_reader(path)) as connection:
        found = current_snapshots(connection, load_accounts(connection))
        ids = load_limit_ids(connection)
    assert ids == ["alpha", "codex", "zeta"]
    assert {
        account: [(row["limit_id"], row["used_5h_percent"]) for row in rows] for account, rows in found.items()
    } == {
        1: [("codex", 20), ("alpha", 2), ("zeta", 1)],
        2: [("codex", 30)],
    }


def test_of_many_limits_the_main_one_is_read(path: Path) -> None:
    """A file of an earlier version may have thousands of limits, whose names sort before that of the main one."""
    record(path, used(10))
    with closing(open_writer(path)) as connection:
        connection.executemany(
            "INSERT INTO limits (account, limit_id, snapshot_id) VALUES (1, ?, 1)",
            [(f"a{number}",) for number in range(MAX_LIMITS + 50)],
        )
    with closing(open_reader(path)) as connection:
        found, ids = current_snapshots(connection, load_accounts(connection))[1], load_limit_ids(connection)
        events = load_events(connection, NOON, accounts=load_accounts(connection))
    assert (len(found), found[0]["limit_id"]) == (MAX_LIMITS, "codex")
    assert (len(ids), "codex" in ids) == (MAX_LIMITS, True)
    assert events["readings"] == 1
