"""The sentences on whether Codex is slow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from store.analysis.speed import Change, Comparison, MetricComparison, Quantiles
from store.analysis.speed_text import comparison_text, in_seconds, rate

if TYPE_CHECKING:
    from store.analysis.speed import Verdict


def metric(verdict: Verdict = "usual", **fields: Any) -> MetricComparison:
    """Return a wait of 4.1 s, usually 2.2 s, that 19 of 20 days fall short of."""
    values: dict[str, Any] = {
        "turns": 38,
        "median": 4.1,
        "usual": Quantiles(600, 2.2, 6.0),
        "slowdown": 1.84,
        "days": 20,
        "days_exceeded": 19,
        **fields,
    }
    return MetricComparison(verdict, **values)


NONE = metric("unknown", turns=0, median=None, usual=Quantiles(0, None, None), slowdown=None, days=0, days_exceeded=0)


def comparison(first_byte: MetricComparison, speed: MetricComparison = NONE, **fields: Any) -> Comparison:
    """Return a comparison of 38 turns, none of which failed."""
    values: dict[str, Any] = {
        "failed": 0,
        "turns": 38,
        "usual_failed": 0.01,
        "more_failures": False,
        "changes": [],
        **fields,
    }
    return Comparison(first_byte, speed, **values)


WAIT = "4.1 s to the first byte (usually 2.2 s, 95 % within 6.0 s)"
SPEED = "90 tokens a second (usually 41, 95 % at least 8.4)"
KIND = "Turns of the same model, effort, tier and size of input take"
CHANGES = [
    Change("input_tokens", None, 90_123, 40_000),
    Change("tier", None, 0.9, 0.2),
    Change("reasoning_effort", "high", 0.5, 0.1),
    Change("model", "m", 0.8, 0.1),
]


@pytest.mark.parametrize(
    ("found", "seconds", "expected"),
    [
        pytest.param(
            comparison(metric("slower")),
            3 * 3_600,
            [
                f"Slower than usual: {WAIT} in the last 3 h, 38 turns.",
                f"{KIND} 1.8 times as long to the first byte: more than on 19 of 20 days.",
            ],
            id="slower",
        ),
        pytest.param(
            comparison(
                metric("usual", slowdown=1.04),
                metric("faster", median=90.0, usual=Quantiles(500, 41.2, 8.43), slowdown=0.46, days_exceeded=0),
            ),
            3_600,
            [
                f"Faster than usual: {WAIT} and {SPEED} in the last hour, 38 turns.",
                f"{KIND} 0.5 times as long for each token: less than on 20 of 20 days.",
            ],
            id="faster",
        ),
        pytest.param(
            comparison(metric("usual", slowdown=1.02), changes=CHANGES),
            1_800,
            [
                f"Longer than usual, and not by Codex: {WAIT} in the last 30 min, 38 turns.",
                f"{KIND} 1.0 times as long to the first byte.",
                "Your turns are larger: 90,123 input tokens, usually 40,000.",
                "More of your turns are with the standard tier: 90 %, usually 20 %.",
                "More of your turns are on effort high: 50 %, usually 10 %.",
                "More of your turns are on m: 80 %, usually 10 %.",
            ],
            id="one's own",
        ),
        pytest.param(
            comparison(
                metric("usual", slowdown=1.02),
                failed=5,
                more_failures=True,
                changes=[],
            ),
            86_400,
            [
                f"As fast as usual: {WAIT} in the last 24 h, 38 turns.",
                f"{KIND} 1.0 times as long to the first byte.",
                "More failures than usual: 5 of 38 turns, usually 1 %.",
            ],
            id="failures",
        ),
        pytest.param(
            comparison(metric("unknown", turns=1, usual=Quantiles(0, None, None)), turns=1),
            86_400,
            [
                "Too little to tell: 4.1 s to the first byte in the last 24 h, 1 turn.",
                "A comparison needs 10 answered turns.",
            ],
            id="few turns",
        ),
        pytest.param(
            comparison(metric("unknown", days=2)),
            86_400,
            [
                f"Too little to tell: {WAIT} in the last 24 h, 38 turns.",
                "A comparison needs 5 earlier days with turns in the same hours; there are 2.",
            ],
            id="few days",
        ),
        pytest.param(
            comparison(metric("unknown", slowdown=None)),
            86_400,
            [
                f"Too little to tell: {WAIT} in the last 24 h, 38 turns.",
                "No turn of the same kind is known from these hours.",
            ],
            id="a new kind",
        ),
        pytest.param(
            comparison(NONE, turns=2),
            30,
            [
                "Too little to tell: no turn that tells its speed in the last 1 min, 2 turns.",
                "A comparison needs 10 answered turns.",
            ],
            id="no speed",
        ),
        pytest.param(comparison(NONE, turns=0), 86_400, ["No turns in the last 24 h."], id="no turns"),
    ],
)
def test_text(found: Comparison, seconds: float, expected: list[str]) -> None:
    """The verdict and its figures come first, then what it rests on, and what is different about the user's turns."""
    assert comparison_text(found, seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.0, "0.00 s"), (0.42, "0.42 s"), (1.0, "1.0 s"), (4.12, "4.1 s"), (41.5, "42 s")]
)
def test_seconds(seconds: float, expected: str) -> None:
    """Seconds have two digits."""
    assert in_seconds(seconds) == expected


@pytest.mark.parametrize(("value", "expected"), [(8.43, "8.4"), (51.6, "52"), (1_234.0, "1,234")])
def test_rate(value: float, expected: str) -> None:
    """A speed is a whole number, unless it is small."""
    assert rate(value) == expected
