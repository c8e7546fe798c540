"""Queries of one reading session are about one state of the database, and read the accounts once."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from scripts.cli import cli
from store import database
from store.database import open_reader
from store.queries.accounts import load_accounts
from store.queries.cursors import read_transaction
from store.queries.status import load_status
from tests.support.databases import record
from tests.support.factories import NOON, turn, used

if TYPE_CHECKING:
    import sqlite3


@pytest.fixture
def path() -> Path:
    """The default database."""
    return record(Path(os.environ["CODEX_TAP_DB"]), used(10, plan_type="plus"), turn())


def plan_and_percent(connection: sqlite3.Connection) -> tuple[str | None, float | None]:
    (account,) = load_status(connection, NOON + 60, load_accounts(connection))["accounts"]
    return account["plan_type"], account["limits"][0]["windows"]["5h"]["used_percent"]


def test_queries_in_a_transaction_see_one_state(path: Path) -> None:
    """A message that is recorded between two queries is visible only after the transaction."""
    with closing(open_reader(path)) as connection:
        with read_transaction(connection):
            (before,) = load_accounts(connection)
            record(path, used(20, at=NOON + 30, plan_type="pro"))
            assert plan_and_percent(connection) == ("plus", 10)
            assert load_accounts(connection) == [before]
        assert plan_and_percent(connection) == ("pro", 20)


def test_a_query_leaves_the_transaction_of_its_caller_open(path: Path) -> None:
    """Its own transaction ends with it."""
    with closing(open_reader(path)) as connection:
        with read_transaction(connection):
            plan_and_percent(connection)
            assert connection.in_transaction
        assert not connection.in_transaction
        plan_and_percent(connection)
        assert not connection.in_transaction


@pytest.mark.parametrize(
    "words",
    [
        "status",
        "status --json",
        "forecast",
        "usage",
        "events",
        "history",
        "history --plot",
        "threads",
        "next",
        "guard --max-age 9999d",
        "statusline",
        "accounts",
        "prune --older-than 1d",
    ],
)
def test_a_command_reads_the_accounts_once(path: Path, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many queries it runs."""
    statements: list[str] = []

    def traced(path: Path, *seconds: float) -> sqlite3.Connection:
        connection = open_reader(path, *seconds)
        connection.set_trace_callback(statements.append)
        return connection

    monkeypatch.setattr(database, "open_reader", traced)
    result = CliRunner().invoke(cli, [*words.split(), "--db", str(path)], catch_exceptions=False)
    assert result.exit_code in {0, 1}, result.output
    assert sum("FROM tokens GROUP BY" in statement for statement in statements) == 1
