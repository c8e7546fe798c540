"""`codex-tap status`, which the bare `codex-tap` runs as well."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from scripts.demo.codex import log_in
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
    assert result.stdout.startswith("bob@example.com · pro\n  codex · seen 50 s ago\n    5 h  █")
    assert "\n\nalice@example.com · plus\n" in result.stdout
    assert two.exists()


@pytest.mark.parametrize("command", [["--json"], ["status", "--json"]])
def test_status_json_is_the_contract(two: Path, command: list[str]) -> None:
    """The document has every documented field."""
    document = json.loads(invoke(*command, "--db", two).stdout)
    assert set(document) == {"document_version", "generated_at", "accounts", "logged_in", "login"}
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


def test_the_account_that_is_logged_in_here_comes_first(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its line says so; the others follow by their pressure. Accounts that were named keep their order."""
    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    log_in(tmp_path, "acct-a", "user-a")
    lines = invoke("--db", two).stdout.splitlines()
    headings = [line for line in lines if line and not line.startswith(" ")]
    assert headings == [f"alice@example.com · plus · login of {tmp_path}", "bob@example.com · pro"]
    assert invoke("--any").stdout.startswith("bob@example.com · pro\n")
    log_in(tmp_path, "acct-b", "user-b")
    assert invoke("status", "alice", "bob").stdout.startswith("alice@example.com · plus\n")
    document = json.loads(invoke("status", "--json").stdout)
    assert [each["label"] for each in document["accounts"]] == ["bob@example.com", "alice@example.com"]
    assert (document["logged_in"], document["login"]) == (
        "acct-b/user-b",
        f"{tmp_path} is logged in as bob@example.com",
    )


def test_an_account_that_is_logged_in_and_was_not_seen(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are shown, below a line that says so; a login that cannot be read is one note."""
    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    log_in(tmp_path, "acct-x", "user-x")
    start = f"the account that {tmp_path} is logged in with has not been seen yet\n\nbob@example.com · pro\n"
    assert invoke("status", "--db", two).stdout.startswith(start)
    assert invoke("status", "alice").stdout.startswith("alice@example.com · plus\n")
    (tmp_path / "auth.json").write_text("{", "utf-8")
    result = invoke("status")
    assert (result.exit_code, result.stdout[:22]) == (0, "bob@example.com · pro\n")
    assert result.stderr == (
        f"codex-tap: note: the login of {tmp_path} cannot be read (it is not the JSON that Codex writes); "
        "nobody counts as logged in\n"
    )
