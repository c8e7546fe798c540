"""Levels of windows and their colours, shared by tables and status bars.

The level of a window is that of its forecast: low if the window lasts, medium if it may run dry, high if it likely
does. Without a forecast its used percent decides. `forecastLevel` and `windowLevel` of the web page do the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.analysis.forecast import LIKELY

if TYPE_CHECKING:
    from store.documents import WindowForecast

COLOURS = {"low": "green", "medium": "yellow", "high": "red"}
"""The colour of each level."""


def level(used: float | None) -> str | None:
    """Return the level of a used percent: ``low`` below 50, ``medium`` up to 80, ``high`` above; None if unknown."""
    if used is None:
        return None
    if used < 50:
        return "low"
    return "medium" if used <= 80 else "high"


def forecast_level(forecast: WindowForecast) -> str | None:
    """Return the level of a window by its forecast; None without a forecast."""
    if forecast["chance_dry"] is None:
        return None
    if forecast["safe"]:
        return "low"
    return "medium" if forecast["chance_dry"] < LIKELY else "high"


def window_level(used: float | None, forecast: WindowForecast | None) -> str | None:
    """Return the level of a window: that of its forecast, else that of its used percent; None if neither is known."""
    return (forecast_level(forecast) if forecast else None) or level(used)
