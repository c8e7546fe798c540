"""Names given by a person, the deletion of an account, and the join of accounts."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

from store import edits
from store.database import open_writer, transaction
from store.models import Identity
from store.record.writer import SnapshotWriter
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, NOON, limit, snapshot, turn, used, windows
from tests.support.recorded_rows import figures, rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database as a command that changes it does."""
    with contextlib.closing(open_writer(path)) as connection:
        yield connection


def test_the_name_of_an_account(path: Path) -> None:
    """An account gets a name, another one, and none again; the other accounts keep theirs."""
    record(path, used(13), used(50, who=BOB))
    names = []
    with writing(path) as connection:
        edits.rename_account(connection, 2, "home")
        for name in ("work", "office", None):
            edits.rename_account(connection, 1, name)
            names.append([row["name"] for row in rows(path, "SELECT name FROM accounts ORDER BY id")])

    assert names == [["work", "home"], ["office", "home"], [None, "home"]]


def test_names_of_accounts_are_unique(path: Path) -> None:
    """A name that another account has is refused, and nothing changes."""
    record(path, used(13), used(50, who=BOB))
    with writing(path) as connection:
        edits.rename_account(connection, 1, "work")
        with pytest.raises(sqlite3.IntegrityError):
            edits.rename_account(connection, 2, "work")

    assert [row["name"] for row in rows(path, "SELECT name FROM accounts ORDER BY id")] == ["work", None]


def test_the_name_of_a_thread(path: Path) -> None:
    """A thread gets its name in every account that it ran on, and loses it there."""
    record(path, turn("t-1"), turn("t-2"), turn("t-1", who=BOB))
    names = []
    with writing(path) as connection:
        for name in ("refactor", None):
            edits.rename_thread(connection, "t-1", name)
            names.append([row["name"] for row in rows(path, "SELECT name FROM threads ORDER BY account, thread")])

    assert names == [["refactor", None, "refactor"], [None, None, None]]


def test_a_forgotten_account_is_deleted_to_the_last_byte(path: Path) -> None:
    """An account's rows are deleted, also from the free pages of the file; other accounts keep theirs."""
    record(path, used(13), used(50, who=BOB), used(14))
    with writing(path) as connection:
        edits.forget_account(connection, 1)

    assert figures(path) == [(50.0, 1)]
    assert rows(path, "SELECT count(*) AS left FROM tokens") == [{"left": 1}]
    assert b"alice" not in path.read_bytes()
    assert b"bob@example.com" in path.read_bytes()


def test_turns_are_deleted_with_their_account(path: Path) -> None:
    """Nothing of an account's turns and threads is left in the file."""
    record(path, used(13), turn("the-thread-of-alice"), turn("t-2", who=BOB))
    with writing(path) as connection:
        edits.forget_account(connection, 1)

    assert [row["thread"] for row in rows(path, "SELECT * FROM requests")] == ["t-2"]
    assert [row["thread"] for row in rows(path, "SELECT * FROM threads")] == ["t-2"]
    assert b"the-thread-of-alice" not in path.read_bytes()


def merge(path: Path, account: int = 1, other: int = 2) -> None:
    with writing(path) as connection, transaction(connection):
        edits.merge_accounts(connection, account, other)


def current(path: Path) -> dict[str, float]:
    """Return the used percent of the current row of each limit."""
    query = "SELECT l.limit_id, s.used_5h_percent FROM limits l JOIN snapshots s ON s.id = l.snapshot_id"
    return {row["limit_id"]: row["used_5h_percent"] for row in rows(path, query)}


FOX = {"limit_id": "codex_bengalfox"}


def test_merged_accounts_are_one(path: Path) -> None:
    """Snapshots, limits, turns, threads and tokens go to the one; the later word on each limit is current."""
    shared = ALICE.token_key
    record(path, used(10), turn("t-1", at=NOON), used(11, at=NOON + 60, plan_type="plus"))
    record(
        path,
        used(12, who=BOB, at=NOON + 30, plan_type="pro"),
        used(20, who=BOB, at=NOON + 90, plan_type="pro"),
        snapshot(limit(windows(5), **FOX), who=BOB, at=NOON + 20),
        turn("t-1", who=BOB, at=NOON + 100),
        turn("t-2", who=BOB, at=NOON + 50),
        used(20, who=BOB.model_copy(update={"token_key": shared}), at=NOON + 95),
    )
    with writing(path) as connection:
        edits.rename_account(connection, 2, "bob")
        edits.rename_thread(connection, "t-2", "docs")
    merge(path)

    (account,) = rows(path, "SELECT * FROM accounts")
    assert (account["id"], account["account_id"], account["name"], account["email"]) == (
        1,
        "acct-a",
        "bob",
        ALICE.email,
    )
    assert (account["first_seen_at"], account["last_seen_at"]) == (NOON, NOON + 95)
    assert current(path) == {"codex": 20, "codex_bengalfox": 5}
    assert [row["used_5h_percent"] for row in rows(path)] == [10, 11, 12, 20, 5]
    assert {row["account"] for row in rows(path)} == {1}
    assert rows(path, "SELECT plan_type FROM snapshots WHERE id = (SELECT snapshot_id FROM accounts)") == [
        {"plan_type": "pro"}
    ]
    assert [(row["account"], row["thread"]) for row in rows(path, "SELECT * FROM requests")] == [
        (1, "t-1"),
        (1, "t-1"),
        (1, "t-2"),
    ]
    assert [tuple(row.values())[:5] for row in rows(path, "SELECT * FROM threads")] == [
        (1, "t-1", None, NOON - 5, NOON + 100),
        (1, "t-2", "docs", NOON + 45, NOON + 50),
    ]
    tokens = rows(path, "SELECT token_key, last_seen_at FROM tokens ORDER BY token_key")
    assert [tuple(row.values()) for row in tokens] == [(shared, NOON + 95), (BOB.token_key, NOON + 100)]


@pytest.mark.parametrize("other", [1, 99], ids=["itself", "an account that is gone"])
def test_only_two_accounts_are_merged(path: Path, other: int) -> None:
    """Nothing is deleted: another command may have been first."""
    record(path, used(13), used(40, who=BOB))
    before = rows(path)
    for pair in ((1, other), (other, 1)):
        with pytest.raises(LookupError), writing(path) as connection, transaction(connection):
            edits.merge_accounts(connection, *pair)
    assert rows(path) == before


def test_the_current_row_is_the_last_of_its_limit(path: Path) -> None:
    """A row that others have followed meanwhile is repeated after them, as it was last seen."""
    record(path, used(10), used(30, who=BOB, at=NOON + 10), used(10, at=NOON + 60))
    merge(path)

    assert [(row["used_5h_percent"], row["first_seen_at"], row["last_seen_at"]) for row in rows(path)] == [
        (10, NOON, NOON + 60),
        (30, NOON + 10, NOON + 10),
        (10, NOON + 60, NOON + 60),
    ]
    assert rows(path, "SELECT snapshot_id FROM limits") == [{"snapshot_id": 3}]


def test_what_comes_for_a_merged_account_goes_to_the_other(path: Path) -> None:
    """Also in a proxy that is running, and over several merges; a deleted account takes them with it."""
    carol = Identity(token_key="carol~3", account_id="acct-c", user_id="user-c")
    with contextlib.closing(SnapshotWriter(path)) as writer:
        writer.write([used(10), used(50, who=BOB, at=NOON + 1), used(70, who=carol, at=NOON + 2), turn("t-1", who=BOB)])
        merge(path, 2, 3)
        merge(path, 1, 2)
        assert current(path) == {"codex": 70}
        writer.write([used(75, who=carol, at=NOON + 60), used(76, who=BOB, at=NOON + 70), turn("t-1", who=carol)])
        assert current(path) == {"codex": 76}
        assert [row["email"] for row in rows(path, "SELECT email FROM accounts")] == [ALICE.email]
        assert rows(path, "SELECT count(*) AS n FROM requests WHERE account = 1") == [{"n": 2}]
        with writing(path) as connection:
            edits.forget_account(connection, 1)
        writer.write([used(80, who=BOB, at=NOON + 90)])
    assert [row["account_id"] for row in rows(path, "SELECT account_id FROM accounts")] == ["acct-b"]
    assert rows(path, "SELECT * FROM merged_accounts") == []


def test_a_replaced_token_key_is_nowhere_any_more(path: Path) -> None:
    """Neither in a row nor in a free page of the file."""
    weak = Identity(token_key="hu~0123456789", user_id="hu~0123456789")
    record(path, used(10, who=weak), used(20, who=weak, at=NOON + 60), turn("t-1", who=weak), used(30))
    with writing(path) as connection, transaction(connection):
        assert edits.replace_token_key(connection, "hu~0123456789", "hu~abcdefabcd")
        assert not edits.replace_token_key(connection, "hu~0123456789", "hu~abcdefabcd")

    assert b"hu~0123456789" not in path.read_bytes()
    for table in ("tokens", "snapshots", "requests"):
        found = rows(path, f"SELECT token_key FROM {table} WHERE account = 1")  # noqa: S608 (our own names)
        assert {row["token_key"] for row in found} == {"hu~abcdefabcd"}
    assert rows(path, "SELECT user_id FROM accounts WHERE id = 1") == [{"user_id": "hu~abcdefabcd"}]
