"""The public prices that come with genai-prices."""

from __future__ import annotations

import datetime as dt
import socket
import sys
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.prices import package
from scripts.prices.package import convert, find_prices, package_state
from store.analysis.turn_value import FAST, STANDARD, PriceStep, Rates, Valuation
from store.analysis.usage_cells import turn_cells
from tests.support.prices import PriceTable
from tests.support.usage_factories import turn

if package_state() is None:
    pytest.skip("genai-prices is not installed: it needs Python 3.12 or newer", allow_module_level=True)

from genai_prices import Usage, calc_price
from genai_prices.data import providers
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)

OPENAI = next(each for each in providers if each.id == "openai")
PRICED = sorted(each.id for each in OPENAI.models if find_prices(each.id))
TIERS_VERIFIED = dt.datetime(2026, 10, 13, tzinfo=dt.UTC)
"""Since then the package has prices of service tiers; earlier ones follow from these."""


@given(
    st.sampled_from(PRICED),
    st.sampled_from([None, "priority", "flex"]),
    st.integers(1_704_067_200, 1_798_761_600).map(lambda at: dt.datetime.fromtimestamp(at, dt.UTC)),
    st.tuples(*[st.integers(0, 500_000)] * 3),
    st.integers(0, 200_000),
)
def test_a_turn_is_worth_what_the_package_says(
    model: str, tier: str | None, when: dt.datetime, given_tokens: tuple[int, int, int], output: int
) -> None:
    """Cached and written tokens, long contexts, dates and service tiers, of each of OpenAI's models."""
    uncached, cached, written = given_tokens
    prices = find_prices(model)
    assert prices is not None
    if tier and (when < TIERS_VERIFIED or tier not in prices):
        tier = None
    whole = uncached + cached + written
    counts = {"input_tokens": whole, "cached_tokens": cached, "cache_write_tokens": written}
    ended = when.timestamp()
    valuation = Valuation(PriceTable({model: prices}))
    used = turn(ended - 60, ended, output, model=model, tier=tier, **counts)
    ((key, sums),) = turn_cells([used], valuation.steps).items()
    value = valuation.value(key, sums).dollars
    usage = Usage(input_tokens=whole, cache_read_tokens=cached, cache_write_tokens=written, output_tokens=output)
    expected = calc_price(
        usage,
        model,
        provider_id="openai",
        genai_request_timestamp=when,
        price_context={"service_tier": tier} if tier else None,
    )
    assert (value or 0.0) == pytest.approx(float(expected.total_price), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", ["gpt-x", "gpt-6.1-sol-mini", "codex-auto-review", "claude-opus-4-1", "", "whisper-1"])
def test_an_unknown_model_has_no_prices(name: str) -> None:
    """Nor has another provider's, or one that is not sold by tokens: similar names are no reason to guess."""
    assert find_prices(name) is None


def test_codex_models_have_prices() -> None:
    """Fast mode costs twice as much on the API, and a long context too."""
    prices = find_prices("gpt-6.1-sol")
    assert prices is not None
    standard, fast = prices[STANDARD][-1].steps, prices[FAST][-1].steps
    assert [step.above for step in standard] == [-1, 272_000]
    assert [2 * price for price in standard[0].rates] == list(fast[0].rates)
    assert standard[0].rates.cached < standard[0].rates.input < standard[0].rates.cache_write < standard[0].rates.output


def model_of(prices: Any, variants: Any = None) -> ModelInfo:
    """A made-up model."""
    return ModelInfo(id="m", match=ClauseEquals("m"), prices=prices, price_variants=variants)


def price(given: float, output: float, **others: Any) -> ModelPrice:
    """Prices per million tokens."""
    return ModelPrice(input_mtok=Decimal(str(given)), output_mtok=Decimal(str(output)), **others)


def midnight(day: dt.date) -> float:
    """The beginning of a day in UTC."""
    return dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()


def test_prices_change_at_midnight_utc() -> None:
    """A period begins where a price does."""
    day = dt.date(2026, 8, 21)
    found = convert(
        model_of(
            [ConditionalPrice(prices=price(5, 30)), ConditionalPrice(StartDateConstraint(day), prices=price(4, 20))]
        )
    )
    assert found is not None
    assert [(each.start, each.steps[0].rates.output) for each in found[STANDARD]] == [(0, 30), (midnight(day), 20)]


def test_fast_mode_before_the_package_has_its_price() -> None:
    """Then the standard price of the day is multiplied as the first known price of Fast mode is."""
    cut, known = dt.date(2026, 8, 21), dt.date(2026, 10, 12)
    fast = PriceVariant({"service_tier": "priority"}, price(10, 50), StartDateConstraint(known))
    found = convert(
        model_of(
            [ConditionalPrice(prices=price(8, 40)), ConditionalPrice(StartDateConstraint(cut), prices=price(4, 20))],
            [fast],
        )
    )
    assert found is not None
    assert [(each.start, each.steps[0].rates.input, each.steps[0].rates.output) for each in found[FAST]] == [
        (0, 20, 100),
        (midnight(cut), 10, 50),
    ]
    assert "flex" not in found


@pytest.mark.parametrize(
    ("others", "rates"),
    [
        ({}, Rates(2, 2, 2, 10)),
        ({"cache_read_mtok": Decimal(0)}, Rates(2, 0, 2, 10)),
        ({"cache_read_mtok": Decimal("0.2"), "cache_write_mtok": Decimal("2.5")}, Rates(2, 0.2, 2.5, 10)),
    ],
)
def test_cached_tokens_without_a_price_of_their_own_cost_as_much_as_input(
    others: dict[str, Decimal], rates: Rates
) -> None:
    """A price of nothing is a price."""
    found = convert(model_of(price(2, 10, **others)))
    assert found is not None
    assert found[STANDARD][0].steps == (PriceStep(-1, rates),)


def test_each_kind_of_token_may_have_its_own_threshold() -> None:
    """The steps are those of all of them."""
    tiered = {
        "input_mtok": TieredPrices(Decimal(1), [Tier(100, Decimal(2)), Tier(300, Decimal(3))]),
        "output_mtok": TieredPrices(Decimal(5), [Tier(200, Decimal(6))]),
    }
    found = convert(model_of(ModelPrice(**tiered)))
    assert found is not None
    assert [(step.above, step.rates.input, step.rates.output) for step in found[STANDARD][0].steps] == [
        (-1, 1, 5),
        (100, 2, 5),
        (200, 2, 6),
        (300, 3, 6),
    ]


def test_prices_by_the_time_of_day_are_not_known() -> None:
    """One of them would be a guess."""
    night = TimeOfDateConstraint(dt.time(0), dt.time(6))
    assert (
        convert(model_of([ConditionalPrice(prices=price(2, 10)), ConditionalPrice(night, prices=price(1, 5))])) is None
    )


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """The prices are data of the installed package."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert find_prices("gpt-5.4")


def test_the_state_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is known without an import, and there is none where the package is missing."""
    assert package_state() == package_state()
    monkeypatch.setattr(package, "_PACKAGE", "no_such_package")
    assert package_state() is None
    monkeypatch.setattr(package, "_PACKAGE", "json")  # has no data.py
    assert package_state() is None
    assert "json" in sys.modules
