"""A summary of a great many accounts, and those that need attention first."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from store.analysis.account_limits import main_limit
from store.analysis.levels import level
from store.analysis.pressure import by_pressure, highest_use
from store.constants import MANY_ACCOUNTS, MOST_PRESSED
from store.database import open_reader
from store.queries.accounts import are_many, load_accounts
from store.queries.many_accounts import load_shown, load_shown_status, load_uses
from store.queries.status import load_status
from tests.support.databases import record
from tests.support.factories import ALICE, NOON, used
from tests.support.synthetic_history import DAY, HOUR, Size, generate

if TYPE_CHECKING:
    from pathlib import Path

    from store.documents import AccountStatus

NOW = time.time()


@pytest.fixture(scope="module", name="many")
def _many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("many") / "many.sqlite3"
    generate(path, Size(snapshots=3_000, turns=6_000, accounts=MANY_ACCOUNTS + 100, days=20), NOW)
    return path


def _standing(account: AccountStatus) -> str:
    limit = main_limit(account) or max(account["limits"], key=highest_use, default=None)
    if limit is None:
        return "unknown"
    return limit["state"] if limit["state"] != "open" else level(highest_use(limit)) or "unknown"


@pytest.mark.parametrize("later", [0, 3 * HOUR, 2 * DAY, 9 * DAY], ids=["now", "hours", "days", "all reset"])
def test_it_is_what_the_documents_of_all_accounts_say(many: Path, later: int) -> None:
    """The numbers by plan, and which accounts are the most pressed, whatever has been reset since."""
    now = NOW + later
    with closing(open_reader(many)) as connection:
        everything = load_status(connection, now, load_accounts(connection))["accounts"]
        found = load_shown_status(connection, now, load_shown(connection, now))
        standings = {each.account: each.standing for each in load_uses(connection, now)}
    assert Counter(standings.values()) == Counter(map(_standing, everything))
    counted = Counter((account["plan_type"], _standing(account)) for account in everything)
    for plan in found["summary"]["plans"]:
        for standing in ("refused", "on_credits", "high", "medium", "low", "unknown"):
            assert plan[standing] == counted[plan["plan_type"], standing]
    first = by_pressure(everything, None)[:MOST_PRESSED]
    pressures = [(_standing(each), max(map(highest_use, each["limits"]))) for each in first]
    assert [(_standing(each), max(map(highest_use, each["limits"]))) for each in found["accounts"]] == pressures
    by_key = {each["account"]: each for each in everything}
    assert all(by_key[each["account"]] == each for each in found["accounts"])


def test_who_is_shown(many: Path) -> None:
    """The accounts asked for are ahead of the most pressed ones; a search is among all; all are given on demand."""
    with closing(open_reader(many)) as connection:
        assert are_many(connection)
        pressed = load_shown(connection, NOW).accounts
        assert len(pressed) == MOST_PRESSED
        assert load_shown(connection, NOW, first=[7]).accounts[0].id == 7
        found = load_shown(connection, NOW, search="PERSON-17 @example")
        assert sorted(each.id for each in found.accounts) == [17, *range(170, 180)]
        assert found.summary is not None
        every = load_shown(connection, NOW, every=True)
        assert (len(every.accounts), every.summary) == (MANY_ACCOUNTS + 100, None)


def test_few_accounts_are_all_shown(path: Path) -> None:
    """There is no summary, and a search leaves out the others."""
    with closing(open_reader(record(path, used(1)))) as connection:
        shown = load_shown(connection, NOON)
        assert [each.email for each in shown.accounts] == [ALICE.email]
        assert "summary" not in load_shown_status(connection, NOON, shown)
        assert load_shown(connection, NOON, search="bob").accounts == []
