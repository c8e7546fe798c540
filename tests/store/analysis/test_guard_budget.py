from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.analysis.formatting import clock_time
from store.analysis.guard import GuardPolicy, verdict
from store.analysis.guard_budget import GuardBudget, apply_budget, budget_text, budget_window, parse_budget, period_span
from tests.support.factories import NOON
from tests.support.status_factories import DAY, HOUR, account, five, seven

if TYPE_CHECKING:
    from store.analysis.guard_budget import Period
    from store.documents import BudgetUse, WindowStatus

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20%", GuardBudget(20, "window")),
        ("20", GuardBudget(20, "window")),
        ("5%/day", GuardBudget(5, "day")),
        ("5%/d", GuardBudget(5, "day")),
        ("5 / Day", GuardBudget(5, "day")),
        ("2.5 % per hour", GuardBudget(2.5, "hour")),
        ("2%/h", GuardBudget(2, "hour")),
        ("10% a week", GuardBudget(10, "week")),
        ("10%/w", GuardBudget(10, "week")),
        ("0%/window", GuardBudget(0, "window")),
    ],
)
def test_a_budget(text: str, expected: GuardBudget) -> None:
    assert parse_budget(text) == expected


@pytest.mark.parametrize("text", ["", "%", "day", "-5%", "5%/month", "5%/", "5%day", "1e3%", "5%/2d", "٥%", "nan"])
def test_no_budget(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a budget; use 20%, 5%/day"):
        parse_budget(text)


@given(st.text(max_size=12) | st.from_regex(r"[0-9.]{1,8} ?%? ?(/|per|a)? ?[a-z]{0,6}", fullmatch=True))
def test_any_text_is_a_budget_or_refused(text: str) -> None:
    """A budget is finite and not negative."""
    try:
        found = parse_budget(text)
    except ValueError:
        return
    assert 0 <= found.points < 1e6
    assert found.period in {"window", "day", "hour", "week"}


@given(st.sampled_from(["day", "hour", "week"]), st.integers(1_600_000_000, 1_900_000_000))
def test_a_calendar_period_holds_its_time(period: Period, now: int) -> None:
    """In any zone, in summer and in winter."""
    (window,) = seven(20).values()
    for zone in (BERLIN, ZoneInfo("America/New_York"), ZoneInfo("Asia/Kathmandu"), ZoneInfo("Australia/Lord_Howe")):
        span = period_span(period, window, now, zone)
        assert span is not None
        assert span.until is not None
        assert span.since <= now < span.until


def at(text: str) -> int:
    """The timestamp of a time in Berlin."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp())


@pytest.mark.parametrize(
    ("period", "now", "since", "until"),
    [
        ("day", "2026-11-26T14:05", "2026-11-26", "2026-11-27"),
        ("day", "2026-11-26T00:00", "2026-11-26", "2026-11-27"),
        ("day", "2026-10-25T14:05", "2026-10-25", "2026-10-26"),
        ("hour", "2026-11-26T14:59", "2026-11-26T14:00", "2026-11-26T15:00"),
        ("week", "2026-11-26T14:05", "2026-11-23", "2026-11-30"),
        ("week", "2026-11-23T00:00", "2026-11-23", "2026-11-30"),
        ("week", "2026-11-29T23:59", "2026-11-23", "2026-11-30"),
    ],
    ids=["a day", "midnight", "a day of 25 hours", "an hour", "a week", "Monday", "Sunday"],
)
def test_calendar_periods(period: Period, now: str, since: str, until: str) -> None:
    """They are those of the machine's zone, and a week begins on Monday."""
    (window,) = seven(20).values()
    assert period_span(period, window, at(now), BERLIN) == (at(since), at(until))


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (seven(20), (NOON + 84 * HOUR - 7 * DAY, NOON + 84 * HOUR)),
        (seven(0, 0, reset_unseen=True), (NOON, None)),
        (seven(0, None, reset_unseen=True), (NOON, None)),
        (seven(20, 0, reset_overdue=True), (NOON - 7 * DAY, None)),
        (seven(20, None), (NOON - 7 * DAY, None)),
        (seven(20, window_minutes=None), None),
    ],
    ids=["under way", "reset since", "reset at an unknown time", "due and not reset", "no reset", "no length"],
)
def test_the_period_of_the_window(window: dict[str, WindowStatus], expected: tuple[int, int | None] | None) -> None:
    (status,) = window.values()
    assert period_span("window", status, NOON) == expected


@pytest.mark.parametrize(
    ("windows", "wanted", "slot"),
    [
        (five(20) | seven(30), None, "7d"),
        (five(20), None, "5h"),
        (five(20) | seven(30), "5 h", "5h"),
        (five(20) | seven(30, window_minutes=43_200, length="30d"), "30d", "7d"),
        (five(20), "7d", None),
        ({}, None, None),
        (None, None, None),
    ],
)
def test_the_window_of_a_budget(windows: dict[str, WindowStatus] | None, wanted: str | None, slot: str | None) -> None:
    """It is the wanted one, else that of 7d or the longest."""
    found = budget_window(account("work", windows), "codex", wanted)
    assert (found and found.slot) == slot
    assert budget_window(account("work", windows), "codex_other", wanted) is None


def use(used: float, **fields: Any) -> BudgetUse:
    """A day's budget of 5 % for a thread."""
    found: BudgetUse = {
        "points": 5.0,
        "used": used,
        "period": "day",
        "since": NOON - 12 * HOUR,
        "until": NOON + 12 * HOUR,
        "window": "7d",
        "window_minutes": 10_080,
        "length": "7d",
        "scope": "thread",
        "key": "0199b3f7-90aa-7b02-8d11-2f4c8a9e5d02",
        "name": "refactor-auth",
        "seen": True,
    }
    return {**found, **fields}  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "budget: 3.2 of 5 % of the 7 d window used today by thread 0199b3f7 (refactor-auth)"),
        ({"name": None}, "budget: 3.2 of 5 % of the 7 d window used today by thread 0199b3f7"),
        (
            {"name": None, "seen": False},
            "budget: 3.2 of 5 % of the 7 d window used today by thread 0199b3f7, which has not been seen yet",
        ),
        ({"period": "hour"}, "budget: 3.2 of 5 % of the 7 d window used this hour by thread 0199b3f7 (refactor-auth)"),
        (
            {"period": "week", "scope": "project", "key": "git.example/acme/shop", "name": "shop"},
            "budget: 3.2 of 5 % of the 7 d window used this week by project shop",
        ),
        (
            {"scope": "project", "key": "/shop", "name": None, "seen": False},
            "budget: 3.2 of 5 % of the 7 d window used today by project /shop, of which nothing has been seen lately",
        ),
        (
            {"period": "window", "scope": "account", "window_minutes": 43_200},
            "budget: 3.2 of 5 % of the 30 d window used by this account",
        ),
    ],
)
def test_what_was_used_of_a_budget(fields: dict[str, Any], text: str) -> None:
    assert budget_text(use(3.2, **fields)) == text


END = NOON + 12 * HOUR


@pytest.mark.parametrize(
    ("windows", "state", "found", "answer", "wait_until"),
    [
        (five(20), {}, use(3.2), "go", None),
        (five(20), {}, use(5.0), "go", None),
        (five(20), {}, use(5.1), "below", END),
        (five(20), {}, use(5.1, until=None), "below", None),
        (five(95, 2), {}, use(3.2), "below", NOON + 2 * HOUR),
        (five(95, 2), {}, use(5.1), "below", END),
        (five(95, 20), {}, use(5.1), "below", NOON + 20 * HOUR),
        (five(95, None), {}, use(5.1), "below", None),
        (five(20), {"state": "unknown"}, use(3.2), "unknown", None),
        (five(20), {"state": "unknown"}, use(5.1), "below", END),
        (five(20), {}, None, "unknown", None),
        (five(95, 2), {}, None, "below", NOON + 2 * HOUR),
    ],
    ids=[
        "within",
        "all of it",
        "more",
        "more, and no end known",
        "within, and too little left",
        "more, and too little left for less long",
        "more, and too little left for longer",
        "more, and too little left without an end",
        "within, and nothing known of the limit",
        "more, and nothing known of the limit",
        "not known",
        "not known, and too little left",
    ],
)
def test_a_budget_and_the_limit(
    windows: dict[str, WindowStatus],
    state: dict[str, Any],
    found: BudgetUse | None,
    answer: str,
    wait_until: int | None,
) -> None:
    """Both have to hold, and waiting takes as long as the longer of them."""
    judged = apply_budget(verdict(account("work", windows, **state), GuardPolicy()), found)
    assert (judged.answer, judged.wait_until) == (answer, wait_until)
    assert "budget" in judged.reason


def test_the_reason_says_when_the_budget_is_whole_again() -> None:
    judged = apply_budget(verdict(account("work", five(20)), GuardPolicy()), use(6))
    assert judged.reason == (
        "80 % of 5 h left, resets in 2 h 30 min; "
        "budget: 6 of 5 % of the 7 d window used today by thread 0199b3f7 (refactor-auth), "
        f"until {clock_time(END)}"
    )
