"""The present state of accounts."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from store.database import open_reader, open_writer
from store.models import Credits
from store.queries.accounts import load_accounts
from store.queries.status import empty_status, load_status
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, NOON, limit, snapshot, used, windows

if TYPE_CHECKING:
    from pathlib import Path

    from store.documents import StatusDocument


def status(path: Path) -> StatusDocument:
    """The state of all accounts, a minute after noon."""
    with closing(open_reader(path)) as connection:
        return load_status(connection, NOON + 60.9, load_accounts(connection))


def test_an_account_has_facts_and_limits(path: Path) -> None:
    """The main limit comes first; facts are those reported last, by whichever limit."""
    spark = limit(windows(7), limit_id="a_bengalfox")
    balance = Credits(has_credits=True, unlimited=False, balance="9.5")
    record(
        path,
        used(13, 41, at=NOON, plan_type="plus"),
        snapshot(spark, at=NOON + 30, spend_control_reached=True, plan_type="pro", credits=balance, reset_credits=2),
        used(3, at=NOON + 40, who=BOB),
    )
    document = status(path)
    alice, bob = document["accounts"]
    limits = alice["limits"]
    assert document["generated_at"] == NOON + 60
    assert {name: value for name, value in alice.items() if name != "limits"} == {
        "account": "acct-a/user-a",
        "name": None,
        "email": ALICE.email,
        "plan_type": "pro",
        "token_key": ALICE.token_key,
        "credits": {"has_credits": True, "unlimited": False, "balance": "9.5"},
        "spend_control_reached": True,
        "reset_credits": 2,
        "reset_credits_applicable": None,
        "reset_credits_expire": None,
        "unavailable_models": [],
        "promo": None,
    }
    assert [(each["limit_id"], each["observed_at"]) for each in limits] == [("codex", NOON), ("a_bengalfox", NOON + 30)]
    assert limits[0]["windows"]["5h"]["used_percent"] == 13
    assert [each["windows"]["5h"]["used_percent"] for each in bob["limits"]] == [3]


def test_an_account_without_snapshots_has_no_limits(path: Path) -> None:
    """What is unknown is null."""
    record(path, used(13))
    with closing(open_writer(path)) as connection:
        connection.execute("DELETE FROM limits")
        connection.execute("UPDATE accounts SET snapshot_id = NULL")
    (account,) = status(path)["accounts"]
    assert (account["limits"], account["plan_type"], account["reset_credits"]) == ([], None, None)
    assert (account["credits"], account["spend_control_reached"]) == (None, None)


def test_credits_of_the_account_carry_each_limit(path: Path) -> None:
    """A full limit runs on credits that another limit's message reported."""
    balance = Credits(has_credits=True, unlimited=False, balance="3")
    record(path, used(100), snapshot(limit(windows(1), limit_id="other"), at=NOON + 1, credits=balance))
    (account,) = status(path)["accounts"]
    assert [(each["blocked_by"], each["on_credits"]) for each in account["limits"]] == [(None, True), (None, False)]


def test_the_status_of_nothing() -> None:
    """A database that does not exist yet has no accounts."""
    assert empty_status(NOON + 0.5) == {"generated_at": NOON, "accounts": []}
