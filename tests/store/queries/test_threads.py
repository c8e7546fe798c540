"""Threads, and the one that a prefix matches."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from store.database import open_reader, open_writer
from store.edits import rename_thread
from store.models import Tokens
from store.queries.accounts import load_accounts
from store.queries.threads import ThreadError, find_thread, is_thread_name, load_sessions, load_threads
from store.queries.usage import load_usage
from tests.support.databases import record
from tests.support.factories import BOB, NOON, limit, snapshot, turn, windows

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
        entries = load_sessions(connection, NOON + 5 * HOUR, since, accounts)
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
        newest, *_ = load_threads(connection, NOON + 5 * HOUR, 0, load_accounts(connection))
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
        found = load_sessions(connection, NOON + 5 * HOUR, NOON + 2 * HOUR + 60, load_accounts(connection))
        assert [(each["thread"], each["is_session"], each["turns"]) for each in found] == [
            ("0199-a", False, 1),
            ("ses-1", True, 2),
        ]
        assert find_thread(connection, "ses") == ("ses-1", None)


@pytest.fixture
def family(tmp_path: Path) -> Path:
    """A session with a review and a sub-agent, which started another one; titles; a parent that was not seen."""
    review: dict[str, Any] = {"session": "root", "parent_thread": "root", "subagent": "review"}
    return record(
        tmp_path / "family.sqlite3",
        turn("root", at=NOON, tokens=Tokens(input=100, cached=50, output=10)),
        turn("review", at=NOON + 60, tokens=Tokens(input=200, cached=0, output=20), **review),
        turn(
            "agent",
            at=NOON + 90,
            tokens=Tokens(input=1, cached=0, output=1),
            **{**review, "subagent": "collab_spawn"},
        ),
        turn("deep", at=NOON + 120, session="root", parent_thread="agent", subagent="collab_spawn"),
        turn("title-1", at=NOON + 30, session="title-1", subagent="thread_title"),
        turn("title-2", at=NOON + 200, session="title-2", subagent="thread_title"),
        turn("orphan", at=NOON + 10, session="gone", parent_thread="gone", subagent="review"),
        turn("other", at=NOON + 5),
    )


def test_sub_agents_count_for_the_thread_that_started_them(family: Path) -> None:
    """A parent without a turn of its own is one entry, and so are all titles."""
    with closing(open_reader(family)) as connection:
        found = load_sessions(connection, NOON + HOUR, 0, load_accounts(connection))
        alone = load_threads(connection, NOON + HOUR, 0, load_accounts(connection))
    assert [(each["thread"], each["kind"], each["turns"], each["last_seen_at"] - NOON) for each in found] == [
        ("root", None, 4, 120),
        ("gone", None, 1, 10),
        ("other", None, 1, 5),
        ("thread_title", None, 2, 200),
    ]
    root, gone = found[0], found[1]
    assert (root["input_tokens"], root["cached_tokens"], root["output_tokens"]) == (301, 50, 31)
    assert (gone["name"], gone["accounts"], gone["is_session"]) == (None, ["acct-a/user-a"], False)
    assert all(each["tree"] == [] for each in found)
    assert len(alone) == 8


def test_the_tree_of_a_session(family: Path) -> None:
    """Each thread includes those below it; the one used last comes first."""
    with closing(open_reader(family)) as connection:
        found = {
            each["thread"]: each["tree"]
            for each in load_sessions(connection, NOON + HOUR, 0, load_accounts(connection), tree=True)
        }
    assert [(each["thread"], each["parent"], each["depth"], each["kind"], each["turns"]) for each in found["root"]] == [
        ("agent", "root", 1, "collab_spawn", 2),
        ("deep", "agent", 2, "collab_spawn", 1),
        ("review", "root", 1, "review", 1),
    ]
    assert [each["thread"] for each in found["thread_title"]] == ["title-2", "title-1"]
    assert [each["thread"] for each in found["gone"]] == ["orphan"]


def test_a_parent_from_before_the_time_range_has_its_name(family: Path) -> None:
    with closing(open_writer(family)) as connection:
        rename_thread(connection, "root", "checkout")
    with closing(open_reader(family)) as connection:
        found = load_sessions(connection, NOON + HOUR, NOON + 55, load_accounts(connection))
    assert [(each["thread"], each["name"], each["turns"]) for each in found] == [
        ("root", "checkout", 3),
        ("thread_title", None, 1),
    ]


def test_the_points_of_threads_are_those_of_usage(family: Path) -> None:
    record(
        family,
        *(snapshot(limit(windows(None, float(used), at=NOON + at)), at=NOON + at) for at, used in ((-1, 1), (300, 11))),
    )
    with closing(open_reader(family)) as connection:
        accounts = load_accounts(connection)
        found = load_sessions(connection, NOON + HOUR, NOON - HOUR, accounts)
        usage = load_usage(connection, NOON + HOUR, accounts=accounts, since=NOON - HOUR)
    points = {row["key"]: row["points"] for row in usage["rows"]}
    assert {each["thread"]: pytest.approx(each["points"]) for each in found} == points
    assert sum(points.values()) == pytest.approx(10)
