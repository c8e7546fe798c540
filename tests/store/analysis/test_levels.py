"""Levels of windows."""

from __future__ import annotations

from typing import Any, cast

import pytest

from store.analysis.forecast import RESET_UNSEEN, TOO_LITTLE_HISTORY, Forecast
from store.analysis.levels import forecast_level, level, window_level, worst_level


@pytest.mark.parametrize(
    ("used", "found"),
    [(None, None), (0, "low"), (49.9, "low"), (50, "medium"), (80, "medium"), (80.1, "high"), (130, "high")],
)
def test_the_level_of_a_used_percent(used: float | None, found: str | None) -> None:
    """Low below 50 %, medium up to 80 %, high above; no level if unknown."""
    assert level(used) == found


@pytest.mark.parametrize(
    ("fields", "by_forecast", "by_level"),
    [
        pytest.param({"safe": True, "chance_dry": 0.0}, "low", ("low", "low", "low"), id="lasts"),
        pytest.param({"safe": False, "chance_dry": 0.11}, "medium", ("medium", "medium", "medium"), id="may run dry"),
        pytest.param({"safe": False, "chance_dry": 0.49}, "medium", ("medium", "medium", "medium"), id="just may"),
        pytest.param({"safe": False, "chance_dry": 0.5}, "high", ("high", "high", "high"), id="as likely as not"),
        pytest.param({"safe": False, "chance_dry": 1.0}, "high", ("high", "high", "high"), id="runs dry"),
        pytest.param({"note": TOO_LITTLE_HISTORY}, None, ("low", "high", None), id="too little history"),
        pytest.param({"note": RESET_UNSEEN}, None, ("low", "high", None), id="reset, not seen since"),
    ],
)
def test_the_level_of_a_window(
    fields: dict[str, Any], by_forecast: str | None, by_level: tuple[str | None, str | None, str | None]
) -> None:
    """The forecast decides, whatever is used; without one, the used percent."""
    forecast = cast("Any", {**Forecast()._asdict(), **fields})
    assert forecast_level(forecast) == by_forecast
    assert tuple(window_level(used, forecast) for used in (10, 90, None)) == by_level
    assert tuple(window_level(used, None) for used in (10, 60, 90, None)) == ("low", "medium", "high", None)


def test_the_worst_level() -> None:
    """The highest of those that are known."""
    assert worst_level(["low", None, "high", "medium"]) == "high"
    assert worst_level([None]) is None
