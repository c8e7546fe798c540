"""`codex-tap prune`."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from store.database import open_reader
from tests.support.command_line import invoke
from tests.support.synthetic_history import generate_month

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def month(path: Path) -> Path:
    """Return a database with a month of use."""
    return generate_month(path)


def ask(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def test_without_yes_nothing_is_deleted(month: Path) -> None:
    """The command lists what it would delete, by account, and how to confirm."""
    content = month.read_bytes()
    result = invoke("prune", "--older-than", "10d", "--db", month)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "person-1 · p1@example.com · plus" in result.stdout
    assert result.stdout.endswith("Nothing was deleted. Add --yes to delete it.\n")
    assert month.read_bytes() == content


def test_with_yes_rows_are_deleted(month: Path) -> None:
    """The announced rows are deleted and the file shrinks; a second run finds nothing to delete."""
    announced = json.loads(invoke("prune", "--older-than", "10d", "--json", "--db", month).stdout)
    size = month.stat().st_size
    rows = ask(month, "SELECT (SELECT count(*) FROM snapshots), (SELECT count(*) FROM requests)")[0]
    result = invoke("prune", "--older-than", "10d", "--yes", "--db", month)
    assert result.exit_code == 0
    assert "Deleted (older than" in result.stdout
    assert month.stat().st_size < size
    left = ask(month, "SELECT (SELECT count(*) FROM snapshots), (SELECT count(*) FROM requests)")[0]
    assert rows[0] - left[0] == sum(account["snapshots"] for account in announced["accounts"])
    assert rows[1] - left[1] == sum(account["turns"] for account in announced["accounts"])
    assert left[0] == sum(account["snapshots_kept"] for account in announced["accounts"])
    assert invoke("prune", "--older-than", "10d", "--yes", "--db", month).stdout.startswith("Nothing is older than ")


def test_deletion_beside_a_reader(month: Path) -> None:
    """A reader keeps its view; the space is then free in the file or given back, without an error."""
    with closing(open_reader(month)) as connection:
        connection.execute("BEGIN")
        before = connection.execute("SELECT count(*) FROM snapshots").fetchone()[0]
        assert invoke("prune", "--older-than", "10d", "--yes", "--db", month).exit_code == 0
        assert connection.execute("SELECT count(*) FROM snapshots").fetchone()[0] == before
    assert ask(month, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "Missing option '--older-than'"),
        (["--older-than", "soon"], "use 7d"),
        (["--older-than", "2999-01-01"], "must be in the past"),
    ],
)
def test_wrong_use(month: Path, arguments: list[str], error: str) -> None:
    """A mistyped command deletes nothing."""
    result = invoke("prune", *arguments, "--yes", "--db", month)
    assert (result.exit_code, result.stdout) == (2, "")
    assert error in result.stderr


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_without_a_database(path: Path, flags: list[str]) -> None:
    """The exit code is 3, and no database is created."""
    result = invoke("prune", "--older-than", "1d", *flags, "--db", path)
    assert result.exit_code == 3
    assert not path.exists()
