"""The lines of forecasts."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, cast

import pytest

from scripts.render.console import TerminalProfile
from scripts.render.forecast import render_most_urgent, words
from store.analysis.forecast import NO_RESET_REPORTED, RESET_UNSEEN, TOO_LITTLE_HISTORY, Forecast
from tests.support.factories import NOON

if TYPE_CHECKING:
    from store.documents import WindowForecast

WORDS: dict[str, dict[str, Any]] = {
    "lasts: about 72 % at the reset (60 to 85 %)": {"safe": True, "chance_dry": 0.01},
    "lasts: about 98 % at the reset (60 to 100 %)": {
        "safe": True,
        "chance_dry": 0.1,
        "at_reset": 98.4,
        "at_reset_high": 143.0,
    },
    "likely lasts: about 100 % at the reset (100 to 100 %); 49 % chance to be dry before, at about 15:40": {
        "chance_dry": 0.49,
        "runs_dry_at": NOON + 13_200,
        "runs_dry_low": NOON + 10_200,
        "at_reset": 120.0,
        "at_reset_low": 100.5,
        "at_reset_high": 260.0,
    },
    "lasts (no reset was reported)": {
        "safe": True,
        "chance_dry": 0.0,
        "at_reset": None,
        "resets_at": None,
        "note": NO_RESET_REPORTED,
    },
    "too little history for a forecast": {"note": TOO_LITTLE_HISTORY, "safe": None},
    "at this pace dry at 15:40, 50 min before its reset (between 14:50 and 16:10)": {
        "chance_dry": 0.95,
        "runs_dry_at": NOON + 13_200,
        "runs_dry_low": NOON + 10_200,
        "runs_dry_high": NOON + 15_000,
    },
    "at this pace dry at 15:40, 50 min before its reset (14:50 at the earliest, may last)": {
        "chance_dry": 0.7,
        "runs_dry_at": NOON + 13_200,
        "runs_dry_low": NOON + 10_200,
    },
    "likely lasts: about 72 % at the reset (60 to 85 %); 30 % chance to be dry before, at about 15:40": {
        "chance_dry": 0.3,
        "runs_dry_at": NOON + 13_200,
        "runs_dry_low": NOON + 10_200,
    },
    "nothing to forecast: reset, not seen since": {"note": RESET_UNSEEN},
    "dry now, back at 16:30": {"used_percent": 100.0, "chance_dry": 1.0},
}


@pytest.mark.parametrize("line", WORDS)
def test_a_forecast_is_one_line(line: str) -> None:
    """It says when the window runs dry and how sure that is, or that the window lasts."""
    figures = Forecast(at_reset=72.0, at_reset_low=60.0, at_reset_high=85.0)._asdict()
    window: Any = {"used_percent": 40.0, "resets_at": NOON + 16_200, **figures, **WORDS[line]}
    assert words(window, NOON, dt.UTC) == line


@pytest.mark.parametrize(
    ("fields", "style"),
    [
        ({"safe": True, "chance_dry": 0.01}, "green"),
        ({"safe": False, "chance_dry": 0.3}, "yellow"),
        ({"safe": False, "chance_dry": 0.9}, "red"),
        ({"note": RESET_UNSEEN}, "dim"),
        ({"note": TOO_LITTLE_HISTORY}, "dim"),
    ],
)
def test_the_most_urgent_window_is_one_line(fields: dict[str, Any], style: str) -> None:
    """It has the length of the window and its forecast, in the colour of the forecast."""
    whole = {"window_minutes": 43_200, "length": "30d", "used_percent": 40.0, "resets_at": NOON + 16_200}
    urgent = cast("WindowForecast", {**whole, **Forecast()._asdict(), **fields})
    line = render_most_urgent("7d", urgent, NOON, TerminalProfile(zone=dt.UTC))
    assert line.plain == f"30 d {words(urgent, NOON, dt.UTC)}"
    assert [span.style for span in line.spans] == [style]
