"""The log of changes to stored rows, and who writes to it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from store import edits
from store.database import open_writer, transaction
from store.edit_log import log_edit
from store.imports import ImportedFile, ImportedLimit, ImportedTurn, Owner, SessionPart, file_key, write_part
from store.models import Limit
from store.retention import prune
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, NOON, snapshot, turn, used, windows

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(name="connection")
def _connection(path: Path) -> sqlite3.Connection:
    return open_writer(path)


def logged(connection: sqlite3.Connection) -> list[tuple[int | None, float, float | None]]:
    return connection.execute("SELECT account, since, until FROM edits ORDER BY id").fetchall()


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [
        pytest.param({"account": 1}, {"account": 2}, 2, id="another account"),
        pytest.param({"account": 1}, {"account": 1}, 1, id="the same again"),
        pytest.param({"account": 1, "since": 5.0}, {"account": 1, "since": 7.0}, 2, id="a later time"),
        pytest.param({"account": 1, "since": 7.0}, {"account": 1, "since": 5.0}, 1, id="an earlier time"),
        pytest.param({"account": 1}, {}, 1, id="all accounts after one"),
        pytest.param({}, {"account": 1}, 2, id="one account after all"),
        pytest.param({"until": 5.0}, {"until": 7.0}, 1, id="old rows and then newer ones"),
        pytest.param({"until": 7.0}, {"until": 5.0}, 2, id="old rows and then older ones"),
        pytest.param({}, {"until": 5.0}, 2, id="old rows after all"),
    ],
)
def test_an_entry_replaces_what_says_nothing_more(
    connection: sqlite3.Connection, first: dict[str, float], second: dict[str, float], left: int
) -> None:
    """The log stays short, and its ids only grow."""
    with closing(connection):
        for edit in (first, second):
            log_edit(connection, **edit)  # type: ignore[arg-type]
        found = logged(connection)
        assert len(found) == left
        assert found[-1] == (second.get("account"), second.get("since", 0.0), second.get("until"))
        assert connection.execute("SELECT max(id) FROM edits").fetchone() == (2,)


def _forget(path: Path) -> None:
    with closing(open_writer(path)) as connection:
        edits.forget_account(connection, 2)


def _merge(path: Path) -> None:
    with closing(open_writer(path)) as connection, transaction(connection):
        edits.merge_accounts(connection, 1, 2)


def _prune(path: Path) -> None:
    record(path, used(9, at=NOON + 200))
    with closing(open_writer(path)) as connection:
        assert prune(connection, NOON + 150)
        assert not prune(connection, NOON + 160), "nothing more is deleted, and nothing said"


def _replace_key(path: Path) -> None:
    """As the recorder does with keys of an earlier version."""
    record(path, used(5, at=NOON + 200, who=BOB.model_copy(update={"token_key": "n~1", "former_key": BOB.token_key})))


def _name_limit(path: Path) -> None:
    """A limit that was known by its name gets its id."""
    named = Limit(limit_id="my_limit", limit_name="My limit", by_name=True, windows=windows(7))
    real = named.model_copy(update={"limit_id": "codex_x", "by_name": False})
    record(path, snapshot(named, at=NOON + 200), snapshot(real, at=NOON + 300))


def _import_limits(path: Path) -> None:
    _import(path, limits=[ImportedLimit("codex", None, NOON - 500, NOON, windows(7))])


def _import_and_tap(path: Path) -> None:
    """The tap stores a turn that an import has read before."""
    seen = ImportedTurn("m", None, None, NOON + 300, NOON + 310, "resp_1", 9, 0, 0, 5, 0)
    _import(path, turns=[seen])
    record(path, turn("t-9", at=NOON + 310, response_id="resp_1", who=BOB))


def _import(path: Path, **found: Any) -> None:
    whose = Owner(BOB.account_id, BOB.user_id)
    progress = ImportedFile(file_key("t-9"), 1, 1, None, None)
    part = SessionPart("t-9", None, None, None, None, whose, found.get("turns", ()), found.get("limits", ()), progress)
    with closing(open_writer(path)) as connection, transaction(connection):
        write_part(connection, part)


@pytest.mark.parametrize(
    ("change", "entries"),
    [
        pytest.param(_forget, [(2, 0.0, None)], id="forget"),
        pytest.param(_merge, [(1, 0.0, None), (2, 0.0, None)], id="merge"),
        pytest.param(_prune, [(None, 0.0, NOON + 150.0)], id="prune"),
        pytest.param(_replace_key, [(2, 0.0, None)], id="another token key"),
        pytest.param(_name_limit, [(1, 0.0, None)], id="the id of a limit"),
        pytest.param(_import_limits, [(2, NOON - 500.0, None)], id="imported limits"),
        pytest.param(_import_and_tap, [(2, NOON + 300.0, None)], id="a turn that both saw"),
    ],
)
def test_who_changes_stored_rows_says_so(
    path: Path, change: Callable[[Path], None], entries: list[tuple[int | None, float, float | None]]
) -> None:
    """In the transaction of the change."""
    entries_before = [used(number, at=NOON + 100 * number, who=who) for number in (0, 1) for who in (ALICE, BOB)]
    record(path, *entries_before)
    with closing(open_writer(path)) as connection:
        assert logged(connection) == [], "new rows need no entry"
    change(path)
    with closing(open_writer(path)) as connection:
        assert logged(connection) == entries
