"""Terminal output of ``status`` for a great many accounts."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import pytest

from store.constants import MANY_ACCOUNTS
from tests.support.command_line import invoke
from tests.support.synthetic_history import Size, generate

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module", name="many")
def _many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("many") / "many.sqlite3"
    generate(path, Size(snapshots=1_500, turns=3_000, accounts=MANY_ACCOUNTS + 50, days=8), time.time())
    return path


def test_numbers_by_plan_and_the_most_pressed(many: Path) -> None:
    """A line for each plan and for all, a line for each account, and what shows more."""
    lines = invoke("status", "--db", many).stdout.splitlines()
    assert re.fullmatch(r"plan +accounts( +[\w% ]+)+", lines[0])
    assert [line.split()[:2] for line in lines[1:7]] == [
        *([plan, "50"] for plan in ("free", "plus", "pro", "prolite", "team")),
        ["all", "250"],
    ]
    for line in lines[1:7]:
        first, *rest = (int(number.replace(",", "")) for number in line.split()[1:])
        assert first == sum(rest)
    assert lines[8] == "The 20 most pressed:"
    assert all(re.match(r"  person-\d+ +(5 h|30 d) ", line) for line in lines[9:29])
    assert lines[-1] == "codex-tap status NAME shows one account, codex-tap status --all shows all 250."


def test_the_account_that_is_logged_in_is_the_first(
    many: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It says so."""
    (tmp_path / "auth.json").write_text('{"tokens": {"account_id": "acct-77"}}')
    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    lines = invoke("status", "--db", many).stdout.splitlines()
    assert re.match(rf"  person-77 .*login of {re.escape(str(tmp_path))}", lines[9])


def test_one_of_them(many: Path) -> None:
    """It is shown as among few."""
    done = invoke("status", "person-177", "--db", many)
    assert done.stdout.startswith("person-177 · p177@example.com · pro\n")


def test_all_of_them(many: Path) -> None:
    """On demand, in one document."""
    assert len(json.loads(invoke("status", "--all", "--json", "--db", many).stdout)["accounts"]) == 250
    found = json.loads(invoke("status", "--json", "--db", many).stdout)
    assert (len(found["accounts"]), found["summary"]["accounts"]) == (20, 250)
    assert invoke("status", "--all", "person-1", "--db", many).exit_code == 2
