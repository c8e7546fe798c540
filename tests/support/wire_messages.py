"""Events and usage documents as the backend writes them, and the limits in them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from store.models import Limit, Window

if TYPE_CHECKING:
    from addon.messages import ParsedMessage

NOW = 1_795_243_200.0
IN_FIVE_HOURS = {"used_percent": 13, "window_minutes": 300, "reset_after_seconds": 9_000, "reset_at": 1_795_252_200}
IN_SEVEN_DAYS = {
    "used_percent": 41.5,
    "window_minutes": 10_080,
    "reset_after_seconds": 300_000,
    "reset_at": 1_795_543_200,
}
FIVE_HOURS = Window(used_percent=13, window_minutes=300, resets_at=1_795_252_200)
SEVEN_DAYS = Window(used_percent=41.5, window_minutes=10_080, resets_at=1_795_543_200)
BOTH = {"5h": FIVE_HOURS, "7d": SEVEN_DAYS}
FOX = "codex_bengalfox"
SPARK = "GPT-5.3-Codex-Spark"


def figures(primary: object = IN_FIVE_HOURS, secondary: object = IN_SEVEN_DAYS, **more: object) -> dict[str, object]:
    """Write a limit as events do."""
    return {"primary": primary, "secondary": secondary, **more}


def event(**fields: object) -> bytes:
    return json.dumps({"type": "codex.rate_limits", **fields}).encode()


def limits_of(parsed: ParsedMessage | None) -> tuple[Limit, ...]:
    return parsed.reading.limits if parsed else ()


MAIN = Limit(windows=BOTH)


def usage_window(used: float, seconds: float | None, after: int) -> dict[str, object]:
    return {
        "used_percent": used,
        "limit_window_seconds": seconds,
        "reset_after_seconds": after,
        "reset_at": int(NOW) + after,
    }


USAGE = {
    "email": "someone@example.com",
    "account_id": "acct",
    "user_id": "user",
    "plan_type": "plus",
    "rate_limit": {
        "allowed": True,
        "limit_reached": False,
        "primary_window": usage_window(41.5, 604_800, 300_000),
        "secondary_window": None,
    },
    "code_review_rate_limit": None,
    "additional_rate_limits": [
        {
            "limit_name": SPARK,
            "metered_feature": FOX,
            "rate_limit": {
                "allowed": False,
                "limit_reached": True,
                "primary_window": usage_window(13, 18_000, 9_000),
                "secondary_window": usage_window(41.5, 604_800, 300_000),
            },
        }
    ],
    "credits": {"has_credits": True, "unlimited": False, "overage_limit_reached": False, "balance": "9.5"},
    "spend_control": {"reached": False, "individual_limit": None},
    "rate_limit_reached_type": None,
    "rate_limit_reset_credits": {"available_count": 2},
    "promo": None,
}
