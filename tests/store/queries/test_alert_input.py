"""What an evaluation of alerts reads."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from store.analysis.alerting import Rule
from store.analysis.limit_status import WindowRow
from store.database import open_reader
from store.queries.accounts import load_accounts
from store.queries.alert_input import load_alert_input
from tests.support.databases import record
from tests.support.factories import BOB, NOON, used

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from store.analysis.alerting import AlertInput


DAY = 86_400
BY_PERCENT = Rule(at=(80.0,), targets=("phone",))


def about(*kinds: str) -> Rule:
    """A rule about kinds of events."""
    return Rule(kinds=frozenset(kinds), targets=("phone",))


def loaded(path: Path, rules: Collection[Rule], *, at: float = NOON + 60, forecast: bool = True) -> AlertInput:
    """The input of an evaluation, a minute after noon."""
    with closing(open_reader(path)) as connection:
        return load_alert_input(connection, at, rules, accounts=load_accounts(connection), forecast=forecast)


@pytest.mark.parametrize(
    ("rules", "forecast", "has_events", "has_forecasts"),
    [
        pytest.param([], True, False, False, id="no rule"),
        pytest.param([BY_PERCENT], True, False, False, id="thresholds"),
        pytest.param([BY_PERCENT, about("limit_reached")], True, True, False, id="an event"),
        pytest.param([about("used_elsewhere", "runs_dry")], True, True, True, id="an event and a forecast"),
        pytest.param([about("runs_dry")], True, False, True, id="a forecast"),
        pytest.param([about("runs_dry")], False, False, False, id="a forecast that is not due"),
    ],
)
def test_only_what_the_rules_use_is_read(
    path: Path, rules: list[Rule], forecast: bool, has_events: bool, has_forecasts: bool
) -> None:
    """The status is always read."""
    found = loaded(record(path, used(50)), rules, forecast=forecast)
    assert [account["account"] for account in found.status["accounts"]] == ["acct-a/user-a"]
    assert (found.events is not None, found.forecasts is not None) == (has_events, has_forecasts)


def test_windows_are_those_last_reported(path: Path) -> None:
    """They have the figures of before a reset that no reading has confirmed; the status has those of after it."""
    record(path, used(50), used(97, at=NOON + 30), used(3, who=BOB))
    found = loaded(path, [BY_PERCENT], at=NOON + 30 * DAY)
    assert found.status["accounts"][0]["limits"][0]["windows"]["5h"]["used_percent"] == 0
    assert found.reported == {
        ("acct-a/user-a", "codex", "5h"): WindowRow(97, 300, NOON + 9_000),
        ("acct-a/user-a", "codex", "7d"): WindowRow(40, 10_080, NOON + 300_000),
        ("acct-b/user-b", "codex", "5h"): WindowRow(3, 300, NOON + 9_000),
        ("acct-b/user-b", "codex", "7d"): WindowRow(40, 10_080, NOON + 300_000),
    }


def test_older_events_are_left_out(path: Path) -> None:
    """Events that no alert is sent for any more are not read."""
    record(path, used(50), used(100, at=NOON + 60), used(50, at=NOON + 5 * DAY), used(100, at=NOON + 5 * DAY + 60))
    found = loaded(path, [about("limit_reached")], at=NOON + 5 * DAY + 120).events
    assert found is not None
    assert [event["at"] for event in found["events"] if event["kind"] == "limit_reached"] == [NOON + 5 * DAY + 60]
