"""Moments as people write them."""

from __future__ import annotations

import datetime as dt
import re

_UNITS = {"min": 60, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_AGO = re.compile(rf"(\d+(?:\.\d+)?)\s*({'|'.join(_UNITS)})")


def parse_since(text: str, now: float) -> float:
    """Return the moment that ``7d``, ``36h``, ``2026-11-20`` or ``2026-11-20T14:05`` means, in Unix seconds.

    A date or time without an offset is in the machine's own time zone.

    Raises:
        ValueError: it is none of these.
    """
    ago = _AGO.fullmatch(text.strip())
    if ago:
        return now - float(ago[1]) * _UNITS[ago[2]]
    try:
        return dt.datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text!r} is no time; write 7d, 36h, 90min, 2026-11-20 or 2026-11-20T14:05") from None
