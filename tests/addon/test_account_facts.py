"""Facts of an account beside its limits: banked resets and the usage of models."""

from __future__ import annotations

import json
from typing import Any

import pytest

from addon.messages import read_usage
from store.models import ModelUsage, RateLimits
from tests.support.wire_messages import NOW


def read(document: dict[str, Any]) -> RateLimits | None:
    parsed = read_usage(json.dumps(document).encode(), NOW)
    return parsed and parsed.reading.model_copy(update={"raw": {}})


def banked(*expire: object, **fields: object) -> dict[str, object]:
    resets = [{"status": "available", "granted_at": "2026-11-01T06:00:00Z", "expires_at": each} for each in expire]
    return {"credits": resets, "available_count": len(resets), **fields}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(
            banked("2026-11-28T06:00:00Z", "2026-11-27T06:00:00+00:00"),
            {"reset_credits": 2, "reset_credits_expire": (1_795_759_200, 1_795_845_600)},
            id="the earliest first",
        ),
        pytest.param(
            banked("2026-11-27T07:00:00+01:00"),
            {"reset_credits": 1, "reset_credits_expire": (1_795_759_200,)},
            id="another time zone",
        ),
        pytest.param(
            banked("2026-11-27T06:00:00.000000"),
            {"reset_credits": 1, "reset_credits_expire": (1_795_759_200,)},
            id="no time zone",
        ),
        pytest.param(
            banked(1_795_759_200, "1795759200"),
            {"reset_credits": 2, "reset_credits_expire": (1_795_759_200, 1_795_759_200)},
            id="as a number",
        ),
        pytest.param(
            banked("soon", None, "0001-01-01", "9999-12-31T23:59:59-23:00", "2" * 100),
            {"reset_credits": 5, "reset_credits_expire": ()},
            id="absurd dates one by one",
        ),
        pytest.param(
            {"credits": [{"status": "used", "expires_at": 1_795_759_200}, 5, None], "available_count": 0},
            {"reset_credits": 0, "reset_credits_expire": ()},
            id="used ones",
        ),
        pytest.param(banked(credits=None, available_count=1), {"reset_credits": 1}, id="without a list"),
        pytest.param(
            {"rate_limit_reset_credits": {"available_count": 2, "applicable_available_count": 0}},
            {"reset_credits": 2, "reset_credits_applicable": 0},
            id="in a usage document",
        ),
        pytest.param(
            {
                "credits": banked("2026-11-27T06:00:00Z")["credits"],
                "rate_limit_reset_credits": {"available_count": 1},
            },
            {"reset_credits": 1},
            id="a list in a usage document",
        ),
    ],
)
def test_banked_resets(document: dict[str, Any], expected: dict[str, Any]) -> None:
    """Their number, how many can be used now, and when each expires."""
    assert read(document) == RateLimits(**expected)


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        pytest.param(
            {
                "gpt-6-astra": {
                    "available": False,
                    "available_at": "2026-11-30T14:38:22Z",
                    "credits_would_enable": True,
                }
            },
            {"gpt-6-astra": ModelUsage(available=False, available_at=1_796_049_502, credits_would_enable=True)},
            id="as seen",
        ),
        pytest.param({"sol": {"available": True}}, {"sol": ModelUsage(available=True)}, id="available"),
        pytest.param({"sol": {"available": "?", "available_at": -1}}, {"sol": ModelUsage()}, id="absurd values"),
        pytest.param({"a\x1bb": {"available": True}}, {"a\ufffdb": ModelUsage(available=True)}, id="a hostile name"),
        pytest.param({"": {"available": True}, "sol": 5, "x": {}}, {}, id="nothing readable"),
        pytest.param({}, {}, id="none"),
    ],
)
def test_model_usage(models: dict[str, Any], expected: dict[str, ModelUsage]) -> None:
    """Which models cannot be used now, and until when."""
    reading = read({"model_usage": models})
    assert reading is not None
    assert reading.model_usage == expected


def test_many_models() -> None:
    """Of very many models some are read."""
    reading = read({"model_usage": {f"m{number}": {"available": False} for number in range(200)}})
    assert reading is not None
    assert len(reading.model_usage or {}) == 16
