"""Turns and limits of session files, beside what the tap recorded."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import imports
from store.database import open_writer, transaction
from store.edits import forget_account, merge_accounts
from store.imports import ImportCounts, ImportedFile, ImportedLimit, ImportedTurn, Owner, SessionPart
from store.models import Limit, Tokens, Window
from store.retention import prune
from tests.support.databases import record
from tests.support.factories import ALICE, NOON, snapshot, used
from tests.support.factories import turn as recorded_turn
from tests.support.recorded_rows import rows

if TYPE_CHECKING:
    from pathlib import Path

    from store.models import Turn

OWNER = Owner("acct-a", "user-a")
WEEK = Window(used_percent=40.0, window_minutes=10_080, resets_at=int(NOON) + 300_000)


def turn(at: float = NOON, response: str | None = "resp_1", tokens: int = 100, **fields: Any) -> ImportedTurn:
    """A turn of a session file that took five seconds."""
    whole = ImportedTurn("gpt-6.1-sol", None, None, at - 5, at, response, tokens, 80, None, 10, 4)
    return whole._replace(**fields)


def part(*turns: ImportedTurn, thread: str = "t-1", owner: Owner | None = OWNER, **fields: Any) -> SessionPart:
    """What was read of one session file."""
    progress = ImportedFile(imports.file_key(thread), 1_000, 1_000, None, "{}")
    about = {"session": thread, "parent_thread": None, "subagent": None, "client": "codex_exec", "limits": ()}
    return SessionPart(thread=thread, owner=owner, turns=turns, progress=progress, **(about | fields))


def write(path: Path, *parts: SessionPart) -> list[ImportCounts]:
    with closing(open_writer(path)) as connection, transaction(connection):
        return [imports.write_part(connection, each) for each in parts]


def tapped(at: float = NOON, response: str | None = "resp_1", tokens: int = 100, **fields: Any) -> Turn:
    """The same turn as the tap records it."""
    counts = Tokens(input=tokens, cached=80, output=10, reasoning=4)
    return recorded_turn(fields.pop("thread", "t-1"), at=at, response_id=response, tokens=counts, status=200, **fields)


def stored(path: Path) -> list[tuple[float, int, str | None]]:
    found = rows(path, "SELECT ended_at, imported, response_id FROM requests ORDER BY ended_at, id")
    return [(row["ended_at"] - NOON, row["imported"], row["response_id"]) for row in found]


def test_the_columns_of_an_imported_turn(path: Path) -> None:
    """It has what the file tells, no token, and no transport; its thread is known from then on."""
    full = turn(reasoning_effort="high", tier="priority", cache_write_tokens=7)
    write(path, part(full, session="s-1", parent_thread="t-0", subagent="review"))
    (found,) = rows(path, "SELECT * FROM requests")
    assert found == {
        "id": 1,
        "account": 1,
        "token_key": "",
        "limit_id": "codex",
        "thread": "t-1",
        "session": "s-1",
        "model": "gpt-6.1-sol",
        "transport": "unknown",
        "warm_up": 0,
        "started_at": NOON - 5,
        "first_byte_at": None,
        "ended_at": NOON,
        "status": None,
        "error_type": None,
        "input_tokens": 100,
        "cached_tokens": 80,
        "output_tokens": 10,
        "reasoning_tokens": 4,
        "response_model": None,
        "reasoning_effort": "high",
        "tier": "priority",
        "subagent": "review",
        "parent_thread": "t-0",
        "client": "codex_exec",
        "cache_write_tokens": 7,
        "response_id": "resp_1",
        "imported": 1,
        "session_key": "resp_1",
    }
    assert rows(path, "SELECT thread, first_seen_at, last_seen_at FROM threads") == [
        {"thread": "t-1", "first_seen_at": NOON - 5, "last_seen_at": NOON}
    ]


def test_writing_a_part_again_changes_nothing(path: Path) -> None:
    """Neither turns nor readings are doubled, whether they have ids or not."""
    limit = ImportedLimit("codex", None, NOON - 5, NOON, {"7d": WEEK})
    whole = part(turn(), turn(NOON + 60, None), turn(NOON + 60, None, 200), limits=[limit])
    assert write(path, whole) == [ImportCounts(3, 0)]
    before = [rows(path, f"SELECT * FROM {table}") for table in TABLES]  # noqa: S608 (constants)
    assert write(path, whole, whole) == [ImportCounts(0, 3), ImportCounts(0, 3)]
    assert [rows(path, f"SELECT * FROM {table}") for table in TABLES] == before  # noqa: S608 (constants)


TABLES = ("requests", "imported_limits", "threads", "accounts")


@pytest.mark.parametrize("first", ["tap", "import"])
@pytest.mark.parametrize(
    ("theirs", "ours", "count"),
    [
        (turn(NOON + 1), tapped(), 1),
        (turn(NOON + 1, None), tapped(response=None), 1),
        (turn(NOON + 1), tapped(response=None), 1),
        (turn(NOON + 1, None), tapped(), 1),
        (turn(NOON + 1, "resp_2"), tapped(), 2),
        (turn(NOON + 1, None, 101), tapped(), 2),
        (turn(NOON + imports.MATCH_SECONDS + 1, None), tapped(), 2),
        (turn(NOON + 1), tapped(thread="t-2"), 2),
        (turn(NOON + 1), tapped(warm_up=True), 2),
    ],
    ids=[
        *("same response", "same tokens", "the tap knew no id", "the file knew no id"),
        *("another response", "other tokens", "another time", "another thread", "a warm-up"),
    ],
)
def test_a_turn_that_both_saw(path: Path, first: str, theirs: ImportedTurn, ours: Turn, count: int) -> None:
    """It is stored once, whichever comes first; the tap's row is the one that stays, and a repeated import finds it."""
    if first == "tap":
        record(path, ours)
        write(path, part(theirs))
    else:
        write(path, part(theirs))
        record(path, ours)
    found = stored(path)
    assert len(found) == count
    assert (0.0, 0, ours.response_id) in found
    assert write(path, part(theirs)) == [ImportCounts(0, 1)]
    assert stored(path) == found


def test_of_several_the_nearest_is_the_same(path: Path) -> None:
    """Turns of one thread with the same tokens are told apart by their times, and each is taken once."""
    record(path, tapped(NOON, None), tapped(NOON + 10, None))
    write(path, part(turn(NOON + 10.5, None), turn(NOON + 0.5, None), turn(NOON + 20, None)))
    assert stored(path) == [(0.0, 0, None), (10.0, 0, None), (20.0, 1, None)]


@given(st.data())
def test_each_turn_counts_once(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever the tap saw, whatever files tell, in any order and however often."""
    path = tmp_path_factory.mktemp("interleaved") / "codex-tap.sqlite3"
    number = data.draw(st.integers(1, 6), label="turns")
    with_ids = data.draw(st.booleans(), label="with ids")
    # Without ids, turns of one thread are told apart by their tokens, or by their times where these are the same.
    gap = 1.0 if with_ids else 2 * imports.MATCH_SECONDS + 2
    whole = [(f"t-{index % 2}", NOON + index * gap, f"resp_{index}" if with_ids else None) for index in range(number)]
    by_tap = data.draw(st.sets(st.integers(0, number - 1)), label="seen by the tap")
    in_files = data.draw(st.sets(st.integers(0, number - 1)), label="in files")
    lateness = data.draw(st.floats(-1, 1), label="seconds between the two")
    steps = [("tap", index) for index in by_tap] + [("file", index) for index in [*in_files, *in_files]]
    for kind, index in data.draw(st.permutations(steps), label="order"):
        thread, at, response = whole[index]
        if kind == "tap":
            record(path, tapped(at, response, thread=thread))
        else:
            write(path, part(turn(at + lateness, response), thread=thread))
    if steps:
        assert len(stored(path)) == len(by_tap | in_files)
        assert sum(1 for _, imported, _ in stored(path) if not imported) == len(by_tap)


def accounts(path: Path) -> list[tuple[str, str]]:
    found = rows(path, "SELECT account_id, user_id FROM accounts ORDER BY id")
    return [(row["account_id"], row["user_id"]) for row in found]


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        (OWNER, [("acct-a", "user-a")]),
        (Owner("acct-a", ""), [("acct-a", "user-a")]),
        (Owner("acct-a", "user-b"), [("acct-a", "user-a"), ("acct-a", "user-b")]),
        (Owner("acct-b", ""), [("acct-a", "user-a"), ("acct-b", "")]),
        (None, [("acct-a", "user-a"), ("", "session-files")]),
    ],
    ids=["known", "its one user", "another user", "another workspace", "none named"],
)
def test_whose_turns_they_are(path: Path, owner: Owner | None, expected: list[tuple[str, str]]) -> None:
    """They belong to the account that the session names; a session that names none has an account of its own."""
    record(path, used(13, who=ALICE))
    write(path, part(turn(), owner=owner))
    assert accounts(path) == expected
    (found,) = rows(path, "SELECT account FROM requests")
    assert found["account"] == len(expected)


def test_an_import_says_nothing_of_the_present(path: Path) -> None:
    """Limits have a table of their own, and an account was last seen when the tap saw it."""
    record(path, used(13, at=NOON, who=ALICE))
    before = [rows(path, f"SELECT * FROM {table}") for table in ("accounts", "snapshots", "limits", "tokens")]  # noqa: S608
    limit = ImportedLimit("codex", None, NOON + 500, NOON + 600, {"7d": WEEK, "30d": WEEK})
    write(path, part(turn(NOON + 600), limits=[limit]))
    after = [rows(path, f"SELECT * FROM {table}") for table in ("accounts", "snapshots", "limits", "tokens")]  # noqa: S608
    assert before == after
    (found,) = rows(path, "SELECT used_5h_percent, used_7d_percent, other_windows FROM imported_limits")
    assert found == {
        "used_5h_percent": None,
        "used_7d_percent": 40.0,
        "other_windows": f'{{"30d": [40.0, 10080, {WEEK.resets_at}]}}',
    }


def test_the_limit_of_a_model(path: Path) -> None:
    """A turn is charged to the limit that has its model's name, which the tap or the file itself tells."""
    named = Limit(limit_id="codex_fox", limit_name="fox", windows={"7d": WEEK})
    record(path, snapshot(named, who=ALICE))
    own = ImportedLimit("codex_reserve", "reserve", NOON, NOON, {"7d": WEEK})
    models = ("fox", "reserve", "other", None)
    turns = [turn(NOON + index, f"resp_{index}", model=model) for index, model in enumerate(models)]
    write(path, part(*turns, limits=[own]))
    found = rows(path, "SELECT limit_id FROM requests ORDER BY ended_at")
    assert [row["limit_id"] for row in found] == ["codex_fox", "codex_reserve", "codex", "codex"]


def test_a_limit_that_gets_its_real_id(path: Path) -> None:
    """Imported readings under an id made from a name go to the limit that it turns out to be."""
    by_name = Limit(limit_id="fox", limit_name="fox", windows={"7d": WEEK}, by_name=True)
    record(path, snapshot(by_name, who=ALICE))
    write(path, part(limits=[ImportedLimit("fox", "fox", NOON, NOON, {"7d": WEEK})]))
    record(path, snapshot(Limit(limit_id="codex_fox", limit_name="fox", windows={"7d": WEEK}), who=ALICE, at=NOON + 9))
    assert rows(path, "SELECT limit_id FROM imported_limits") == [{"limit_id": "codex_fox"}]


def test_a_forgotten_account_stays_forgotten(path: Path) -> None:
    """Nothing of it is left but how far its files were read, so that the next import does not read them again."""
    limit = ImportedLimit("codex", None, NOON, NOON, {"7d": WEEK})
    write(path, part(turn(), limits=[limit]), part(turn(), thread="t-2", owner=None))
    with closing(open_writer(path)) as connection:
        forget_account(connection, 1)
        found = imports.find_file(connection, imports.file_key("t-1"))
        other = imports.find_file(connection, imports.file_key("t-2"))
    assert found == ImportedFile(imports.file_key("t-1"), 1_000, 1_000, None, None)
    assert other is not None
    assert other.state == "{}"
    assert rows(path, "SELECT thread FROM requests") == [{"thread": "t-2"}]
    assert rows(path, "SELECT * FROM imported_limits") == []


def test_accounts_that_are_merged(path: Path) -> None:
    """What was imported of the one goes over, and what is imported later follows."""
    limit = ImportedLimit("codex", None, NOON, NOON, {"7d": WEEK})
    write(path, part(turn(), limits=[limit]), part(turn(), thread="t-1", owner=None, limits=[limit]))
    write(path, part(turn(), thread="t-2", owner=None, limits=[limit]))
    with closing(open_writer(path)) as connection, transaction(connection):
        merge_accounts(connection, 1, 2)
    write(path, part(turn(), thread="t-3", owner=None))
    assert accounts(path) == [("acct-a", "user-a")]
    for table in ("requests", "imported_limits", "imported_files"):
        assert {row["account"] for row in rows(path, f"SELECT account FROM {table}")} == {1}  # noqa: S608 (constants)


def test_a_dry_run_counts_the_same(path: Path) -> None:
    """Nothing is written."""
    record(path, tapped())
    with closing(open_writer(path)) as connection:
        counts = imports.compare_part(connection, part(turn(), turn(NOON + 60, "resp_2")))
        assert connection.total_changes == 0
    assert counts == ImportCounts(1, 1)


def test_an_imported_row_that_cannot_be_read(path: Path) -> None:
    """The tap's turn is stored beside it."""
    write(path, part(turn()))
    with closing(open_writer(path)) as connection, transaction(connection):
        connection.execute("UPDATE requests SET model = CAST(x'ff' AS TEXT), response_id = CAST(x'ff' AS TEXT)")
    record(path, tapped())
    assert [row["imported"] for row in rows(path, "SELECT imported FROM requests ORDER BY id")] == [1, 0]


def test_old_rows_are_deleted(path: Path) -> None:
    """Imported turns and readings go like others; what was read of the files stays known."""
    limits = [ImportedLimit("codex", None, NOON + at, NOON + at, {"7d": WEEK}) for at in (0, 9_000)]
    write(path, part(turn(), turn(NOON + 9_000, "resp_2"), limits=limits))
    with closing(open_writer(path)) as connection:
        while prune(connection, NOON + 5_000, 1):
            pass
        assert imports.find_file(connection, imports.file_key("t-1")) is not None
    assert [at for at, _, _ in stored(path)] == [9_000]
    assert rows(path, "SELECT first_seen_at FROM imported_limits") == [{"first_seen_at": NOON + 9_000}]
