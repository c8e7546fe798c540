"""Rows of `snapshots` with a 5 h window, and the timeline of them, written short."""

from __future__ import annotations

from typing import Any

from store.analysis.timeline import Axis, WindowTimeline, window_timelines
from tests.support.factories import NOON

HOUR = 3_600


def row(at: float, used: float, *, resets: float, until: float | None = None, **fields: Any) -> dict[str, Any]:
    """A row that was first seen `at` hours after noon; its window resets `resets` hours after noon."""
    none = {f"{name}_{slot}_{unit}": None for slot in ("5h", "7d") for name, unit in _UNITS}
    reported = {"used_5h_percent": used, "window_5h_minutes": 300, "resets_5h_at": NOON + int(resets * HOUR)}
    seen = {"first_seen_at": NOON + at * HOUR, "last_seen_at": NOON + (at if until is None else until) * HOUR}
    return {**none, **reported, **seen, "other_windows": None, "number": 1, **fields}


_UNITS = (("used", "percent"), ("window", "minutes"), ("resets", "at"))


def five(*rows: dict[str, Any], begin: float = 0, end: float = 10, columns: int = 10) -> WindowTimeline:
    """The timeline of the 5 h window, from `begin` to `end` (hours after noon)."""
    return window_timelines(rows, Axis(NOON + begin * HOUR, NOON + end * HOUR, columns))["5h"]
