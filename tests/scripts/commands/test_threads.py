"""`codex-tap threads`."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from scripts.support.errors import NOTHING_YET
from tests.support.codex_state import write_state
from tests.support.command_line import invoke
from tests.support.factories import AccountHistory, insert_history
from tests.support.usage_factories import turn

DAY = 86_400
FIRST, SECOND, OLD = "0199aaaa-0000-7000-8000-000000000001", "0199aaaa-9000-7000-8000-000000000002", "0198-old"


@pytest.fixture
def three(path: Path) -> Path:
    """Two threads of today, one of them under two accounts, and one from three months ago."""
    now = time.time()
    alice = [
        turn(now - 90 * DAY, now - 90 * DAY, thread=OLD),
        turn(now - 900, now - 890, thread=FIRST),
        turn(now - 800, now - 790, thread=FIRST),
        turn(now - 700, now - 690, None, thread=FIRST, status=429),
        turn(now - 600, now - 590, None, thread=FIRST, warm_up=1),
        turn(now - 500, now - 490, thread=None),
    ]
    bob = [turn(now - 300, now - 290, thread=SECOND), turn(now - 250, now - 240, thread=FIRST)]
    alice.append(turn(now - 100, now - 90, thread=SECOND))
    return insert_history(path, AccountHistory([], alice), AccountHistory([], bob, email="bob@example.com"))


def listed() -> dict[str, str | None]:
    """Return the names of all threads by id."""
    return {each["thread"]: each["name"] for each in json.loads(invoke("threads", "--json", "--since", "365d").stdout)}


def test_threads_are_listed_newest_first(three: Path) -> None:
    """The table has whole ids in a pipe, counts of completed turns, and accounts."""
    result = invoke("threads", "--db", three)
    assert (result.exit_code, result.stderr) == (0, "")
    head, newest, older = result.stdout.splitlines()
    assert head.split() == ["Thread", "Turns", "Tokens", "Points", "Last", "used", "Account"]
    assert newest.split()[:4] == [SECOND, "2", "200", "0.0"]
    assert older.split()[:4] == [FIRST, "3", "300", "0.0"]
    assert newest.endswith("alice@example.com, bob@example.com")


def test_titles_projects_and_the_tree(three: Path) -> None:
    """A review is listed below the thread that started it."""
    now = time.time()
    review = turn(now - 50, now - 40, thread="review", parent_thread=FIRST, subagent="review")
    insert_history(three, AccountHistory([], [review]))
    state = {"id": FIRST, "title": "Fix the tests", "cwd": "/work/shop"}
    write_state(Path(os.environ["CODEX_HOME"]), state, {"id": "review", "title": "Review the changes", "cwd": "/work"})

    first, second = json.loads(invoke("threads", "--json", "--tree", "--db", three).stdout)
    assert (first["thread"], first["title"], first["folder"], first["project"], first["turns"]) == (
        *(FIRST, "Fix the tests", "/work/shop", "shop"),
        4,
    )
    assert [(each["thread"], each["kind"], each["title"]) for each in first["tree"]] == [
        ("review", "review", "Review the changes")
    ]
    assert (second["title"], second["folder"], second["project"], second["tree"]) == (None, None, None, [])
    assert "  review: Review the changes  " in invoke("threads", "--tree").stdout
    assert "Review" not in invoke("threads").stdout
    assert "Fix the tests" not in invoke("threads", "--names", "off").stdout


def test_json(three: Path) -> None:
    """A thread under two accounts is one entry; an old thread needs an earlier --since."""
    newest, older = json.loads(invoke("threads", "--json", "--db", three).stdout)
    assert set(newest) == {
        *("thread", "is_session", "name", "accounts", "turns", "imported_turns", "first_seen_at", "last_seen_at"),
        *("input_tokens", "cached_tokens", "output_tokens", "points"),
        *("title", "folder", "project", "kind", "parent", "depth", "tree"),
    }
    assert (newest["thread"], newest["name"], newest["turns"], newest["output_tokens"]) == (SECOND, None, 2, 200)
    assert newest["accounts"] == ["acct-alice/user-alice", "acct-bob/user-bob"]
    assert older["thread"] == FIRST
    assert OLD in listed()


@pytest.mark.parametrize("start", [FIRST, FIRST[:10], FIRST[:10].upper(), "refactor"])
def test_a_thread_is_named(three: Path, start: str) -> None:
    """A prefix of its id or name chooses a thread; the name holds under each of its accounts."""
    invoke("threads", "name", FIRST, "refactor", "--db", three)
    result = invoke("threads", "name", start, " refactor-auth ", "--db", three)
    assert (result.exit_code, result.stdout) == (0, f"{FIRST} is now named refactor-auth.\n")
    assert listed() == {FIRST: "refactor-auth", SECOND: None, OLD: None}
    assert "refactor-auth  " in invoke("threads").stdout


@pytest.mark.parametrize("word", ["--clear", ""])
def test_a_name_is_removed(three: Path, word: str) -> None:
    """Another thread may have the name afterwards; `--clear` is as with accounts, an empty name does the same."""
    invoke("threads", "name", FIRST, "docs", "--db", three)
    assert invoke("threads", "name", "docs", word).stdout == f"{FIRST} has no name now.\n"
    assert invoke("threads", "name", OLD, "docs").exit_code == 0
    assert listed() == {FIRST: None, SECOND: None, OLD: "docs"}


def test_a_thread_may_be_named_again_as_it_is(three: Path) -> None:
    """A thread does not conflict with itself."""
    invoke("threads", "name", OLD, "docs", "--db", three)
    assert invoke("threads", "name", OLD, "docs").exit_code == 0


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([FIRST, "docs"], "Error: another thread already has the name 'docs'\n"),
        ([FIRST, "  "], "Error: a name must not be empty or contain control characters\n"),
        ([FIRST, "a\x1bb"], "Error: a name must not be empty or contain control characters\n"),
        (["0199", "x"], f"Error: '0199' matches several threads:\n  {SECOND}\n  {FIRST}\n"),
        (["nope", "x"], f"Error: no thread matches 'nope'; the newest are:\n  {SECOND}\n  {FIRST}\n  docs  {OLD}\n"),
        ([FIRST], "Give either a NAME or --clear."),
        ([FIRST, "x", "--clear"], "Give either a NAME or --clear."),
    ],
)
def test_a_thread_name_that_cannot_be_given(three: Path, words: list[str], error: str) -> None:
    """The error lists the candidates, and nothing changes."""
    invoke("threads", "name", OLD, "docs", "--db", three)
    before = listed()
    result = invoke("threads", "name", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert error in result.stderr
    assert listed() == before


def test_nothing_known_yet(path: Path) -> None:
    """The exit code is 3, the JSON list is empty, and no database is created."""
    assert (invoke("threads").exit_code, invoke("threads").stdout) == (3, f"{NOTHING_YET}\n")
    assert (invoke("threads", "--json").exit_code, invoke("threads", "--json").stdout) == (3, "[]\n")
    assert invoke("threads", "name", "x", "y").exit_code == 3
    assert not path.exists()


def test_no_thread_in_that_time(path: Path) -> None:
    """An empty time range is not an error."""
    insert_history(path, AccountHistory([], [turn(10, 20, thread=OLD)]))
    result = invoke("threads")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No threads in that time range.\n")


def test_text_from_the_wire_is_sanitized(path: Path) -> None:
    """Escape sequences in the id of a thread do not reach the terminal."""
    now = time.time()
    insert_history(
        path,
        AccountHistory([], [turn(now - 10, now, thread="\x1b[31mred"), turn(now - 10, now, thread="\x1b[31mblue")]),
    )
    assert "\x1b" not in invoke("threads").stdout
    assert "\x1b" not in invoke("threads", "name", "nope", "x").stderr
    assert "\x1b" not in invoke("threads", "name", "\x1b[31mr", "x").stdout
