"""Completion of accounts and threads, through the protocol of the shells."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import invoke, started
from tests.support.databases import damage, record
from tests.support.factories import ALICE, BOB, AccountHistory, insert_history
from tests.support.readings import reading
from tests.support.usage_factories import turn

if TYPE_CHECKING:
    from pathlib import Path

FIRST, SECOND = "0199aaaa-0000-7000-8000-000000000001", "0199bbbb-9000-7000-8000-000000000002"


def completed(line: str, shell: str = "bash") -> list[str]:
    """Return what a shell is offered for the last word of a line; nothing is printed beside it."""
    words = line.split(" ")
    asked = {
        "_CODEX_TAP_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": words[-1] if shell == "fish" else str(len(words) - 1),
    }
    result = started(env={**os.environ, **asked})
    assert (result.returncode, result.stderr) == (0, "")
    return [each for each in result.stdout.splitlines() if each]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("codex-tap status ", ["alice@example.com", "work"]),
        ("codex-tap status WO", ["work"]),
        ("codex-tap status bob", ["bob@example.com"]),
        ("codex-tap status acct-b", ["acct-b/user-b"]),
        ("codex-tap status alice@example.com w", ["work"]),
        ("codex-tap status carol", []),
        *((f"codex-tap {words} al", ["alice@example.com"]) for words in ("usage", "history", "guard", "statusline")),
        *((f"codex-tap accounts {words} al", ["alice@example.com"]) for words in ("name", "forget", "merge work")),
    ],
)
def test_accounts(path: Path, line: str, found: list[str]) -> None:
    """Labels are offered, in any case; keys and e-mails where no label begins so."""
    record(path, reading(), reading(who=BOB))
    assert invoke("accounts", "name", BOB.email or "", "work").exit_code == 0
    assert completed(line) == [f"plain,{word}" for word in found]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("codex-tap threads name ", ["docs"]),
        ("codex-tap threads name do", ["docs"]),
        ("codex-tap threads name 0199", [SECOND, FIRST]),
        ("codex-tap threads name 0199b", [SECOND]),
        ("codex-tap threads name x", []),
    ],
)
def test_threads(path: Path, line: str, found: list[str]) -> None:
    """Names are offered, and ids where no name begins so, the newest first."""
    now = time.time()
    insert_history(
        path,
        AccountHistory([], [turn(now - 90, now - 80, thread=FIRST), turn(now - 60, now - 50, thread=SECOND)]),
    )
    assert invoke("threads", "name", FIRST, "docs").exit_code == 0
    assert completed(line) == [f"plain,{word}" for word in found]


@pytest.mark.parametrize("place", ["codex-tap --db {} status a", "codex-tap status --db {} a"])
def test_another_database(path: Path, tmp_path: Path, place: str) -> None:
    """`--db` counts, in front of the command and after it."""
    record(path, reading(who=BOB))
    other = record(tmp_path / "other.sqlite3", reading())
    assert completed(place.format(other)) == [f"plain,{ALICE.email}"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_show_the_plan(path: Path, shell: str) -> None:
    """Zsh and fish show a note beside each word."""
    record(path, reading(plan_type="plus"))
    found = completed("codex-tap status al", shell)
    assert "".join(found) in {"plainalice@example.complus", "plain,alice@example.com\tplus"}


def test_names_that_a_shell_would_take_apart(path: Path) -> None:
    """They are not offered; the key of that account is, once it is typed."""
    record(path, reading())
    assert invoke("accounts", "name", "alice@", "my account; rm").exit_code == 0
    assert completed("codex-tap status my") == []
    assert completed("codex-tap status acct") == ["plain,acct-a/user-a"]


@pytest.mark.parametrize("line", ["codex-tap status ", "codex-tap threads name "])
def test_failures_are_silent(path: Path, line: str) -> None:
    """Without a database, and with a damaged one, nothing is offered, and none is created."""
    assert completed(line) == []
    assert not path.exists()
    damage(record(path, reading()))
    completed(line)
    path.write_text("a file of somebody else\n" * 100)
    assert completed(line) == []
