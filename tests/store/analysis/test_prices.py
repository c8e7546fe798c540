"""Public prices and plan sizes."""

from __future__ import annotations

import pytest

from store.analysis.prices import plan_size, tier_price


@pytest.mark.parametrize(
    ("tier", "model", "price"),
    [
        (None, "gpt-6.1-sol", 1.0),
        ("default", "gpt-6.1-sol", 1.0),
        ("auto", None, 1.0),
        ("priority", "gpt-6.1-sol", 2.5),
        ("priority", None, 2.5),
        ("fast", "gpt-5.5", 2.5),
        ("priority", "gpt-5.4", 2.0),
        ("priority", "gpt-5.4-mini", 2.0),
    ],
)
def test_fast_mode_has_its_price(tier: str | None, model: str | None, price: float) -> None:
    """An unknown model in Fast mode costs what most models do."""
    assert tier_price(tier, model) == price


@pytest.mark.parametrize(
    ("smaller", "larger"), [("free", "go"), ("go", "plus"), ("plus", "prolite"), ("prolite", "pro"), ("team", "Pro")]
)
def test_plans_have_sizes(smaller: str, larger: str) -> None:
    """Each is larger than the one before."""
    assert plan_size(smaller) < plan_size(larger)


@pytest.mark.parametrize("plan", [None, "", "plus", "business", "edu", "enterprise", "a new plan"])
def test_other_plans_are_like_plus(plan: str | None) -> None:
    """So are the seats of workspaces, and a plan that is not known."""
    assert plan_size(plan) == 1.0
