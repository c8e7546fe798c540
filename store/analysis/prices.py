"""Public prices and plan sizes: the one place with figures that the server does not report.

They decide how an increase is divided among turns while an account's own history is too short to tell, and how the
windows of different plans compare. Only their ratios matter.
"""

from __future__ import annotations

from typing import NamedTuple


class TokenPrices(NamedTuple):
    """The price of a token by its kind, relative to uncached input."""

    uncached: float
    cached: float
    output: float


TOKEN_PRICES = TokenPrices(1.0, 0.1, 6.0)
"""The ratio of the API prices of OpenAI's current models: 2.50, 0.25 and 15 dollars, for example."""

CACHE_WRITE_PRICE = 1.25
"""The price of an input token that is written into the cache, relative to uncached input."""

_FAST_TIERS = frozenset({"priority", "fast"})
_FAST_PRICE = 2.5
_FAST_PRICES = {"gpt-5.4": 2.0}
"""Fast mode, by the start of the model's name (https://developers.openai.com/codex/speed)."""


def tier_price(tier: str | None, model: str | None) -> float:
    """Return the price of a service tier, relative to the standard one."""
    if tier not in _FAST_TIERS:
        return 1.0
    return next((price for start, price in _FAST_PRICES.items() if (model or "").startswith(start)), _FAST_PRICE)


_PLAN_SIZES = {
    "free": 0.05,
    "go": 0.25,
    "plus": 1.0,
    "prolite": 5.0,
    "pro": 20.0,
    "team": 1.0,
    "business": 1.0,
    "enterprise": 1.0,
    "edu": 1.0,
}
"""What a plan's windows hold in the same time, relative to Plus.

Pro is sold as 5 or 20 times Plus, and a seat of Business, Enterprise or Edu has the limits of Plus
(https://developers.openai.com/codex/pricing). For Free and Go nothing is published: these two are assumptions.
"""


def plan_size(plan_type: str | None) -> float:
    """Return what a plan's windows hold relative to Plus; an unknown plan counts as Plus."""
    return _PLAN_SIZES.get((plan_type or "").lower(), 1.0)
