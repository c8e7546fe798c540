"""How a great many accounts stand: it is what their documents say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.analysis.limit_status import limit_status
from store.analysis.many_accounts import (
    QUIET_COLUMNS,
    AccountUse,
    LimitUse,
    deciding_limit,
    limit_use,
    most_pressed,
    quiet_use,
    summarize,
)

NOW = 1_800_000_000
MOMENTS = st.sampled_from([NOW - 700_000, NOW - 4_000, NOW - 200, NOW - 60, NOW, NOW + 60, NOW + 200, NOW + 400_000])
PERCENTS = st.sampled_from([None, 0.0, 12.5, 99.9, 100.0, 104.0])
FLAGS = st.sampled_from([None, 0, 1])

ROWS = st.fixed_dictionaries(
    {
        "limit_id": st.sampled_from(["codex", "spend_control", "codex_other"]),
        "allowed": FLAGS,
        "limit_reached": FLAGS,
        "reached_type": st.sampled_from([None, None, "rate_limit_reached", "workspace_owner_credits_depleted"]),
        "reached_until": st.none() | MOMENTS,
        "reached_window_minutes": st.sampled_from([None, 300]),
        "refused_at": st.none() | MOMENTS,
        "other_windows": st.sampled_from([None, None, '{"30d": [100, 43200, 1900000000]}']),
        "first_seen_at": MOMENTS,
        "last_seen_at": MOMENTS,
        "windows_seen_at": st.none() | MOMENTS,
        "server_time": st.none() | MOMENTS,
        "used_5h_percent": PERCENTS,
        "window_5h_minutes": st.sampled_from([None, 300]),
        "resets_5h_at": st.none() | MOMENTS,
        "used_7d_percent": PERCENTS,
        "window_7d_minutes": st.sampled_from([None, 10_080]),
        "resets_7d_at": st.none() | MOMENTS,
        "has_credits": FLAGS,
        "credits_unlimited": FLAGS,
        "credits_balance": st.sampled_from([None, "0", "9.5"]),
        "overage_limit_reached": FLAGS,
        "spend_control_reached": FLAGS,
    }
)
OTHERS = dict.fromkeys(
    ("limit_name", "source", "model", "budget_limit", "budget_used", "budget_remaining", "budget_unit", "budget_source")
)
QUIET = dict.fromkeys(QUIET_COLUMNS) | {"last_seen_at": NOW - 1_000, "used_5h_percent": 40.0, "resets_5h_at": NOW + 9}


@given(ROWS)
def test_a_limit_is_as_its_document_says(row: dict[str, Any]) -> None:
    """The quick decision and the closer look agree with the document, wherever the quick one decides."""
    found = limit_status({**row, **OTHERS}, NOW, row)
    figures = [each["used_percent"] for each in found["windows"].values() if each["used_percent"] is not None]
    used = max(figures, default=None)
    expected = LimitUse(row["limit_id"], found["state"], used, bool(found["windows"] or found["blocked_by"]))
    assert limit_use(row, NOW, row) == expected
    quick = quiet_use([row[name] for name in QUIET_COLUMNS], NOW)
    if quick is not None:
        assert expected == LimitUse(row["limit_id"], "open", quick, is_told=True)


@pytest.mark.parametrize(
    ("changes", "used"),
    [
        ({}, 40.0),
        ({"allowed": 1, "limit_reached": 0}, 40.0),
        ({"used_7d_percent": 70.0, "resets_7d_at": NOW + 90}, 70.0),
        ({"resets_5h_at": NOW - 9}, 0.0),
        ({"used_5h_percent": 100.0}, None),
        ({"limit_reached": 1}, None),
        ({"refused_at": NOW - 5}, None),
        ({"resets_5h_at": NOW - 950}, None),
        ({"resets_5h_at": None}, None),
    ],
)
def test_the_quick_decision(changes: dict[str, Any], used: float | None) -> None:
    """It is made for limits that are plainly open."""
    assert quiet_use(list((QUIET | changes).values()), NOW) == used


def use(limit_id: str = "codex", state: Any = "open", used: float | None = 40.0, *, is_told: bool = True) -> LimitUse:
    return LimitUse(limit_id, state, used, is_told)


@pytest.mark.parametrize(
    ("limits", "chosen"),
    [
        ([], None),
        ([use("a", used=10), use("b", used=20)], 1),
        ([use("a", used=90), use()], 1),
        ([use(used=None, is_told=False), use("spend_control")], 1),
        ([use(used=None, is_told=False), use("a")], 0),
    ],
    ids=["none", "the most used", "the main one", "a budget", "the main one without figures"],
)
def test_the_limit_that_decides(limits: list[LimitUse], chosen: int | None) -> None:
    """It is the one that `store.analysis.pressure` takes."""
    assert deciding_limit(limits) == (None if chosen is None else limits[chosen])


def test_the_summary_and_the_most_pressed() -> None:
    """Closed accounts come first, then open ones by their used percent; plans by their number of accounts."""
    accounts = [
        AccountUse(1, "plus", use(used=10)),
        AccountUse(2, "plus", use(used=81)),
        AccountUse(3, "plus", use(used=50)),
        AccountUse(4, "pro", use(state="refused", used=20)),
        AccountUse(5, "pro", use(state="on_credits", used=100)),
        AccountUse(6, None, None),
        AccountUse(7, "pro", use(state="unknown", used=None)),
    ]
    assert [each.account for each in most_pressed(accounts, 5)] == [4, 5, 7, 2, 3]
    found = summarize(accounts)
    none = {"refused": 0, "on_credits": 0, "high": 0, "medium": 0, "low": 0, "unknown": 0}
    assert found == {
        "accounts": 7,
        "plans": [
            {"plan_type": "plus", "accounts": 3, **none, "high": 1, "medium": 1, "low": 1},
            {"plan_type": "pro", "accounts": 3, **none, "refused": 1, "on_credits": 1, "unknown": 1},
            {"plan_type": None, "accounts": 1, **none, "unknown": 1},
        ],
    }
