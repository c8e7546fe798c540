from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.analysis.formatting import clock_time
from store.analysis.guard import GuardPolicy, verdict, without_reset
from tests.support.factories import NOON
from tests.support.status_factories import HOUR, account, any_accounts, five, seven

if TYPE_CHECKING:
    from store.documents import AccountStatus, WindowStatus

OLD: dict[str, Any] = {"age_seconds": 2 * HOUR}
MONTH = seven(95, 300, window_minutes=43_200, length="30d")
"""The window of a Free plan, which is in the slot 7d."""

RESET = {"reset_unseen": True, "remaining_percent": 100.0, "resets_in_seconds": 0}


@pytest.mark.parametrize(
    ("windows", "state", "asked", "expected"),
    [
        (five(20) | seven(30), {}, GuardPolicy(), "go"),
        (five(90), {}, GuardPolicy(), "go"),
        (five(90.1), {}, GuardPolicy(), "below"),
        (five(20) | seven(95), {}, GuardPolicy(), "below"),
        (five(20) | seven(95), {}, GuardPolicy(window="5h"), "go"),
        (five(20) | seven(95), {}, GuardPolicy(window="7d"), "below"),
        (five(20) | seven(95), {}, GuardPolicy(window="7 d"), "below"),
        (five(20) | seven(95), {}, GuardPolicy(window="30d"), "unknown"),
        (MONTH, {}, GuardPolicy(window="30d"), "below"),
        (MONTH, {}, GuardPolicy(window="30 d"), "below"),
        (MONTH, {}, GuardPolicy(window="7d"), "below"),
        (MONTH, {}, GuardPolicy(window="5h"), "unknown"),
        (five(20) | seven(95), {}, GuardPolicy(min_remaining=5), "go"),
        (five(20) | seven(100), {"blocked_by": "7d"}, GuardPolicy(window="5h"), "below"),
        (five(20), {"blocked_by": "limit"}, GuardPolicy(), "below"),
        ({}, {"blocked_by": "credits"}, GuardPolicy(), "below"),
        (seven(100), {"on_credits": True}, GuardPolicy(), "go"),
        (five(95) | seven(100), {"on_credits": True}, GuardPolicy(), "go"),
        (seven(100), {"on_credits": True}, GuardPolicy(with_credits=False), "below"),
        (seven(100), {"on_credits": True}, GuardPolicy(min_remaining=0, with_credits=False), "go"),
        (seven(20), {"state": "unknown"}, GuardPolicy(), "unknown"),
        (seven(100), {"state": "unknown", **OLD}, GuardPolicy(), "unknown"),
        ({}, {"state": "refused", "blocked_by": "5h"}, GuardPolicy(), "below"),
        (five(20), {}, GuardPolicy(window="7d"), "unknown"),
        (five(20), {}, GuardPolicy(limit_id="codex_bengalfox"), "unknown"),
        (five(None), {}, GuardPolicy(), "unknown"),
        (five(None) | seven(99), {}, GuardPolicy(), "below"),
        ({}, {}, GuardPolicy(), "unknown"),
        (None, {}, GuardPolicy(), "unknown"),
    ],
)
def test_the_verdict(
    windows: dict[str, WindowStatus] | None, state: dict[str, Any], asked: GuardPolicy, expected: str
) -> None:
    """Go, below, too old, or unknown; without a known figure it is never a go."""
    assert verdict(account("work", windows, **state), asked).answer == expected


REFUSED = {"state": "refused", "blocked_by": "limit"}


@pytest.mark.parametrize(
    ("windows", "state", "answer", "by_age"),
    [
        (five(20) | seven(30), {}, "go", "old"),
        (five(20, **RESET), {}, "go", "go"),
        (five(20, **RESET) | seven(20), {}, "go", "old"),
        (five(20, **RESET) | seven(95), {}, "below", "old"),
        (five(95), {}, "below", "old"),
        (five(95, None), {}, "unknown", "old"),
        (five(95, None) | seven(95), {}, "unknown", "old"),
        (seven(100), {"blocked_by": "7d"}, "below", "old"),
        (five(20), {**REFUSED, "reached_until": NOON + HOUR}, "below", "old"),
        (five(20), REFUSED, "unknown", "old"),
        ({}, REFUSED, "unknown", "old"),
        (five(20), {"blocked_by": "credits"}, "unknown", "old"),
        (seven(100), {"on_credits": True}, "go", "old"),
        (seven(100, reset_overdue=True), {"state": "unknown"}, "unknown", "unknown"),
        (five(None), {}, "unknown", "unknown"),
        ({}, {}, "unknown", "unknown"),
    ],
    ids=[
        "enough",
        "reset since",
        "the short window reset since",
        "reset since, and the long window low",
        "low until a reset that is named",
        "low, and no reset named",
        "low, and one reset named",
        "full",
        "refused until a time",
        "refused without a time",
        "refused, and no window known",
        "credits used up",
        "on credits",
        "due and not reset",
        "no percentage",
        "no window",
    ],
)
def test_an_old_reading(windows: dict[str, WindowStatus], state: dict[str, Any], answer: str, by_age: str) -> None:
    """It is judged by what it can still mean: only use elsewhere makes it worse. A greatest age judges by age alone.

    Without a reset time that is below may be over by now, so nothing is known of it.
    """
    assert verdict(account("work", windows, **state, **OLD), GuardPolicy()).answer == answer
    assert verdict(account("work", windows, **state, **OLD), GuardPolicy(max_age=HOUR)).answer == by_age
    fresh = verdict(account("work", windows, **state, age_seconds=HOUR - 1), GuardPolicy())
    assert "seen" not in fresh.reason.removesuffix("not seen since")
    assert verdict(account("work", windows, **state, **OLD), GuardPolicy(max_age=2 * HOUR)).answer == fresh.answer


@pytest.mark.parametrize(
    ("windows", "state", "until"),
    [
        (five(95, 2) | seven(10), {}, NOON + 2 * HOUR),
        (five(95, 2) | seven(95, 30), {}, NOON + 30 * HOUR),
        (five(100, 2) | seven(100, 30), {"blocked_by": "7d"}, NOON + 30 * HOUR),
        (five(95, None), {}, None),
        (five(50, 2), {"blocked_by": "limit"}, None),
        (five(50, 2), {"blocked_by": "limit", "reached_until": NOON + 60}, NOON + 60),
        (five(100, 2), {"blocked_by": "5h", "reached_until": NOON + 3 * HOUR}, NOON + 3 * HOUR),
        (five(100, None), {"blocked_by": "5h", "reached_until": NOON + 3 * HOUR}, None),
        (five(100, 2, reset_overdue=True), {}, None),
        (five(95, 2, reset_overdue=True) | seven(95, 30), {}, None),
        (five(50, 2), {}, None),
        (five(95, 2), OLD, NOON + 2 * HOUR),
    ],
)
def test_until_when_to_wait(windows: dict[str, WindowStatus], state: dict[str, Any], until: int | None) -> None:
    """Until the last reset of the windows that block, where it is reported."""
    assert verdict(account("work", windows, **state), GuardPolicy()).wait_until == until


def test_the_reason_names_the_window_that_decides() -> None:
    """It has the remaining percent, and the age of the reading if it is too old."""
    found = verdict(account("work", five(95) | seven(30)), GuardPolicy())
    assert (found.window, found.remaining_percent, found.reason) == (
        "5h",
        5.0,
        "5 % of 5 h left, resets in 2 h 30 min",
    )
    named = verdict(account("work", five(95), blocked_by="7d", state_until=NOON), GuardPolicy())
    assert named.reason.startswith("blocked by 7 d, until ")
    carried = verdict(account("work", five(100), on_credits=True), GuardPolicy())
    assert carried.reason == "0 % of 5 h left, resets in 2 h 30 min, running on credits"
    old = verdict(account("work", five(95), **OLD), GuardPolicy(max_age=HOUR))
    assert old.reason.endswith("resets in 2 h 30 min, seen 2 h ago, but the maximum age is 1 h")


@pytest.mark.parametrize(
    ("windows", "reason"),
    [
        (five(40), "60 % of 5 h left, resets in 2 h 30 min; seen 2 h ago, less only if used elsewhere"),
        (five(0, 0, **RESET), "100 % of 5 h left, reset, not seen since; seen 2 h ago, less only if used elsewhere"),
        (five(95), "5 % of 5 h left, resets in 2 h 30 min; seen 2 h ago"),
        (five(95, None), "5 % of 5 h left; seen 2 h ago, and no reset time is known"),
    ],
    ids=["enough", "reset since", "low", "low, and no reset named"],
)
def test_the_reason_says_the_age(windows: dict[str, WindowStatus], reason: str) -> None:
    assert verdict(account("work", windows, **OLD), GuardPolicy()).reason == reason


def test_a_reset_that_nobody_saw() -> None:
    """What was below is unknown then."""
    found = without_reset(verdict(account("work", five(95)), GuardPolicy()), NOON)
    assert (found.answer, found.wait_until) == ("unknown", None)
    assert found.reason.endswith(f"; it was to be reset {clock_time(NOON)}, and nobody has seen that")


@given(any_accounts, st.sampled_from([None, "5h", "7d", "30d"]), st.floats(0, 100), st.none() | st.integers(0, 10**7))
def test_a_go_has_enough_left(
    accounts: list[AccountStatus], window: str | None, min_remaining: float, max_age: int | None
) -> None:
    """Any account has a verdict; a go has enough left in an open limit, by a reading that is recent enough."""
    for each in accounts:
        found = verdict(each, GuardPolicy(window, min_remaining, max_age))
        assert found.reason
        if found.answer == "go":
            (main,) = each["limits"]
            counted = [value for slot, value in main["windows"].items() if window in {None, slot}]
            assert main["blocked_by"] is None
            enough = all((value["remaining_percent"] or 0) >= min_remaining for value in counted)
            assert enough or main["state"] == "on_credits"
            assert max_age is None or main["age_seconds"] <= max_age


@pytest.mark.parametrize("asked", ["30d", "7d", None])
def test_the_window_that_decides_has_its_slot_and_its_length(asked: str | None) -> None:
    """The slot keeps its name, and the length is the real one."""
    found = verdict(account("work", MONTH), GuardPolicy(window=asked))
    assert (found.window, found.length, found.reason) == ("7d", "30d", "5 % of 30 d left, resets in 12 d 12 h")


def test_windows_that_were_not_reported() -> None:
    """The reason has the lengths of those that were, as they are shown."""
    found = verdict(account("work", five(1) | MONTH), GuardPolicy(window="7 min"))
    assert found.reason == "no window 7 min has been reported; there are: 5 h, 30 d"
