"""How full a window is, in a word and in a colour: the same in tables and in status bars."""

from __future__ import annotations

COLOURS = {"low": "green", "medium": "yellow", "high": "red"}
"""The colour of each level."""


def level(used: float | None) -> str | None:
    """Return how full a window is: ``low`` below 50 % used, ``medium`` to 80, ``high`` above; None where not told."""
    if used is None:
        return None
    if used < 50:
        return "low"
    return "medium" if used <= 80 else "high"
