"""The value of turns at public API prices: pure functions over their tokens and a list of prices.

The value is what the tokens of a turn are sold for on the public API, whatever plan the turn ran on. A turn without a
known price has no value: it is counted in `Valuation.not_priced`, with the reason.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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

if TYPE_CHECKING:
    PriceList = Callable[[str], Mapping[str, tuple[PricePeriod, ...]] | None]
    """Returns the prices of a model by its name; None for a model without known prices."""

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

    def __init__(self, find: PriceList) -> None:
        self.not_priced: Counter[NotPriced] = Counter()
        self._find = find
        self._known: dict[tuple[str | None, str | None], tuple[PricePeriod, ...] | NotPriced] = {}

    def value(self, turn: TurnUse) -> float | None:
        """Return the value of a turn in dollars: 0 for one that used no tokens, None for one without a known price."""
        output, given = turn.output_tokens, turn.input_tokens
        if output is None and given is None:
            return self._without_tokens(turn)
        if not output and not given:
            return 0.0
        model = turn.response_model or turn.model
        found = self._known.get((model, turn.tier)) or self._look_up(model, turn.tier)
        if isinstance(found, NotPriced):
            self.not_priced[found] += 1
            return None
        whole = given or 0
        rates = _rates(found, turn.ended_at, whole)
        cached = min(turn.cached_tokens or 0, whole)
        written = min(turn.cache_write_tokens or 0, whole - cached)
        return (
            (whole - cached - written) * rates.input
            + cached * rates.cached
            + written * rates.cache_write
            + (output or 0) * rates.output
        ) / _PER

    def _without_tokens(self, turn: TurnUse) -> float | None:
        """Return 0 for a turn that was refused or only warmed up; another one was cut off before its tokens came."""
        if turn.warm_up or (turn.status is not None and turn.status >= 400):
            return 0.0
        self.not_priced[NotPriced("tokens_not_reported", turn.response_model or turn.model)] += 1
        return None

    def _look_up(self, model: str | None, tier: str | None) -> tuple[PricePeriod, ...] | NotPriced:
        prices = self._find(model) if model else None
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
    current = periods[0]
    for period in periods[1:]:
        if period.start > at:
            break
        current = period
    steps = current.steps
    found = steps[0].rates
    for step in steps[1:]:
        if given <= step.above:
            break
        found = step.rates
    return found
