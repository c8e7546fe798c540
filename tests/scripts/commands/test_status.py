"""`codex-tap status`, which the bare `codex-tap` runs as well."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from scripts.support.errors import NOTHING_YET
from tests.support.command_line import invoke
from tests.support.factories import ALICE, BOB

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("command", [[], ["status"]])
def test_the_bare_command_is_status(two: Path, command: list[str]) -> None:
    """Without a command, codex-tap prints the status."""
    result = invoke(*command)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("alice@example.com · plus\n  codex · seen 1 min ago\n    5 h  █")
    assert "\n\nbob@example.com · pro\n" in result.stdout
    assert two.exists()


@pytest.mark.parametrize("command", [["--json"], ["status", "--json"]])
def test_status_json_is_the_contract(two: Path, command: list[str]) -> None:
    """The document has every documented field."""
    document = json.loads(invoke(*command, "--db", two).stdout)
    assert set(document) == {"document_version", "generated_at", "accounts"}
    alice = document["accounts"][0]
    contract = {"account", "name", "email", "plan_type", "token_key", "credits", "limits"}
    assert contract <= set(alice)
    assert (alice["account"], alice["email"], alice["token_key"]) == ("acct-a/user-a", ALICE.email, ALICE.token_key)
    (main,) = alice["limits"]
    assert (
        main["windows"]["5h"].items()
        >= {
            "used_percent": 13.0,
            "remaining_percent": 87.0,
            "window_minutes": 300,
            "reset_unseen": False,
        }.items()
    )
    assert 100 <= main["age_seconds"] < 160


@pytest.mark.parametrize(
    ("starts", "shown"),
    [
        (["alice"], [ALICE.email]),
        (["acct-b"], [BOB.email]),
        ([BOB.token_key[:5], "ALICE@"], [BOB.email, ALICE.email]),
        (["alice", "acct-a"], [ALICE.email]),
    ],
)
def test_arguments_narrow_to_accounts(two: Path, starts: list[str], shown: list[str]) -> None:
    """Accounts are chosen by unambiguous prefixes; the output keeps their order, without duplicates."""
    document = json.loads(invoke("status", *starts, "--json", "--db", two).stdout)
    assert [account["email"] for account in document["accounts"]] == shown


def test_an_unknown_account_is_wrong_use(two: Path) -> None:
    """The error lists the known accounts."""
    result = invoke("status", "carol", "--db", two)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        "Error: no account matches 'carol'; there are:",
        "  alice@example.com  acct-a/user-a  alice~0000000001",
        "  bob@example.com  acct-b/user-b  bob~0000000002",
    ]


def test_an_ambiguous_account_is_wrong_use(two: Path) -> None:
    """The error lists the candidates."""
    result = invoke("status", "acct", "--db", two)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: 'acct' matches several accounts:\n  alice@")


def test_nothing_stored_yet(path: Path) -> None:
    """The message has the next step, the exit code is 3, and no database is created."""
    result = invoke("--db", path)
    assert (result.exit_code, result.stdout.splitlines()[0]) == (3, NOTHING_YET)
    assert not path.exists()


@pytest.mark.parametrize("arguments", [[], ["alice"]])
def test_nothing_stored_yet_json(path: Path, arguments: list[str]) -> None:
    """The document has no accounts."""
    result = invoke("status", *arguments, "--json", "--db", path)
    document = json.loads(result.stdout)
    assert (result.exit_code, document["accounts"], result.stderr) == (3, [], "")
    assert abs(document["generated_at"] - time.time()) < 60


def test_watch_cannot_be_combined_with_json(path: Path) -> None:
    """--watch is for people, --json prints one document."""
    assert invoke("--watch", "--json", "--db", path).exit_code == 2
