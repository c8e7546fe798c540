"""The log of changes to stored rows, and who writes to it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from store.database import open_writer
from store.edit_log import log_edit

if TYPE_CHECKING:
    import sqlite3
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
