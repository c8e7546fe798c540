"""The budget of a usage document."""

from __future__ import annotations

import json
from typing import Any

import pytest

from addon.budgets import BUDGET_NAME
from addon.messages import read_usage
from store.models import Budget, Credits, Limit, RateLimits, Window
from tests.support.wire_messages import NOW, USAGE

RESET = int(NOW) + 1_681_405
FIELDS = {
    "source": "group_based_spend_controls",
    "limit": "25000",
    "used": "24000",
    "remaining": "1000",
    "used_percent": 96,
    "remaining_percent": 4,
    "reset_after_seconds": 1_681_405,
    "reset_at": RESET,
}
AMOUNTS = Budget(limit="25000", used="24000", remaining="1000", source="group_based_spend_controls")
WINDOW = Window(used_percent=96, resets_at=RESET)


def read(fields: object, *, reached: object = False, **document: Any) -> RateLimits | None:
    document = {"spend_control": {"reached": reached, "individual_limit": fields}, **document}
    parsed = read_usage(json.dumps(document).encode(), NOW)
    return parsed and parsed.reading.model_copy(update={"raw": {}})


def budget(window: Window | None = WINDOW, amounts: Budget = AMOUNTS, *, reached: bool | None = False) -> Limit:
    return Limit(
        limit_id="spend_control",
        limit_name=BUDGET_NAME,
        windows={} if window is None else {"budget": window},
        limit_reached=reached,
        budget=amounts,
    )


def test_a_budget_alone() -> None:
    """Where the plan has no other limit, the document has the budget and the facts of the account."""
    credits_fields = {"has_credits": True, "unlimited": False, "balance": None}
    assert read(FIELDS, plan_type="business", rate_limit=None, credits=credits_fields) == RateLimits(
        limits=(budget(),),
        plan_type="business",
        credits=Credits(has_credits=True, unlimited=False),
        spend_control_reached=False,
        server_time=NOW,
    )


def test_a_budget_beside_other_limits() -> None:
    """The other limits are read as ever."""
    parsed = read_usage(json.dumps({**USAGE, "spend_control": {"individual_limit": FIELDS}}).encode(), NOW)
    assert parsed is not None
    assert [limit.limit_id for limit in parsed.reading.limits] == ["codex", "codex_bengalfox", "spend_control"]


def without(*names: str, **more: object) -> dict[str, object]:
    return {**{name: value for name, value in FIELDS.items() if name not in names}, **more}


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        pytest.param(FIELDS, budget(), id="as seen"),
        pytest.param(without(limit=25_000, used=24_000, remaining=1_000), budget(), id="amounts as numbers"),
        pytest.param(without(used_percent="96", reset_at=str(RESET)), budget(), id="figures as strings"),
        pytest.param(
            without(used="24000.50"),
            budget(amounts=AMOUNTS.model_copy(update={"used": "24000.50"})),
            id="an amount with decimals",
        ),
        pytest.param(without(unit="usd"), budget(amounts=AMOUNTS.model_copy(update={"unit": "usd"})), id="a unit"),
        pytest.param(without("used_percent"), budget(), id="the remaining percent alone"),
        pytest.param(
            without("used_percent", remaining_percent=99.5),
            budget(WINDOW.model_copy(update={"used_percent": 0.5})),
            id="the remaining percent before the amounts",
        ),
        pytest.param(
            without("used_percent", remaining_percent=120),
            budget(WINDOW.model_copy(update={"used_percent": 0})),
            id="more remaining than all",
        ),
        pytest.param(without("used_percent", "remaining_percent"), budget(), id="amounts without a percent"),
        pytest.param(without(used_percent=-5, remaining_percent="x"), budget(), id="absurd percents"),
        pytest.param(
            without("used_percent", "remaining_percent", limit="0"),
            budget(Window(resets_at=RESET), AMOUNTS.model_copy(update={"limit": "0"})),
            id="a budget of nothing",
        ),
        pytest.param(
            without("used_percent", "remaining_percent", limit="1e9", used="NaN"),
            budget(Window(resets_at=RESET), AMOUNTS.model_copy(update={"limit": None, "used": None})),
            id="absurd amounts",
        ),
        pytest.param(
            without(remaining="-3", source=5, unit=[]),
            budget(amounts=AMOUNTS.model_copy(update={"remaining": None, "source": None})),
            id="absurd values one by one",
        ),
        pytest.param(without("reset_at"), budget(), id="reset-after alone"),
        pytest.param(without("reset_at", "reset_after_seconds"), budget(Window(used_percent=96)), id="without a reset"),
        pytest.param(
            without("reset_at", "reset_after_seconds", used_percent=0), budget(Window(used_percent=0)), id="unused"
        ),
        pytest.param(without(used_percent=104.5), budget(WINDOW.model_copy(update={"used_percent": 104.5})), id="over"),
        pytest.param({"used_percent": 96}, budget(Window(used_percent=96), Budget()), id="a percent alone"),
        pytest.param({"limit": "5"}, budget(None, Budget(limit="5")), id="an amount alone"),
    ],
)
def test_budget(fields: dict[str, object], limit: Limit) -> None:
    """Each value that cannot be read is dropped alone; the percent follows from what is left."""
    reading = read(fields)
    assert reading is not None
    assert reading.limits == (limit,)


@pytest.mark.parametrize(("told", "reached"), [(True, True), (False, False), (None, None), ("?", None)])
def test_reached(told: object, reached: bool | None) -> None:
    """The server says whether the budget is reached."""
    reading = read(FIELDS, reached=told)
    assert reading is not None
    assert reading.limits == (budget(reached=reached),)


@pytest.mark.parametrize("fields", [None, {}, [], 5, "x", {"used_percent": "x", "source": "somewhere"}])
def test_no_budget(fields: object) -> None:
    """Without an amount and a percent there is no budget."""
    reading = read(fields, plan_type="plus")
    assert reading is not None
    assert reading.limits == ()


@pytest.mark.parametrize(
    ("spend_control", "says"),
    [
        ({"reached": False, "individual_limit": None}, True),
        ({"reached": False, "individual_limit": {}}, False),
        ({"reached": False, "individual_limit": FIELDS}, False),
        ({"reached": False}, False),
        (None, False),
    ],
)
def test_a_budget_that_does_not_exist(spend_control: object, says: bool) -> None:
    """Null says that there is none; a field that is missing says nothing."""
    parsed = read_usage(json.dumps({"plan_type": "plus", "spend_control": spend_control}).encode(), NOW)
    assert parsed is not None
    assert parsed.reading.no_budget is says
