"""Levels of use and their colours, shared by tables and status bars."""

from __future__ import annotations

COLOURS = {"low": "green", "medium": "yellow", "high": "red"}
"""The colour of each level."""


def level(used: float | None) -> str | None:
    """Return the level of a used percent: ``low`` below 50, ``medium`` up to 80, ``high`` above; None if unknown."""
    if used is None:
        return None
    if used < 50:
        return "low"
    return "medium" if used <= 80 else "high"
