"""An account whose only limit is a budget, in every command."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from addon.messages import read_usage
from store.models import Snapshot, Source
from tests.support.command_line import invoke
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, limit, snapshot, turn, windows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOUR, DAY = 3_600, 86_400
LEFT = 19 * DAY + 1_800


def usage(used: int, ago: float, **document: Any) -> Snapshot:
    """A usage document as a business account got it so many seconds ago."""
    at = time.time() - ago
    budget = {
        "source": "group_based_spend_controls",
        "limit": "25000",
        "used": str(250 * used),
        "remaining": str(250 * (100 - used)),
        "used_percent": used,
        "remaining_percent": 100 - used,
        "reset_after_seconds": LEFT + ago,
        "reset_at": int(at + LEFT + ago),
    }
    content = {
        "plan_type": "business",
        "rate_limit": None,
        "credits": {"has_credits": True, "unlimited": False, "balance": None},
        "spend_control": {"reached": used >= 100, "individual_limit": budget},
        **document,
    }
    parsed = read_usage(json.dumps(content).encode(), at)
    assert parsed is not None
    return Snapshot(identity=ALICE, observed_at=at, source=Source.USAGE, reading=parsed.reading, status=200)


def seen(last: int = 96) -> list[Snapshot]:
    """The budget an hour ago and before, a point an hour; of the last one `last` percent."""
    return [*(usage(percent, ago=(97 - percent) * HOUR) for percent in range(86, 96)), usage(last, ago=HOUR)]


def no_windows() -> Snapshot:
    """A websocket message of an account whose plan has no windows."""
    found = limit({}, allowed=True, limit_reached=False)
    return snapshot(found, at=time.time() - 20, source=Source.WEBSOCKET)


@pytest.mark.parametrize(
    ("words", "exit_code", "shown"),
    [
        (["status"], 0, "Monthly credit limit (spend_control): 24,000 of 25,000 credits · seen 1 h ago"),
        (["status"], 0, "96 % used  4 % left  resets in 19 d"),
        (["statusline"], 0, "alice@example.com budget 96 % (19d)"),
        (["guard", "--max-age", "2h"], 1, "below: alice@example.com (seen last), 4 % of budget left, resets in 19 d"),
        (
            ["guard", "--max-age", "2h", "--min-remaining", "3"],
            0,
            "go: alice@example.com (seen last), 4 % of budget left",
        ),
        (["guard", "--max-age", "2h", "--window", "budget"], 1, "below: "),
        (["guard", "--max-age", "2h", "--limit", "spend_control"], 1, "below: "),
        (
            ["guard", "--min-remaining", "3", "--budget", "9%"],
            3,
            "the budget cannot be checked: no window with a known",
        ),
        (["next"], 0, "4 % of budget left, resets in 19 d"),
        (["forecast"], 0, "budget    96 % used"),
        (["history"], 0, "budget 96 %    24,000 of 25,000 credits"),
        (["history", "--plot", "--since", "1d"], 0, "Monthly credit limit"),
        (["history", "--csv"], 0, "25000,24000,1000,"),
        (["usage"], 0, "budget window of spend_control"),
        (["events"], 0, "Used elsewhere: 1 point of the Monthly credit limit"),
    ],
)
@pytest.mark.parametrize("beside", [list, lambda: [no_windows()]], ids=["alone", "beside a limit without windows"])
def test_a_budget_is_shown(
    path: Path, words: list[str], exit_code: int, shown: str, beside: Callable[[], list[Snapshot]]
) -> None:
    """Each command says what is left of it, whether or not the server reports a main limit without windows."""
    record(path, *seen(), *beside())
    result = invoke(*words)
    assert (result.exit_code, shown in result.output) == (exit_code, True), result.output


@pytest.mark.parametrize(
    ("words", "exit_code", "shown"),
    [
        (["status"], 0, "blocked by budget until "),
        (["statusline"], 0, "budget 100 %! (19d)"),
        (["guard"], 1, "below: alice@example.com (seen last), 0 % of budget left, resets in 19 d"),
        (["next", "--credits", "all"], 1, "blocked by budget until "),
        (["forecast"], 0, "dry now, back at "),
        (["events", "--kind", "limit_reached"], 0, "The Monthly credit limit is full, at 100 % used; it resets "),
    ],
)
def test_a_budget_that_is_used_up(path: Path, words: list[str], exit_code: int, shown: str) -> None:
    """It is closed until its reset, whatever credits there are."""
    record(path, *seen(100))
    result = invoke(*words)
    assert (result.exit_code, shown in result.output) == (exit_code, True), result.output


def test_an_alert_about_a_budget(path: Path, tmp_path: Path) -> None:
    """Rules about used percents hold for it as for any window."""
    config = tmp_path / "alerts.toml"
    config.write_text('[targets]\nme = ["true"]\n\n[[rules]]\nat = [90]\ntargets = ["me"]\n', "utf-8")
    record(path, *seen())
    result = invoke("alerts", "check", "--config", config)
    assert "alice@example.com: Monthly credit limit at 96 % used, resets " in result.output


def test_turns_use_a_budget(path: Path) -> None:
    """What a member may spend is used by the turns of every limit."""
    documents = seen()
    turns = [turn(f"t-{number % 2}", at=each.observed_at - 60) for number, each in enumerate(documents)]
    record(path, *(entry for pair in zip(turns, documents, strict=True) for entry in pair))
    document = json.loads(invoke("usage", "--json").output)
    assert document["limit_id"] == "spend_control"
    assert {row["key"]: row["points"] for row in document["rows"]} == {"t-0": 5.0, "t-1": 5.0}
    assert document["unit"] == "credits"
    assert {row["key"]: row["amount"] for row in document["rows"]} == {"t-0": 1_250.0, "t-1": 1_250.0}
    lines = invoke("usage").output.splitlines()
    assert lines[1].split()[:2] == ["Thread", "Credits"]
    assert [line.split()[:2] for line in lines[2:5]] == [["t-0", "1,250.0"], ["t-1", "1,250.0"], ["total", "2,500.0"]]
    assert lines[6].startswith("In all 2,500.0 credits, ")


def test_accounts_without_a_budget_have_no_part_in_it(path: Path) -> None:
    """One that has none changes nothing; one whose budget has another unit leaves points."""
    other = snapshot(limit(windows(10, 20, at=time.time())), who=BOB, at=time.time() - 50)
    record(path, *seen(), other)
    assert json.loads(invoke("usage", "--limit", "spend_control", "--json").output)["unit"] == "credits"
    euros = usage(90, 2 * HOUR)
    (only,) = euros.reading.limits
    assert only.budget is not None
    changed = only.model_copy(update={"budget": only.budget.model_copy(update={"unit": "eur"})})
    reading = euros.reading.model_copy(update={"limits": (changed,)})
    record(path, euros.model_copy(update={"identity": BOB, "reading": reading}))
    document = json.loads(invoke("usage", "--limit", "spend_control", "--json").output)
    assert (document["unit"], document["total"]["amount"]) == (None, None)
    alone = json.loads(invoke("usage", "bob", "--limit", "spend_control", "--json").output)
    assert alone["unit"] == "eur"


def test_credits_are_exact_where_percents_are_whole(path: Path) -> None:
    """They follow from the amounts that the server sends, not from its rounded percent."""
    amounts = [budget(amount, ago) for amount, ago in ((24_000, 3 * HOUR), (24_010, 2 * HOUR), (24_030, HOUR))]
    turns = [turn("t", at=each.observed_at - 60) for each in amounts]
    record(path, *(entry for pair in zip(turns, amounts, strict=True) for entry in pair))
    document = json.loads(invoke("usage", "--json").output)
    assert document["total"]["amount"] == pytest.approx(30)


def budget(used: int, ago: float) -> Snapshot:
    """A usage document with a percent that does not move."""
    found = usage(96, ago)
    (only,) = found.reading.limits
    assert only.budget is not None
    changed = only.model_copy(update={"budget": only.budget.model_copy(update={"used": str(used)})})
    return found.model_copy(update={"reading": found.reading.model_copy(update={"limits": (changed,)})})
