"""Prices that do not change with the release of genai-prices that is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.prices import package
from scripts.prices.package import PackageState
from store.analysis.turn_value import FAST, STANDARD, ModelPrices, PricePeriod, PriceStep, Rates

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pytest


def always(*steps: tuple[int, Rates]) -> tuple[PricePeriod, ...]:
    """Prices that are the same at any time."""
    return (PricePeriod(0.0, tuple(PriceStep(*step) for step in steps)),)


MADE_UP: dict[str, ModelPrices] = {
    "gpt-6.1-sol": {
        STANDARD: always((-1, Rates(2.0, 0.1, 2.5, 10.0)), (272_000, Rates(4.0, 0.2, 5.0, 15.0))),
        FAST: always((-1, Rates(4.0, 0.2, 5.0, 20.0))),
    },
    "m": {STANDARD: always((-1, Rates(2.0, 0.2, 2.0, 10.0)))},
}
"""Prices of some models, in dollars per million tokens."""


class PriceTable:
    """A `PriceList` of made-up prices; `own` are the models whose prices are the user's."""

    def __init__(self, models: Mapping[str, ModelPrices] = MADE_UP, own: Iterable[str] = ()) -> None:
        self._models = models
        self._own = set(own)

    source = "made-up prices"

    def find(self, model: str) -> ModelPrices | None:
        """Return the prices of a model."""
        return self._models.get(model)

    def is_own(self, model: str) -> bool:
        """Return True if they are the user's own."""
        return model in self._own


def install_made_up_prices(patch: pytest.MonkeyPatch) -> None:
    """Let the package have these prices, and no others."""
    patch.setattr(package, "package_state", lambda: PackageState(1, 1))
    patch.setattr(package, "find_prices", MADE_UP.get)
