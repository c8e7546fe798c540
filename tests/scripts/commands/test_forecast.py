"""`codex-tap forecast`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from store.analysis.forecast import Forecast
from tests.support.command_line import invoke
from tests.support.usage_factories import bob_and_alice

if TYPE_CHECKING:
    from pathlib import Path


def test_each_window_has_a_line(path: Path) -> None:
    """The JSON document has every documented field of the same windows."""
    bob_and_alice(path)
    shown = invoke("forecast", "--db", path)
    assert (shown.exit_code, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert lines[0] == "alice@example.com · plus"
    assert lines[1] == "  codex"
    assert lines[2].startswith("     7 d    90 % used    2.")
    assert "at this pace dry at " in lines[2]
    assert "before its reset" in lines[2]
    assert "dry now, back at " in lines[6]

    document = json.loads(invoke("forecast", "--json", "--db", path, "alice").stdout)
    (account,) = document["accounts"]
    assert set(account) == {"account", "label", "name", "email", "plan_type", "limits"}
    (main,) = account["limits"]
    week = main["windows"]["7d"]
    assert set(Forecast._fields) < set(week)
    assert week["used_percent"] == 90
    assert document["generated_at"] < week["runs_dry_low"] <= week["runs_dry_at"] < week["resets_at"]


def test_nothing_seen_yet(path: Path) -> None:
    """Without a database the exit code is 3, and the JSON document is empty."""
    shown = invoke("forecast", "--json", "--db", path)
    assert shown.exit_code == 3
    assert json.loads(shown.stdout)["accounts"] == []
    assert "Nothing seen yet" in invoke("forecast", "--db", path).stdout
