"""Levels of windows, which tables, status bars and the page show as colours.

The level of a window is that of its forecast: low if the window lasts, medium if it may run dry, high if it likely
does. Without a forecast its used percent decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.analysis.forecast import LIKELY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from store.documents import Level, WindowForecast

MEDIUM_PERCENT, HIGH_PERCENT = 50.0, 80.0
"""The used percents from which, and above which, a window without a forecast is medium and high."""

_ORDER: tuple[Level, ...] = ("low", "medium", "high")


def level(used: float | None) -> Level | None:
    """Return the level of a used percent: ``low`` below 50, ``medium`` up to 80, ``high`` above; None if unknown."""
    if used is None:
        return None
    if used < MEDIUM_PERCENT:
        return "low"
    return "medium" if used <= HIGH_PERCENT else "high"


def forecast_level(forecast: WindowForecast) -> Level | None:
    """Return the level of a window by its forecast; None without a forecast."""
    if forecast["chance_dry"] is None:
        return None
    if forecast["safe"]:
        return "low"
    return "medium" if forecast["chance_dry"] < LIKELY else "high"


def window_level(used: float | None, forecast: WindowForecast | None) -> Level | None:
    """Return the level of a window: that of its forecast, else that of its used percent; None if neither is known."""
    return (forecast_level(forecast) if forecast else None) or level(used)


def worst_level(levels: Iterable[Level | None]) -> Level | None:
    """Return the highest of the levels that are known; None where none is."""
    return max(filter(None, levels), key=_ORDER.index, default=None)
