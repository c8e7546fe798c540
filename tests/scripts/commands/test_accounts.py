"""`codex-tap accounts`: the list, names and deletion."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from scripts.support.errors import NOTHING_YET
from tests.support.command_line import invoke
from tests.support.factories import ALICE, BOB

if TYPE_CHECKING:
    from pathlib import Path


def test_accounts_lists_what_is_known(two: Path) -> None:
    """The list has every account, as text and as JSON."""
    assert "bob@example.com · pro\n  account  acct-b/user-b\n  token    bob~" in invoke("accounts", "--db", two).stdout
    first, second = json.loads(invoke("accounts", "--json", "--db", two).stdout)
    assert set(first) == {
        *("account", "label", "name", "email", "plan_type", "token_keys", "merged", "first_seen_at", "last_seen_at")
    }
    assert (second["account"], second["plan_type"], second["token_keys"]) == ("acct-b/user-b", "pro", [BOB.token_key])


def test_accounts_with_nothing_known(path: Path) -> None:
    """The exit code is 3, with an output as text and as JSON."""
    assert (invoke("accounts", "--db", path).stdout, invoke("accounts").exit_code) == (f"{NOTHING_YET}\n", 3)
    assert (invoke("accounts", "--json").stdout, invoke("accounts", "--json").exit_code) == ("[]\n", 3)


def test_an_account_is_named_and_unnamed(two: Path) -> None:
    """An account can be chosen by its name until the name is removed."""
    result = invoke("accounts", "name", "ali", " work ", "--db", two)
    assert (result.exit_code, result.stdout) == (0, "alice@example.com · plus is now named work.\n")
    assert invoke("status", "work").stdout.startswith("work · alice@example.com · plus\n")
    assert invoke("accounts", "name", "work", "--clear").stdout == "alice@example.com · plus has no name now.\n"
    assert invoke("status", "work").exit_code == 2


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["bob", "work"], "Error: another account already has the name 'work'\n"),
        (["bob", "  "], "Error: a name must not be empty or contain control characters\n"),
        (["bob", "a\x1bb"], "Error: a name must not be empty or contain control characters\n"),
        (["bob"], "Error: Give either a NAME or --clear.\n"),
        (["bob", "x", "--clear"], "Error: Give either a NAME or --clear.\n"),
        (["carol", "x"], "Error: no account matches 'carol'; there are:\n"),
    ],
)
def test_a_name_that_cannot_be_given(two: Path, words: list[str], error: str) -> None:
    """The error names the problem, and nothing changes."""
    invoke("accounts", "name", "alice", "work", "--db", two)
    before = invoke("accounts", "--json").stdout
    result = invoke("accounts", "name", *words)
    assert result.exit_code == 2
    assert error in result.stderr
    assert invoke("accounts", "--json").stdout == before


def test_forgetting_asks_first(two: Path) -> None:
    """The question names what would be deleted; declining deletes nothing and exits with 1."""
    result = invoke("accounts", "forget", "bob", "--db", two, answer="n\n")
    assert result.exit_code == 1
    assert "This deletes 2 snapshots of 2 limits, 1 token key." in result.stdout
    assert len(json.loads(invoke("accounts", "--json").stdout)) == 2


@pytest.mark.parametrize(("flags", "answer"), [([], "y\n"), (["--yes"], None)])
def test_forgetting(two: Path, flags: list[str], answer: str | None) -> None:
    """The account and its data are deleted, the other account stays."""
    result = invoke("accounts", "forget", "bob", *flags, "--db", two, answer=answer)
    assert result.exit_code == 0
    assert result.stdout.endswith("Deleted: bob@example.com · pro (2 snapshots of 2 limits, 1 token key).\n")
    assert [account["email"] for account in json.loads(invoke("accounts", "--json").stdout)] == [ALICE.email]
    assert {entry["email"] for entry in json.loads(invoke("history", "--json").stdout)} == {ALICE.email}


_MAY_HOLD = (".v1.bak", ".unwritten-1-a.jsonl", "-alerts.json", "-alerts.json.part", ".unwritten-2-b.jsonl.part")


def test_forgetting_names_what_may_still_hold_it(two: Path) -> None:
    """Backups, unwritten readings and the state of alerts stay; their paths are printed."""
    beside = [two.with_name(f"{two.name}{end}") for end in _MAY_HOLD]
    for path in beside:
        path.touch()

    result = invoke("accounts", "forget", "bob", "--yes", "--db", two)

    assert result.exit_code == 0
    assert result.output.splitlines()[-len(beside) :] == [f"  {path}" for path in beside]


@pytest.mark.parametrize("words", [["name", "x", "y"], ["forget", "x", "--yes"]])
def test_naming_and_forgetting_make_no_database(path: Path, words: list[str]) -> None:
    """Without a database the exit code is 3, and no file is created."""
    result = invoke("accounts", *words, "--db", path)
    assert (result.exit_code, result.stderr) == (3, f"Error: {NOTHING_YET}\n")
    assert not path.exists()


def test_an_account_that_is_gone_when_it_is_to_be_merged(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the user is asked, another command may have deleted it."""

    def forget(*_: object, **__: object) -> bool:
        assert invoke("accounts", "forget", "bob", "--yes", "--db", two).exit_code == 0
        return True

    monkeypatch.setattr("click.confirm", forget)
    result = invoke("accounts", "merge", "ali", "bob", "--db", two)
    assert (result.exit_code, result.stderr) == (
        4,
        "Error: one of them was merged or deleted meanwhile; codex-tap accounts lists what is there\n",
    )


def test_two_accounts_are_merged(two: Path) -> None:
    """The other's data and its names lead to the one that stays; before that, the command asks."""
    contents = "2 snapshots of 2 limits, 1 token key"
    question = f"bob@example.com · pro\ngoes to: alice@example.com · plus\nThis moves {contents}.\n"
    declined = invoke("accounts", "merge", "ali", "bob", "--db", two, answer="n\n")
    assert (declined.exit_code, declined.stdout.startswith(question)) == (1, True)
    assert len(json.loads(invoke("accounts", "--json").stdout)) == 2

    merged = invoke("accounts", "merge", "ali", "bob", "--yes")
    assert (merged.exit_code, merged.stdout) == (
        0,
        "Merged: bob@example.com · pro into alice@example.com · plus (2 snapshots of 2 limits, 1 token key).\n",
    )
    (left,) = json.loads(invoke("accounts", "--json").stdout)
    assert (left["account"], left["merged"]) == ("acct-a/user-a", ["acct-b/user-b"])
    assert sorted(left["token_keys"]) == sorted([ALICE.token_key, BOB.token_key])
    assert invoke("status", "acct-b").stdout == invoke("status", "alice").stdout
    limits = json.loads(invoke("status", "--json").stdout)["accounts"][0]["limits"]
    assert [each["limit_id"] for each in limits] == ["codex", "codex_bengalfox"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["ali", "alice"], "Error: 'ali' and 'alice' are the same account\n"),
        (["ali", "carol"], "Error: no account matches 'carol'; there are:\n"),
        (["a"], "Missing argument 'OTHER'"),
    ],
)
def test_accounts_that_cannot_be_merged(two: Path, words: list[str], error: str) -> None:
    """The error names the problem, and nothing changes."""
    before = invoke("accounts", "--json", "--db", two).stdout
    result = invoke("accounts", "merge", *words, "--yes")
    assert result.exit_code == 2
    assert error in result.stderr
    assert invoke("accounts", "--json").stdout == before
