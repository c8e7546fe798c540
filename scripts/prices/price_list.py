"""The prices that `usage` counts with: the user's own first, then those of genai-prices.

What genai-prices says of a model is stored in a private file, with the state of the installed package: importing the
package takes several times as long as a question.
"""

from __future__ import annotations

import contextlib
import json
import math
from typing import TYPE_CHECKING, Any

from scripts.prices import package
from scripts.prices.own_prices import OwnPrices, load_own_prices, prices_path
from store.analysis.turn_value import ModelPrices, PricePeriod, PriceStep, Rates
from store.files import api_prices_file, read_regular, write_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAX_BYTES = 2_000_000
_MAX_STORED = 200
"""Models in the file: their names come from clients, which may send any."""


class Prices:
    """The `PriceList` of the user's own prices and those of the package."""

    def __init__(self, own: OwnPrices | None, stored: Path) -> None:
        self._own = own
        self._stored = stored
        self._state = package.package_state()
        self._known = _load(stored, self._state) if self._state else {}
        self._is_new = False

    @property
    def source(self) -> str | None:
        """The package; None where it is not installed, as on Python 3.11, or cannot be read."""
        return package.NAME if self._state else None

    def find(self, model: str) -> ModelPrices | None:
        """Return the prices of a model; None if they are not known."""
        found = self._own.find(model) if self._own else None
        if found or model in self._known:
            return found or self._known[model]
        return self._look_up(model) if self._state else None

    def _look_up(self, model: str) -> ModelPrices | None:
        try:
            found = package.find_prices(model)
        except Exception:  # noqa: BLE001 (a release of the package that is made differently is as good as none)
            self._state = None
            return None
        self._known[model] = found
        self._is_new = True
        return found

    def is_own(self, model: str) -> bool:
        """Return True if the prices of a model are the user's own."""
        return self._own is not None and self._own.find(model) is not None

    def store(self) -> None:
        """Store what the package said, for the next time; that it cannot be written is no failure."""
        if not self._is_new or not self._state or len(self._known) > _MAX_STORED:
            return
        content = {"state": self._state, "models": self._known}
        with contextlib.suppress(OSError):
            write_private(self._stored, json.dumps(content).encode())
        self._is_new = False


@contextlib.contextmanager
def open_prices(chosen: Path | None = None) -> Iterator[Prices]:
    """Provide the prices, and store what was looked up.

    Args:
        chosen: the file of the user's own prices; None means the usual one, if there is one.

    Raises:
        OwnPricesError: The file of the user's own prices cannot be used.
    """
    path = prices_path(chosen)
    prices = Prices(load_own_prices(path) if path else None, api_prices_file())
    yield prices
    prices.store()


def _load(path: Path, state: package.PackageState) -> dict[str, ModelPrices | None]:
    """Return what is stored of this state of the package; nothing if the file is missing, older or damaged."""
    try:
        content = json.loads(read_regular(path, _MAX_BYTES))
        if content["state"] != list(state):
            return {}
        return {str(model): _parsed(prices) for model, prices in content["models"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _parsed(prices: Any) -> ModelPrices | None:
    if prices is None:
        return None
    return {
        str(tier): tuple(
            PricePeriod(
                float(start), tuple(PriceStep(int(above), Rates(*map(_price, rates))) for above, rates in steps)
            )
            for start, steps in periods
        )
        for tier, periods in prices.items()
    }


def _price(price: Any) -> float:
    if not isinstance(price, (int, float)) or not math.isfinite(price) or price < 0:
        raise ValueError(price)
    return float(price)
