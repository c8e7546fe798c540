"""Opening the database and choosing accounts, as every command does it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scripts.support.database import session
from store.errors import MissingError
from store.queries.accounts import AccountError
from store.queries.status import load_status
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, NOON, used


@pytest.fixture
def path() -> Path:
    """The database of two accounts."""
    return record(Path(os.environ["CODEX_TAP_DB"]), used(1), used(2, who=BOB))


@pytest.mark.parametrize(
    ("prefixes", "chosen"),
    [
        ([], [ALICE.email, BOB.email]),
        (["bob"], [BOB.email]),
        (["bob", "acct-a", "bob@"], [BOB.email, ALICE.email]),
    ],
)
def test_a_session_chooses_accounts(path: Path, prefixes: list[str], chosen: list[str]) -> None:
    """Accounts come in the order of the prefixes, each once; without a prefix all are chosen. `known` has all."""
    with session(path, prefixes) as found:
        assert [account.email for account in found.accounts] == chosen
        assert [account.email for account in found.known] == [ALICE.email, BOB.email]
        assert found.connection.execute("SELECT count(*) FROM accounts").fetchone()[0] == 2


@pytest.mark.parametrize("prefix", ["carol", "acct"])
def test_a_prefix_that_matches_not_one_account_is_refused(path: Path, prefix: str) -> None:
    """A prefix of none and one of several raise the same error."""
    with pytest.raises(AccountError), session(path, [prefix]):
        pass


@pytest.mark.parametrize("exists", [False, True], ids=["missing", "without accounts"])
def test_nothing_known_is_one_error(tmp_path: Path, exists: bool) -> None:
    """A missing database and one without accounts look the same, even to a prefix."""
    path = tmp_path / "tap.sqlite3"
    if exists:
        record(path)
    with pytest.raises(MissingError), session(path, ["carol"]):
        pass
    assert path.exists() == exists


def test_a_session_sees_one_state_of_the_database(path: Path) -> None:
    """A message recorded in the meantime is in neither the accounts nor the queries."""
    with session(path, [ALICE.token_key]) as found:
        record(path, used(9, at=NOON + 60, plan_type="pro"))
        (status,) = load_status(found.connection, NOON + 60, found.accounts)["accounts"]
    assert status["plan_type"] is None
    assert status["limits"][0]["windows"]["5h"]["used_percent"] == 1
