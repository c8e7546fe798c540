"""The value of turns at public API prices."""

from __future__ import annotations

from typing import Any

import pytest

from store.analysis.turn_value import FAST, STANDARD, NotPriced, PricePeriod, PriceStep, Rates, Valuation, Value
from store.analysis.usage_cells import turn_cells
from tests.support.prices import PriceTable, always
from tests.support.usage_factories import turn

JULY, AUGUST = 1_782_864_000.0, 1_785_542_400.0

PLAIN = always((-1, Rates(2, 0.2, 2.5, 10)))

PRICES = PriceTable(
    {
        "m": {STANDARD: PLAIN, FAST: always((-1, Rates(4, 0.4, 5, 20)))},
        "cheaper": {STANDARD: (*PLAIN, PricePeriod(AUGUST, (PriceStep(-1, Rates(1, 0.1, 1.25, 5)),)))},
        "long": {STANDARD: always((-1, Rates(2, 0.2, 2.5, 10)), (272_000, Rates(4, 0.4, 5, 15)))},
        "free": {STANDARD: always((-1, Rates(0, 0, 0, 0)))},
    },
    own=["m"],
)


def used(given: int | None, cached: int | None = 0, output: int | None = 0, **fields: Any) -> dict[str, Any]:
    """The fields of a turn with tokens."""
    return {"input_tokens": given, "cached_tokens": cached, "output": output, **fields}


def valued(fields: dict[str, Any], valuation: Valuation | None = None) -> Value:
    """The value of a turn that ended in July."""
    valuation = valuation or Valuation(PRICES)
    found = turn(JULY - 60, fields.pop("ended", JULY), **fields)
    ((key, sums),) = turn_cells([found], valuation.steps).items()
    return valuation.value(key, sums)


@pytest.mark.parametrize(
    ("fields", "dollars"),
    [
        pytest.param(used(1_000_000), 2.0, id="input"),
        pytest.param(used(1_000_000, 1_000_000), 0.2, id="all of it cached"),
        pytest.param(used(1_000_000, 400_000), 0.6 * 2 + 0.4 * 0.2, id="part of it cached"),
        pytest.param(used(1_000_000, 9_000_000), 0.2, id="more cached than there is"),
        pytest.param(used(1_000_000, cache_write_tokens=1_000_000), 2.5, id="written into the cache"),
        pytest.param(
            used(1_000_000, 400_000, cache_write_tokens=900_000), 0.4 * 0.2 + 0.6 * 2.5, id="cached and written"
        ),
        pytest.param(used(0, output=1_000_000), 10.0, id="output"),
        pytest.param(used(None, None, output=1_000_000), 10.0, id="output alone was reported"),
        pytest.param(used(0, output=1_000_000, reasoning_tokens=600_000), 10.0, id="reasoning is part of the output"),
        pytest.param(used(1_000_000, output=100_000, tier="priority"), 6.0, id="Fast mode"),
        pytest.param(used(1_000_000, output=100_000, tier="fast"), 6.0, id="Fast mode by its other name"),
        pytest.param(used(1_000_000, tier="default"), 2.0, id="the default tier"),
        pytest.param(used(1_000_000, tier="auto"), 2.0, id="any tier"),
        pytest.param(used(1_000_000, model="cheaper"), 2.0, id="before the price changed"),
        pytest.param(used(1_000_000, model="cheaper", ended=AUGUST), 1.0, id="since the price changed"),
        pytest.param(used(272_000, model="long"), 0.272 * 2, id="up to the threshold"),
        pytest.param(
            used(300_000, 100_000, 1_000, model="long"),
            0.2 * 4 + 0.1 * 0.4 + 0.001 * 15,
            id="a long context: all of it",
        ),
        pytest.param(used(1_000_000, model="x", response_model="m"), 2.0, id="by the model that responded"),
        pytest.param(used(1_000_000, model=None, response_model="m"), 2.0, id="only the response names the model"),
        pytest.param(used(1_000_000, model="free"), 0.0, id="free of charge"),
        pytest.param(used(1_000_000, warm_up=1), 2.0, id="a warm-up with tokens"),
    ],
)
def test_a_turn_has_a_value(fields: dict[str, Any], dollars: float) -> None:
    """Prices are per million tokens."""
    found = valued(fields)
    assert found == Value(found.dollars, 1, 0)
    assert found.dollars == pytest.approx(dollars, rel=1e-12)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        pytest.param(used(1_000, model="x"), NotPriced("model", "x"), id="an unknown model"),
        pytest.param(
            used(1_000, model="m", response_model="x"), NotPriced("model", "x"), id="an unknown one responded"
        ),
        pytest.param(used(1_000, model=None), NotPriced("model_not_reported", None), id="no model"),
        pytest.param(used(1_000, tier="ultrafast"), NotPriced("tier", "m", "ultrafast"), id="an unknown tier"),
        pytest.param(
            used(1_000, model="long", tier="priority"), NotPriced("tier", "long", "priority"), id="no Fast mode price"
        ),
        pytest.param(used(None, None, None), NotPriced("tokens_not_reported", "m"), id="cut off"),
    ],
)
def test_a_turn_without_a_known_price_is_counted(fields: dict[str, Any], reason: NotPriced) -> None:
    """It is worth neither nothing nor a guess."""
    valuation = Valuation(PRICES)
    assert [valued(dict(fields), valuation) for _ in range(2)] == [Value(0, 0, 1), Value(0, 0, 1)]
    assert valuation.not_priced == {reason: 2}
    assert valuation.own_prices == []


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(used(0), id="no tokens"),
        pytest.param(used(None, None, None, status=429), id="refused"),
        pytest.param(used(None, None, None, warm_up=1), id="a warm-up"),
    ],
)
def test_a_turn_that_used_no_tokens_has_nothing_to_value(fields: dict[str, Any]) -> None:
    """Not even where its model is unknown."""
    valuation = Valuation(PRICES)
    assert valued({**fields, "model": "x"}, valuation) == Value(0, 0, 0)
    assert not valuation.not_priced


def test_models_with_the_users_own_prices_are_named() -> None:
    """Only those that a turn was valued with."""
    valuation = Valuation(PRICES)
    for model in ("m", "cheaper", "x"):
        valued(used(1_000, model=model), valuation)
    assert valuation.own_prices == ["m"]


def test_what_much_input_costs_more() -> None:
    """It is the difference of the prices above a step and below it; models without steps or prices have none."""
    valuation = Valuation(PRICES)
    found = [turn(JULY - 60, JULY, **used(300_000, model=model)) for model in ("long", "m", "unknown")]
    surcharges = [valuation.surcharge(key, sums) for key, sums in turn_cells(found).items()]
    assert surcharges == pytest.approx([0.3 * 2, 0, 0])
    assert valuation.first_steps(["long", "m", "unknown", None]) == {"long": 272_000}
