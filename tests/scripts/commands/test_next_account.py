"""`codex-tap next`."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from scripts.support.errors import NOTHING_YET
from store.database import open_writer
from store.edits import rename_account
from store.models import Credits, Identity, ModelUsage, Window
from tests.support.command_line import invoke
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, limit, snapshot
from tests.support.status_factories import DAY

if TYPE_CHECKING:
    from pathlib import Path

    from store.models import Snapshot


def seen(used: float, *, who: Identity = ALICE, balance: str | None = None) -> Snapshot:
    now = time.time()
    found = {"7d": Window(used_percent=used, window_minutes=10_080, resets_at=int(now + 3 * DAY))}
    credits_left = Credits(has_credits=balance is not None, unlimited=False, balance=balance)
    return snapshot(limit(found), who=who, at=now - 60, credits=credits_left)


def test_a_pipe_gets_the_account_alone(path: Path) -> None:
    """`$(codex-tap next)` is the account; the reason is on standard error."""
    record(path, seen(80), seen(20, who=BOB))
    result = invoke("next")
    assert (result.exit_code, result.stdout) == (0, "bob@example.com\n")
    assert result.stderr.startswith("80 % of 7 d left, resets in 2 d 23 h")


def test_a_name_stands_for_the_account(path: Path) -> None:
    """The output has the name, and prefixes choose accounts as in every command."""
    record(path, seen(80), seen(20, who=BOB))
    with closing(open_writer(path)) as connection:
        rename_account(connection, 1, "work")
    assert invoke("next", "work").stdout == "work\n"
    assert invoke("next", "carol").exit_code == 2


@pytest.mark.parametrize(
    ("spenders", "exit_code", "stdout"),
    [
        ("none", 1, ""),
        ("all", 0, "bob@example.com\n"),
        ("bob", 0, "bob@example.com\n"),
        ("alice,bob@", 0, "bob@example.com\n"),
        ("alice", 1, ""),
        ("carol", 2, ""),
    ],
)
def test_who_may_spend_credits(path: Path, spenders: str, exit_code: int, stdout: str) -> None:
    """By default no account; accounts are chosen by prefixes as in every command."""
    record(path, seen(100), seen(100, who=BOB, balance="9.5"))
    result = invoke("next", "--credits", spenders)
    assert (result.exit_code, result.stdout) == (exit_code, stdout)


def test_no_account_can_be_used(path: Path) -> None:
    """The exit code is 1, and a line for each account has the end of its block."""
    record(path, seen(100), seen(100, who=BOB))
    result = invoke("next")
    assert (result.exit_code, result.stdout) == (1, "")
    first, alice, bob = result.stderr.splitlines()
    assert first == "No account can be used now."
    assert alice.startswith("  alice@example.com: blocked by 7 d until 20")
    assert bob.startswith("  bob@example.com: blocked by 7 d until 20")


def test_nothing_known_yet(path: Path) -> None:
    """The exit code is 3, and the JSON document has no ranking."""
    result = invoke("next", "--db", path)
    assert (result.exit_code, result.stdout, result.stderr) == (3, "", f"{NOTHING_YET}\n")
    result = invoke("next", "--json")
    assert (result.exit_code, json.loads(result.stdout)["ranking"]) == (3, [])


def test_json(path: Path) -> None:
    """The ranking has every account, with every documented field."""
    record(path, seen(80), seen(20, who=BOB))
    document = json.loads(invoke("next", "--json").stdout)
    assert set(document) == {
        "document_version",
        "generated_at",
        "account",
        "label",
        "name",
        "email",
        "reason",
        "ranking",
    }
    fields = {
        "account",
        "label",
        "name",
        "email",
        "plan_type",
        "usage",
        "room",
        "window",
        "remaining_percent",
        "resets_at",
    }
    fields |= {"length", "size", "size_from"}
    fields |= {"blocked_by", "blocked_until", "credits_balance", "age_seconds", "stale", "reason"}
    assert [set(each) for each in document["ranking"]] == [fields, fields]
    assert document["account"] == "acct-b/user-b"


ANN = "ann@example.com"
TWO_WORKSPACES = [
    Identity(token_key=f"eyJhbGciOiJSUzI1NiIs~{number}", account_id=workspace, user_id="user-1", email=ANN)
    for number, workspace in enumerate(("ws-1", "ws-10"))
]


@pytest.mark.parametrize(
    "accounts",
    [
        pytest.param(TWO_WORKSPACES, id="two workspaces under one e-mail"),
        pytest.param(
            [Identity(token_key="a~1", account_id="a"), Identity(token_key="a~2", account_id="a b")], id="prefix"
        ),
        pytest.param([Identity(token_key="-x~1", user_id="-x~1"), Identity(token_key="-~2", user_id="-~2")], id="dash"),
        pytest.param(
            [Identity(token_key="t~1", account_id="a/b"), Identity(token_key="t~2", account_id="a", user_id="b")],
            id="one key",
        ),
        pytest.param([Identity(token_key="t~1", account_id="a$(x)*?'\"", email="'; \u202e@x")], id="odd characters"),
        pytest.param([Identity(token_key="t~1", account_id="a", email="a, b@x"), ALICE], id="a comma"),
    ],
)
def test_what_next_prints_names_one_account(path: Path, accounts: list[Identity]) -> None:
    """It can be given to every other command, whichever account it is."""
    for best in accounts:
        record(path, *(seen(10 if who == best else 80, who=who) for who in accounts))
        label = invoke("next").stdout.removesuffix("\n")
        expected = json.loads(invoke("next", "--json").stdout)["account"]
        for words in (
            ["guard", label],
            ["status", label],
            ["history", label],
            ["next", label],
            ["next", "--credits", label],
        ):
            assert invoke(*words).exit_code in {0, 1}, invoke(*words).stderr
        assert json.loads(invoke("guard", label, "--json").stdout)["account"] == expected
        assert invoke("guard", label).stdout.startswith(f"go: {label}, ")


def test_a_name_that_is_anothers_e_mail(path: Path) -> None:
    """Neither account is called so."""
    record(path, seen(10), seen(20, who=BOB))
    assert invoke("accounts", "name", "bob", ALICE.email or "").exit_code == 0
    assert invoke("next").stdout == "acct-a/user-a\n"
    assert invoke("guard", ALICE.email or "").exit_code == 2
    assert invoke("guard", "acct-b/user-b").stdout.startswith("go: bob@example.com, ")


def test_a_model_that_is_not_available_is_told(path: Path) -> None:
    """The reason names it, and until when."""
    astra = ModelUsage(available=False, available_at=int(time.time()) + 9 * DAY)
    record(path, snapshot(seen(20).reading.limits[0], at=time.time() - 60, model_usage={"gpt-6-astra": astra}))
    result = invoke("next")
    assert result.stdout == "alice@example.com\n"
    assert result.stderr.startswith("80 % of 7 d left, resets in 2 d 23 h; gpt-6-astra is not available until ")


def test_a_free_month_is_not_more_than_a_plus_week(path: Path) -> None:
    """Two thirds of the one are less than half of the other, however soon the month ends."""
    now = time.time()
    month = {"7d": Window(used_percent=34, window_minutes=43_200, resets_at=int(now + DAY))}
    week = {"7d": Window(used_percent=50, window_minutes=10_080, resets_at=int(now + 6.9 * DAY))}
    free = snapshot(limit(month), at=now - 60, plan_type="free")
    record(path, free, snapshot(limit(week), who=BOB, at=now - 60, plan_type="plus"))
    result = invoke("next")
    assert (result.stdout, result.stderr.startswith("50 % of 7 d left")) == ("bob@example.com\n", True)
    ranking = json.loads(invoke("next", "--json").stdout)["ranking"]
    assert [(each["window"], each["length"], each["size"]) for each in ranking] == [
        ("7d", "7d", 1),
        ("7d", "30d", 0.05),
    ]
