"""The lines of forecasts."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, cast

import pytest

from scripts.render.console import TerminalProfile
from scripts.render.forecast import render_most_urgent, words
from store.analysis.forecast import FEW_READINGS, RESET_UNSEEN, Forecast
from tests.support.factories import NOON

if TYPE_CHECKING:
    from store.documents import UrgentWindow

WORDS: dict[str, dict[str, Any]] = {
    "lasts: about 72 % at the reset (60 to 85 %)": {"safe": True, "chance_dry": 0.01},
    "seems to last: about 72 % at the reset (60 to 85 %), from few readings": {
        "chance_dry": 0.0,
        "note": FEW_READINGS,
    },
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
    "likely lasts: about 72 % at the reset (60 to 85 %); 30% chance to be dry before, at about 15:40": {
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
        ({"safe": False, "chance_dry": None, "note": RESET_UNSEEN}, "dim"),
    ],
)
def test_the_most_urgent_window_is_one_line(fields: dict[str, Any], style: str) -> None:
    """It has the length of the window and its forecast, in the colour of the forecast."""
    whole = {"slot": "7d", "window_minutes": 10_080, "used_percent": 40.0, "resets_at": NOON + 16_200}
    urgent = cast("UrgentWindow", {**whole, **Forecast()._asdict(), **fields})
    line = render_most_urgent(urgent, NOON, TerminalProfile(zone=dt.UTC))
    assert line.plain == f"7 d {words(urgent, NOON, dt.UTC)}"
    assert [span.style for span in line.spans] == [style]
