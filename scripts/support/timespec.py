"""Timestamps as people write them: a duration before now, or a date."""

from __future__ import annotations

import datetime as dt
import re

_UNITS = {"min": 60, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(rf"(\d+(?:\.\d+)?)\s*({'|'.join(_UNITS)})")


def parse_since(text: str, now: float) -> float:
    """Return the Unix timestamp of ``7d`` or ``36h`` before `now`, of ``2026-11-20`` or of ``2026-11-20T14:05``.

    A date or time without an offset is in the machine's own time zone.

    Raises:
        ValueError: The text is neither a duration nor a date.
    """
    duration = _DURATION.fullmatch(text.strip())
    if duration:
        return now - float(duration[1]) * _UNITS[duration[2]]
    try:
        return dt.datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text!r} is not a valid time; use 7d, 36h, 90min, 2026-11-20 or 2026-11-20T14:05") from None
