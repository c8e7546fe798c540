"""Threads, and the one that a prefix matches."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from store.database import open_reader, open_writer
from store.edits import rename_thread
from store.queries.accounts import load_accounts
from store.queries.threads import ThreadError, find_thread, is_thread_name, load_threads, thread_entry
from tests.support.databases import record
from tests.support.factories import BOB, NOON, turn

if TYPE_CHECKING:
    from pathlib import Path


HOUR = 3_600


@pytest.fixture
def path(path: Path) -> Path:
    """Three threads: 0199-a ran under two accounts, and 0198-c is named docs."""
    record(
        path,
        turn("0198-c", at=NOON - 10 * HOUR),
        turn("0199-a", at=NOON),
        turn("0199-a", at=NOON + 60, status=429),
        turn("0199-a", at=NOON + 70, warm_up=True),
        turn(None, at=NOON + 80),
        turn("0199-b", at=NOON + HOUR),
        turn("0199-a", at=NOON + 2 * HOUR, who=BOB),
    )
    with closing(open_writer(path)) as connection:
        rename_thread(connection, "0198-c", "docs")
    return path


def listed(path: Path, since: float, *emails: str) -> list[tuple[str, str | None, int, list[str]]]:
    """Id, name, turns and accounts of the threads, of all accounts or of those with these e-mails."""
    with closing(open_reader(path)) as connection:
        accounts = [each for each in load_accounts(connection) if not emails or each.email in emails]
        entries = map(thread_entry, load_threads(connection, since, accounts))
        return [(each["thread"], each["name"], each["turns"], each["accounts"]) for each in entries]


def test_threads_are_joined_over_accounts(path: Path) -> None:
    """The newest comes first; refused turns and warm-ups do not count."""
    assert listed(path, 0) == [
        ("0199-a", None, 2, ["acct-b/user-b", "acct-a/user-a"]),
        ("0199-b", None, 1, ["acct-a/user-a"]),
        ("0198-c", "docs", 1, ["acct-a/user-a"]),
    ]


def test_a_start_and_accounts_narrow_the_threads(path: Path) -> None:
    """Turns are those of the time range and of the accounts."""
    assert listed(path, NOON + HOUR) == [
        ("0199-a", None, 1, ["acct-b/user-b"]),
        ("0199-b", None, 1, ["acct-a/user-a"]),
    ]
    assert [each[:3] for each in listed(path, 0, "bob@example.com")] == [("0199-a", None, 1)]
    assert [each[0] for each in listed(path, 0, "alice@example.com")] == ["0199-b", "0199-a", "0198-c"]
    assert listed(path, 0, "carol@example.com") == []


def test_a_name_stays_with_a_joined_thread(path: Path) -> None:
    """The name of either row counts, and the thread began with the earlier one."""
    with closing(open_writer(path)) as connection:
        connection.execute("UPDATE threads SET name = 'auth' WHERE thread = '0199-a' AND account = 1")
    with closing(open_reader(path)) as connection:
        newest, *_ = load_threads(connection, 0, load_accounts(connection))
    assert (newest.name, newest.first_seen_at, newest.last_seen_at) == ("auth", NOON - 5, NOON + 2 * HOUR)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [("0199-a", ("0199-a", None)), ("0198", ("0198-c", "docs")), ("DO", ("0198-c", "docs"))],
)
def test_a_prefix_matches_one_thread(path: Path, prefix: str, expected: tuple[str, str | None]) -> None:
    """A prefix of its id or of its name."""
    with closing(open_reader(path)) as connection:
        assert find_thread(connection, prefix) == expected


def test_a_prefix_without_one_thread(path: Path) -> None:
    """The error lists at most ten candidates, the newest first."""
    record(path, *(turn(f"0200-{number:02}", at=NOON + 3 * HOUR + number) for number in range(12)))
    with closing(open_reader(path)) as connection:
        with pytest.raises(ThreadError, match=r"^'0199' matches several threads:\n  0199-a\n  0199-b$"):
            find_thread(connection, "0199")
        with pytest.raises(ThreadError) as caught:
            find_thread(connection, "none")
    first, *lines, last = str(caught.value).splitlines()
    assert first == "no thread matches 'none'; the newest are:"
    assert lines == [f"  0200-{number:02}" for number in range(11, 1, -1)]
    assert last == "  and 5 more"


def test_a_thread_of_an_empty_database(path: Path) -> None:
    """The error has no list."""
    with closing(open_writer(path)) as connection:
        connection.execute("DELETE FROM threads")
        with pytest.raises(ThreadError, match=r"^no thread matches 'x'; none has been seen yet$"):
            find_thread(connection, "x")


@pytest.mark.parametrize(
    ("name", "but", "taken"), [("docs", "0199-a", True), ("docs", "0198-c", False), ("DOCS", "0199-a", False)]
)
def test_a_name_may_be_taken(path: Path, name: str, but: str, taken: bool) -> None:
    """A thread does not conflict with itself."""
    with closing(open_reader(path)) as connection:
        assert is_thread_name(connection, name, but=but) is taken


def test_a_client_without_threads_has_its_sessions_listed(path: Path) -> None:
    """A session is listed and named like a thread; a turn with a thread counts for the thread alone."""
    record(
        path,
        turn(None, session="ses-1", at=NOON + 3 * HOUR),
        turn(None, session="ses-1", at=NOON + 3 * HOUR + 5),
        turn("0199-a", session="ses-2", at=NOON + 3 * HOUR + 9),
    )
    with closing(open_reader(path)) as connection:
        found = map(thread_entry, load_threads(connection, NOON + 2 * HOUR + 60, load_accounts(connection)))
        assert [(each["thread"], each["is_session"], each["turns"]) for each in found] == [
            ("0199-a", False, 1),
            ("ses-1", True, 2),
        ]
        assert find_thread(connection, "ses") == ("ses-1", None)
