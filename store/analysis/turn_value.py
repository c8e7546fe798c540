"""The value of turns at public API prices: pure functions over their tokens and a list of prices.

The value is what the tokens of a turn are sold for on the public API, whatever plan the turn ran on. A turn without a
known price has no value: it is counted in `Valuation.not_priced`, with the reason.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from store.analysis.attribution import TurnUse


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
    """The prices from a timestamp on; `steps` are sorted, and the first one is that of any turn (above -1)."""

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

    def value(self, turn: TurnUse) -> float | NotPriced | None:
        """Return the value of a turn in dollars, why it has none, or None for a turn that used no tokens."""
        # Unpacked: this is called for each turn of a year.
        _, _, ended_at, _, model, _, _, given, cached, output, _, written, tier = turn[:13]
        if not output and not given:
            return self._without_tokens(turn)
        model = turn.response_model or model
        periods = self._known.get((model, tier)) or self._look_up(model, tier)
        if isinstance(periods, NotPriced):
            self.not_priced[periods] += 1
            return periods
        given = given or 0
        price, cached_price, write_price, output_price = _rates(periods, ended_at, given)
        value = given * price + (output or 0) * output_price
        if cached:
            cached = min(cached, given)
            value += cached * (cached_price - price)
        if written:
            value += min(written, given - (cached or 0)) * (write_price - price)
        return value / _PER

    @property
    def source(self) -> str | None:
        """Where the public prices come from; None where there are none."""
        return self._prices.source

    @property
    def own_prices(self) -> list[str]:
        """The models that were valued by the user's own prices."""
        valued = {model for (model, _), found in self._known.items() if model and not isinstance(found, NotPriced)}
        return sorted(model for model in valued if self._prices.is_own(model))

    def _without_tokens(self, turn: TurnUse) -> NotPriced | None:
        """Return None for a turn that used no tokens; one that was cut off used some that were never reported."""
        reported = turn.output_tokens is not None or turn.input_tokens is not None
        if reported or turn.warm_up or (turn.status is not None and turn.status >= 400):
            return None
        found = NotPriced("tokens_not_reported", turn.response_model or turn.model)
        self.not_priced[found] += 1
        return found

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


def _rates(periods: tuple[PricePeriod, ...], at: float, given: int) -> Rates:
    """Return the rates of a turn that ended at a timestamp with so many input tokens."""
    steps = periods[0][1]
    if len(periods) > 1:
        for start, later in periods[1:]:
            if start > at:
                break
            steps = later
    rates = steps[0][1]
    if len(steps) > 1 and given > steps[1][0]:
        for above, higher in steps[1:]:
            if given <= above:
                break
            rates = higher
    return rates
