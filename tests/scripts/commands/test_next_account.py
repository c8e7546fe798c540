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
from store.models import Credits, ModelUsage, Window
from tests.support.command_line import invoke
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, limit, snapshot
from tests.support.status_factories import DAY

if TYPE_CHECKING:
    from pathlib import Path

    from store.models import Identity, Snapshot


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
    assert set(document) == {"generated_at", "account", "name", "email", "reason", "ranking"}
    fields = {"account", "name", "email", "plan_type", "usage", "room", "window", "remaining_percent", "resets_at"}
    fields |= {"blocked_by", "blocked_until", "credits_balance", "age_seconds", "stale", "reason"}
    assert [set(each) for each in document["ranking"]] == [fields, fields]
    assert document["account"] == "acct-b/user-b"


def test_a_model_that_is_not_available_is_told(path: Path) -> None:
    """The reason names it, and until when."""
    astra = ModelUsage(available=False, available_at=int(time.time()) + 9 * DAY)
    record(path, snapshot(seen(20).reading.limits[0], at=time.time() - 60, model_usage={"gpt-6-astra": astra}))
    result = invoke("next")
    assert result.stdout == "alice@example.com\n"
    assert result.stderr.startswith("80 % of 7 d left, resets in 2 d 23 h; gpt-6-astra is not available until ")
