"""The public API prices that come with genai-prices: OpenAI's models, by name, date and service tier.

The prices are data of the installed package; its own way to fetch newer ones is never used. The package takes some
tenths of a second to import, so it is imported only for a model that `scripts.prices.price_list` has not stored.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from store.analysis.turn_value import FAST, STANDARD, ModelPrices, PricePeriod, PriceStep, Rates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

NAME = "genai-prices"
_PACKAGE = "genai_prices"
_PROVIDER = "openai"
_TIERS = (FAST, "flex")
_FIRST_DAY = dt.date(1970, 1, 1)


class PackageState(NamedTuple):
    """What changes when another release of the package is installed."""

    changed_ns: int
    size: int


def package_state() -> PackageState | None:
    """Return the state of the installed package, without importing it; None if it is not installed."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    try:
        status = Path(spec.origin).with_name("data.py").stat()
    except OSError:
        return None
    return PackageState(status.st_mtime_ns, status.st_size)


def find_prices(model: str) -> ModelPrices | None:
    """Return the prices of a model of OpenAI's; None if the package has none for it.

    Raises:
        ImportError: The package is not installed.
    """
    from genai_prices.data_snapshot import get_snapshot

    try:
        _, found = get_snapshot().find_provider_model(model, None, _PROVIDER, None)
    except LookupError:
        return None
    return convert(found)


def convert(model: ModelInfo) -> ModelPrices | None:
    """Return a model's prices as plain values; None if they are not by tokens, or differ by the time of day."""
    if any(day is None for day in _days(model)):
        return None
    days = sorted({_FIRST_DAY, *filter(None, _days(model))})
    standard = _periods(days, lambda day: _steps(model.get_prices(_midnight(day))))
    if not standard:
        return None
    return {STANDARD: standard, **{tier: found for tier in _TIERS if (found := _tier_periods(model, tier, days))}}


def _days(model: ModelInfo) -> Iterable[dt.date | None]:
    """Yield the first days of prices; None for a constraint that is not a first day."""
    prices = model.prices if isinstance(model.prices, list) else []
    for each in (*prices, *(model.price_variants or ())):
        if each.constraint is not None:
            yield getattr(each.constraint, "start_date", None)


def _tier_periods(model: ModelInfo, tier: str, days: Iterable[dt.date]) -> tuple[PricePeriod, ...]:
    """Return the prices of a service tier, none if there are none.

    The package has them from a day on. For the time before, the standard prices of then are multiplied: by how much
    the tier's input cost on that day, relative to standard.
    """
    context = {"service_tier": tier}
    variants = [each for each in model.price_variants or () if each.when == context]
    if not variants:
        return ()
    first = min(each.constraint.start_date if each.constraint else _FIRST_DAY for each in variants)  # type: ignore[union-attr]
    listed, usual = _steps(model.get_prices(_midnight(first), context)), _steps(model.get_prices(_midnight(first)))
    multiple = listed[0].rates.input / usual[0].rates.input if usual[0].rates.input else 1.0

    def steps(day: dt.date) -> tuple[PriceStep, ...]:
        if day >= first:
            return _steps(model.get_prices(_midnight(day), context))
        return tuple(
            PriceStep(above, Rates(*(price * multiple for price in rates)))
            for above, rates in _steps(model.get_prices(_midnight(day)))
        )

    return _periods(days, steps)


def _periods(days: Iterable[dt.date], steps_of: Callable[[dt.date], tuple[PriceStep, ...]]) -> tuple[PricePeriod, ...]:
    """Return a period for each day on which prices change."""
    found: list[PricePeriod] = []
    for day in days:
        steps = steps_of(day)
        if steps and (not found or found[-1].steps != steps):
            found.append(PricePeriod(_midnight(day).timestamp(), steps))
    return tuple(found)


def _steps(prices: ModelPrice) -> tuple[PriceStep, ...]:
    """Return prices by the number of input tokens; none if input or output has no price by tokens.

    Cached input and input that is written into the cache cost as much as other input unless they have their own price.
    """
    named: dict[str, Decimal | TieredPrices | None] = vars(prices)
    given, output = named.get("input_mtok"), named.get("output_mtok")
    if given is None or output is None:
        return ()
    cached, written = named.get("cache_read_mtok"), named.get("cache_write_mtok")
    kinds = (given, given if cached is None else cached, given if written is None else written, output)
    starts = {tier.start for kind in kinds for tier in (() if isinstance(kind, Decimal) else kind.tiers)}
    return tuple(PriceStep(above, Rates(*(_price(kind, above) for kind in kinds))) for above in (-1, *sorted(starts)))


def _price(price: Decimal | TieredPrices, above: int) -> float:
    """Return a price per million tokens for more than `above` input tokens."""
    if isinstance(price, Decimal):
        return float(price)
    return float(next((tier.price for tier in reversed(price.tiers) if tier.start <= above), price.base))


def _midnight(day: dt.date) -> dt.datetime:
    """Return the beginning of a day; a price's first day is one of UTC."""
    return dt.datetime.combine(day, dt.time(), dt.UTC)
