from __future__ import annotations

import json
from typing import Any

import pytest

from store.analysis.limit_status import limit_status
from tests.support.factories import NOON

SEEN = NOON
FIVE_RESET = NOON + 9_000
SEVEN_RESET = NOON + 300_000


def row(five: float | None = 13.0, seven: float | None = 41.0, **fields: Any) -> dict[str, Any]:
    """A row of `snapshots` seen at noon, with resets 2.5 hours and 3.5 days later."""
    return {
        "limit_id": "codex",
        "limit_name": None,
        "last_seen_at": float(SEEN),
        "windows_seen_at": float(SEEN),
        "used_5h_percent": five,
        "window_5h_minutes": None if five is None else 300,
        "resets_5h_at": None if five is None else FIVE_RESET,
        "used_7d_percent": seven,
        "window_7d_minutes": None if seven is None else 10_080,
        "resets_7d_at": None if seven is None else SEVEN_RESET,
        "other_windows": None,
        "source": "headers",
        "model": "gpt-6.1-sol",
        **dict.fromkeys(
            (
                "allowed",
                "limit_reached",
                "reached_type",
                "reached_until",
                "has_credits",
                "credits_unlimited",
                "credits_balance",
                "overage_limit_reached",
                "spend_control_reached",
                *("budget_limit", "budget_used", "budget_remaining", "budget_unit", "budget_source"),
            )
        ),
        **fields,
    }


def test_a_limit_as_it_was_just_seen() -> None:
    """The document has every documented field."""
    assert limit_status(row(seven=None), NOON + 100.9) == {
        "limit_id": "codex",
        "limit_name": None,
        "limit_reached": None,
        "reached_type": None,
        "reached_until": None,
        "blocked_by": None,
        "windows": {
            "5h": {
                "used_percent": 13.0,
                "remaining_percent": 87.0,
                "window_minutes": 300,
                "resets_at": FIVE_RESET,
                "resets_in_seconds": 8_899,
                "reset_unseen": False,
            }
        },
        "on_credits": False,
        "budget": None,
        "observed_at": NOON,
        "age_seconds": 100,
        "source": "headers",
        "model": "gpt-6.1-sol",
    }


def test_other_windows_keep_their_own_slot() -> None:
    """A third length follows 5h and 7d."""
    others = json.dumps({"30d": [5.5, 43_200, SEVEN_RESET]})

    assert list(limit_status(row(other_windows=others), NOON)["windows"]) == ["5h", "7d", "30d"]


def test_unknown_is_not_zero() -> None:
    """A window without a reported figure has no figure, used or remaining."""
    window = limit_status(row(five=None, window_5h_minutes=300), NOON)["windows"]["5h"]

    assert (window["used_percent"], window["remaining_percent"], window["resets_in_seconds"]) == (None, None, None)


def test_remaining_is_never_below_zero() -> None:
    """The server may report more than 100."""
    window = limit_status(row(five=250.5), NOON)["windows"]["5h"]

    assert (window["used_percent"], window["remaining_percent"]) == (250.5, 0.0)


def test_age_is_never_negative() -> None:
    """The clock may have stepped back since."""
    assert limit_status(row(), NOON - 3_600)["age_seconds"] == 0


def test_age_is_that_of_the_windows() -> None:
    """A later message about credits or a reached limit leaves the age of the windows' figures as it was."""
    standing = limit_status(row(last_seen_at=NOON + 5_000.0, windows_seen_at=float(NOON)), NOON + 5_000)

    assert (standing["observed_at"], standing["age_seconds"]) == (NOON, 5_000)


def test_age_of_a_limit_without_windows() -> None:
    """Without reported windows, the age is that of the newest message."""
    standing = limit_status(row(None, None, last_seen_at=NOON + 50.0, windows_seen_at=None), NOON + 60)

    assert (standing["observed_at"], standing["windows"]) == (NOON + 50, {})


@pytest.mark.parametrize(
    ("fields", "now", "expected"),
    [
        pytest.param({}, FIVE_RESET - 1, False, id="before"),
        pytest.param({}, FIVE_RESET, True, id="at-its-reset"),
        pytest.param({"windows_seen_at": FIVE_RESET + 30.0}, FIVE_RESET + 60, False, id="seen-just-after-it"),
        pytest.param({"windows_seen_at": FIVE_RESET + 30.0}, FIVE_RESET + 3_600, True, id="seen-after-it-long-ago"),
        pytest.param({"resets_5h_at": None}, NOON + 17_999, False, id="reset-unknown"),
        pytest.param({"resets_5h_at": None}, NOON + 18_000, True, id="reset-unknown-but-older-than-its-length"),
        pytest.param({"resets_5h_at": None, "window_5h_minutes": None}, NOON + 10**9, False, id="nothing-known"),
    ],
)
def test_a_reset_that_passed_unseen(fields: dict[str, Any], now: float, expected: bool) -> None:
    """A window is shown without figures from before its reset."""
    window = limit_status(row(**fields), now)["windows"]["5h"]

    assert window["reset_unseen"] is expected
    assert window["used_percent"] == (0.0 if expected else 13.0)
    assert window["resets_at"] == fields.get("resets_5h_at", FIVE_RESET)


CREDITS = {"has_credits": 1, "credits_unlimited": 0, "credits_balance": "9.5"}


@pytest.mark.parametrize(
    ("fields", "blocked_by", "on_credits"),
    [
        pytest.param({}, None, False, id="free"),
        pytest.param({"five": 99.9}, None, False, id="nearly"),
        pytest.param({"five": 100.0}, "5h", False, id="5h-full"),
        pytest.param({"five": 1.0, "seven": 100.0}, "7d", False, id="5h-does-not-help-while-7d-is-full"),
        pytest.param({"five": 100.0, "seven": 100.0}, "7d", False, id="the-later-reset-of-both"),
        pytest.param({"five": 100.0, "seven": 100.0, "resets_7d_at": NOON + 60}, "5h", False, id="5h-later-than-7d"),
        pytest.param({"five": 100.0, **CREDITS}, None, True, id="carried-by-credits"),
        pytest.param({"five": 100.0, **CREDITS, "limit_reached": 1}, None, True, id="reached-but-carried"),
        pytest.param({"five": 100.0, **CREDITS, "credits_balance": "0.00"}, "5h", False, id="credits-spent"),
        pytest.param({"five": 100.0, **CREDITS, "credits_balance": None}, None, True, id="balance-unknown"),
        pytest.param({"five": 100.0, "credits_unlimited": 1}, None, True, id="unlimited"),
        pytest.param({"five": 100.0, **CREDITS, "overage_limit_reached": 1}, "5h", False, id="overage-limit"),
        pytest.param({"five": 100.0, **CREDITS, "spend_control_reached": 1}, "5h", False, id="spend-control"),
        pytest.param({"five": 100.0, **CREDITS, "allowed": 0}, "5h", False, id="refused-in-spite-of-credits"),
        pytest.param({"five": 100.0, "allowed": 1}, None, False, id="allowed-whatever-the-figure"),
        pytest.param({"limit_reached": 1}, "limit", False, id="reached-without-a-full-window"),
        pytest.param({"reached_type": "rate_limit_reached"}, "limit", False, id="reached-type-without-full-window"),
        pytest.param(
            {"five": 100.0, "reached_type": "workspace_owner_credits_depleted"}, "credits", False, id="credits-depleted"
        ),
        pytest.param({"limit_reached": 0, "allowed": 1}, None, False, id="reported-as-free"),
        pytest.param({"limit_reached": 1, "allowed": 1}, "limit", False, id="refused-beside-an-older-allowed"),
        pytest.param(
            {"reached_type": "rate_limit_reached", "limit_reached": 0, "allowed": 1},
            "limit",
            False,
            id="a-reached-type-beside-an-older-allowed",
        ),
        pytest.param(
            {"five": 100.0, **CREDITS, "limit_reached": 1, "allowed": 1},
            None,
            True,
            id="allowed-and-reached-on-credits",
        ),
        pytest.param(
            {"five": 100.0, **CREDITS, "limit_reached": 1, "reached_until": SEVEN_RESET},
            "5h",
            False,
            id="refused-until-a-time-in-spite-of-credits",
        ),
    ],
)
def test_what_blocks(fields: dict[str, Any], blocked_by: str | None, on_credits: bool) -> None:
    """A limit is blocked by a full window, by the server, or by used-up credits."""
    standing = limit_status(row(**fields), NOON + 1)

    assert (standing["blocked_by"], standing["on_credits"]) == (blocked_by, on_credits)


@pytest.mark.parametrize(
    ("fields", "now", "blocked_by", "limit_reached"),
    [
        pytest.param({"five": 100.0}, FIVE_RESET - 1, "5h", True, id="before-the-reset"),
        pytest.param({"five": 100.0}, FIVE_RESET, None, None, id="the-full-window-reset"),
        pytest.param({"five": 100.0, "seven": 100.0}, FIVE_RESET, "7d", True, id="another-is-still-full"),
        pytest.param({"reached_until": NOON + 60}, NOON + 59, "limit", True, id="until-the-time-that-the-server-gave"),
        pytest.param({"reached_until": NOON + 60}, NOON + 60, None, None, id="from-the-time-that-the-server-gave"),
        pytest.param(
            {"reached_until": SEVEN_RESET}, FIVE_RESET, "limit", True, id="beyond-the-reset-of-another-window"
        ),
    ],
)
def test_a_verdict_ends_with_the_reset(
    fields: dict[str, Any], now: float, blocked_by: str | None, limit_reached: bool | None
) -> None:
    """The server's verdict on a limit ends with the reset of the window that it was about."""
    standing = limit_status(row(limit_reached=1, allowed=0, **fields), now)

    assert (standing["blocked_by"], standing["limit_reached"]) == (blocked_by, limit_reached)


AMOUNTS = {"budget_limit": "25000", "budget_used": "25000", "budget_remaining": "0"}


@pytest.mark.parametrize(
    ("used", "fields", "blocked_by"),
    [
        pytest.param(96, {}, None, id="open"),
        pytest.param(100, {}, "budget", id="full"),
        pytest.param(100, CREDITS, "budget", id="credits-do-not-carry-it"),
        pytest.param(96, {"limit_reached": 1}, "limit", id="reached-as-the-server-says"),
    ],
)
def test_a_budget(used: float, fields: dict[str, Any], blocked_by: str | None) -> None:
    """A budget that is used up is closed until its reset, whatever credits there are."""
    window = {"budget": [used, None, SEVEN_RESET]}
    budget = row(None, None, limit_id="spend_control", other_windows=json.dumps(window), **AMOUNTS, **fields)
    found = limit_status(budget, NOON + 60)
    assert (found["blocked_by"], found["on_credits"]) == (blocked_by, False)
    assert found["windows"]["budget"]["resets_at"] == SEVEN_RESET
    assert found["budget"] == {"limit": "25000", "used": "25000", "remaining": "0", "unit": None, "source": None}
