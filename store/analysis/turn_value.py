"""The value of turns at public API prices: pure functions over their tokens and a list of prices.

The value is what the tokens of a turn are sold for on the public API, whatever plan the turn ran on. A turn without a
known price has no value: it is counted in `Valuation.not_priced`, with the reason. Turns are valued by cell
(`store.analysis.usage_cells`): those of one cell have the same prices.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from store.analysis.usage_cells import QUARTER_SECONDS, STEPS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from store.analysis.usage_cells import CellKey, TurnSums


class Rates(NamedTuple):
    """Prices in dollars per million tokens. Reasoning tokens are output."""

    input: float
    cached: float
    cache_write: float
    output: float


class PriceStep(NamedTuple):
    """The rates of all tokens of a turn with more than `above` input tokens."""

    above: int
    rates: Rates


class PricePeriod(NamedTuple):
    """The prices from a timestamp on, at which a quarter of an hour begins.

    `steps` are sorted, and the first one is that of any turn (above -1).
    """

    start: float
    steps: tuple[PriceStep, ...]


STANDARD, FAST = "standard", "priority"
"""Names of service tiers in `ModelPrices`; others are as clients request them."""

ModelPrices = dict[str, tuple[PricePeriod, ...]]
"""A model's prices by service tier; periods are sorted, and the first one also stands for any time before it."""


class PriceList(Protocol):
    """Prices of models by their names."""

    @property
    def source(self) -> str | None:
        """Where the public prices come from; None where there are none."""

    def find(self, model: str) -> ModelPrices | None:
        """Return the prices of a model; None if they are not known."""

    def is_own(self, model: str) -> bool:
        """Return True if the prices of a model are the user's own."""


Reason = Literal["model", "tier", "model_not_reported", "tokens_not_reported"]
"""Why a turn has no value: its model or its service tier has no known price, or its model or tokens are unknown."""


class NotPriced(NamedTuple):
    """What turns without a value have in common; `tier` is named where that is the reason."""

    reason: Reason
    model: str | None
    tier: str | None = None


class Value(NamedTuple):
    """The value of turns in dollars, and how many have one and how many have none; others used no tokens."""

    dollars: float
    priced: int
    not_priced: int


_TIER_NAMES = {None: STANDARD, "": STANDARD, "auto": STANDARD, "default": STANDARD, "fast": FAST}
_PER = 1_000_000


class Valuation:
    """Values turns by a list of prices, and counts those without a value.

    Attributes:
        not_priced: how many turns have no value, by what they have in common.
    """

    def __init__(self, prices: PriceList) -> None:
        self.not_priced: Counter[NotPriced] = Counter()
        self._prices = prices
        self._known: dict[tuple[str | None, str | None], tuple[PricePeriod, ...] | NotPriced] = {}
        self._steps: dict[str | None, tuple[int, ...]] = {}

    def value(self, key: CellKey, sums: TurnSums) -> Value:
        """Return the value of the turns of a cell."""
        model = key.response_model or key.model
        if sums.not_told:
            self.not_priced[NotPriced("tokens_not_reported", model)] += sums.not_told
        if not sums.valued:
            return Value(0.0, 0, sums.not_told)
        periods = self._prices_of(key)
        if isinstance(periods, NotPriced):
            self.not_priced[periods] += sums.valued
            return Value(0.0, 0, sums.valued + sums.not_told)
        return Value(_dollars(periods, key, sums), sums.valued, sums.not_told)

    def surcharge(self, key: CellKey, sums: TurnSums) -> float:
        """Return the dollars by which the turns of a cell cost more than at the prices of the first step."""
        periods = self._prices_of(key)
        if isinstance(periods, NotPriced):
            return 0.0
        return _dollars(periods, key, sums) - _dollars(periods, key._replace(above=-1), sums)

    def steps(self, model: str | None) -> tuple[int, ...]:
        """Return the numbers of input tokens above which prices of a model, or of others, change."""
        found = self._steps.get(model)
        if found is None:
            found = self._steps[model] = tuple(sorted({*STEPS, *self._own_steps(model)}))
        return found

    def first_steps(self, models: Iterable[str | None]) -> dict[str | None, int]:
        """Return the lowest number of input tokens above which prices of a model change, of those that have one."""
        own = {model: self._own_steps(model) for model in models}
        return {model: min(steps) for model, steps in own.items() if steps}

    def changes(self, models: Iterable[str | None]) -> set[float]:
        """Return the timestamps at which prices of models change."""
        return {period.start for model in models for period in self._periods(model)}

    def _own_steps(self, model: str | None) -> set[int]:
        return {step.above for period in self._periods(model) for step in period.steps[1:]}

    def _periods(self, model: str | None) -> list[PricePeriod]:
        prices = self._prices.find(model) if model else None
        return [period for periods in (prices or {}).values() for period in periods]

    @property
    def source(self) -> str | None:
        """Where the public prices come from; None where there are none."""
        return self._prices.source

    @property
    def own_prices(self) -> list[str]:
        """The models that were valued by the user's own prices."""
        valued = {model for (model, _), found in self._known.items() if model and not isinstance(found, NotPriced)}
        return sorted(model for model in valued if self._prices.is_own(model))

    def _prices_of(self, key: CellKey) -> tuple[PricePeriod, ...] | NotPriced:
        model = key.response_model or key.model
        return self._known.get((model, key.tier)) or self._look_up(model, key.tier)

    def _look_up(self, model: str | None, tier: str | None) -> tuple[PricePeriod, ...] | NotPriced:
        prices = self._prices.find(model) if model else None
        periods = prices.get(_TIER_NAMES.get(tier, tier or STANDARD)) if prices else None
        found: tuple[PricePeriod, ...] | NotPriced
        if not model:
            found = NotPriced("model_not_reported", None)
        elif prices is None:
            found = NotPriced("model", model)
        else:
            found = periods or NotPriced("tier", model, tier)
        self._known[model, tier] = found
        return found


def _dollars(periods: tuple[PricePeriod, ...], key: CellKey, sums: TurnSums) -> float:
    price, cached_price, write_price, output_price = _rates(periods, key.quarter * QUARTER_SECONDS, key.above)
    value = sums.input_tokens * price + sums.output_tokens * output_price
    value += sums.billed_cached * (cached_price - price) + sums.billed_written * (write_price - price)
    return value / _PER


def _rates(periods: tuple[PricePeriod, ...], at: float, above: int) -> Rates:
    """Return the rates of turns that ended at a timestamp, and whose input exceeds a step."""
    steps = periods[0].steps
    for start, later in periods[1:]:
        if start > at:
            break
        steps = later
    rates = steps[0].rates
    for step, higher in steps[1:]:
        if above < step:
            break
        rates = higher
    return rates
