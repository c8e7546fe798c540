"""Turns, page by page, and counts of turns."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from store.database import open_reader, open_writer
from store.documents import TurnEntry
from store.edits import rename_thread
from store.models import Tokens
from store.queries.accounts import load_accounts
from store.queries.turns import count_turns, load_seen_turns, load_turns, newest_turn
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, NOON, turn

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(path: Path) -> Path:
    """Five turns of Alice and two of Bob; the turn of id 3 ended before those of ids 1 and 2."""
    tokens = Tokens(input=100, cached=80, output=10, reasoning=4)
    record(
        path,
        turn("t-1", at=NOON + 10, tokens=tokens, status=200, model="m"),
        turn("t-1", at=NOON + 20, tokens=tokens),
        turn("t-2", at=NOON + 5),
        turn("t-2", at=NOON + 30, status=429, error_type="usage_limit_reached"),
        turn(None, at=NOON + 40, warm_up=True),
        turn("t-3", at=NOON + 25, who=BOB),
        turn("t-3", at=NOON + 50, who=BOB, error_type="server_error", tokens=Tokens(output=1)),
    )
    with closing(open_writer(path)) as connection:
        rename_thread(connection, "t-1", "docs")
    return path


@pytest.mark.parametrize(
    ("only", "pages"),
    [
        (None, [[7, 5, 4], [6, 2, 1], [3], []]),
        (ALICE.email, [[5, 4, 2], [1, 3], []]),
        (BOB.email, [[7, 6], []]),
    ],
)
def test_pages_follow_each_other(path: Path, only: str | None, pages: list[list[int]]) -> None:
    """Turns are in the order of their ends, those of one account and those of all."""
    before = None
    with closing(open_reader(path)) as connection:
        accounts = load_accounts(connection)
        chosen = next((each for each in accounts if each.email == only), None)
        for expected in pages:
            page = load_turns(connection, [chosen] if chosen else accounts, limit=3, before=before)
            assert [each["id"] for each in page] == expected
            before = page[-1]["id"] if page else None


def test_an_entry_has_every_field(path: Path) -> None:
    """It has the name of its thread, its tokens and its outcome."""
    with closing(open_reader(path)) as connection:
        entries = load_turns(connection, load_accounts(connection))
    first, warm_up, refused = (next(each for each in entries if each["id"] == number) for number in (1, 5, 4))
    assert set(first) == set(TurnEntry.__annotations__)
    assert (first["email"], first["thread"], first["thread_name"], first["model"]) == (ALICE.email, "t-1", "docs", "m")
    assert (first["started_at"], first["ended_at"], first["status"]) == (NOON + 5, NOON + 10, 200)
    kinds = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
    assert [first[kind] for kind in kinds] == [100, 80, 10, 4]  # type: ignore[literal-required]
    assert (warm_up["warm_up"], warm_up["thread"], warm_up["input_tokens"]) == (True, None, None)
    assert (refused["warm_up"], refused["error_type"]) == (False, "usage_limit_reached")


def test_turns_are_counted_by_outcome(path: Path) -> None:
    """Counts between two ids add up to those of the whole."""
    with closing(open_reader(path)) as connection:
        newest = newest_turn(connection)
        counts = count_turns(connection, 0, newest)
        parts = [*count_turns(connection, 0, 1), *count_turns(connection, 1, newest)]
    assert newest == 7
    assert sorted(counts) == [
        (1, "codex", "answered", 3, (200, 160, 20, 8)),
        (1, "codex", "failed", 1, (0, 0, 0, 0)),
        (1, "codex", "warm_up", 1, (0, 0, 0, 0)),
        (2, "codex", "answered", 1, (0, 0, 0, 0)),
        (2, "codex", "failed", 1, (0, 0, 1, 0)),
    ]
    assert sum(each.turns for each in parts) == newest


def test_a_database_without_turns(path: Path) -> None:
    """The newest id is 0."""
    with closing(open_writer(path)) as connection:
        connection.execute("DELETE FROM requests")
        assert newest_turn(connection) == 0
        assert list(count_turns(connection, 0, 99)) == []


def test_how_a_turn_was_asked_for(path: Path) -> None:
    """It has all that is known of the request; a turn without a thread has the name of its session."""
    asked: dict[str, Any] = {
        "session": "ses-1",
        "model": "m",
        "response_model": "m-2",
        "reasoning_effort": "high",
        "tier": "priority",
        "subagent": "review",
        "parent_thread": "t-0",
        "client": "codex_exec",
    }
    record(path, turn(None, at=NOON + 90, tokens=Tokens(input=9, cache_write=4), **asked))
    with closing(open_writer(path)) as connection:
        rename_thread(connection, "ses-1", "other client")
    with closing(open_reader(path)) as connection:
        entry, *others = load_turns(connection, load_accounts(connection))
    assert {name: dict(entry)[name] for name in asked} == asked
    assert (entry["thread"], entry["thread_name"], entry["cache_write_tokens"]) == (None, "other client", 4)
    assert all(each["tier"] is None for each in others)


@pytest.mark.parametrize(
    ("after", "since", "limit", "ids"),
    [(0, 0, 99, [1, 2, 3, 4, 6, 7]), (2, 0, 2, [3, 4]), (0, NOON + 25, 99, [4, 6, 7]), (7, 0, 99, [])],
    ids=["all but a warm-up", "a page", "by their end", "none"],
)
def test_seen_turns(path: Path, after: int, since: float, limit: int, ids: list[int]) -> None:
    """They are in the order of their ids."""
    with closing(open_reader(path)) as connection:
        found = load_seen_turns(connection, after, since, limit=limit)
    assert [each.id for each in found] == ids
