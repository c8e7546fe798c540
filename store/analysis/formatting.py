"""Times, durations and numbers as people read them in a sentence: pure functions."""

from __future__ import annotations

import datetime as dt
import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

UNKNOWN = "?"

MINUTE, HOUR, DAY = 60, 3_600, 86_400

_WEEK = 6 * DAY

_SCALES, _MIN_SCALED = ((1e9, "G"), (1e6, "M"), (1e3, "k")), 100_000
_DECIMAL = r"[0-9]{1,30}(\.[0-9]{1,30})?"


def duration(seconds: float) -> str:
    """Format a duration in its two largest units, rounded down: ``2 h 30 min``, ``3 d 4 h``, ``45 s``."""
    return " ".join(f"{number} {unit}" for number, unit in _units(seconds, "min"))


def short_duration(seconds: float) -> str:
    """Format a duration for a status bar: ``2h30m``, ``3d4h``, ``45s``."""
    return "".join(f"{number}{unit}" for number, unit in _units(seconds, "m"))


def clock_time(at: float, zone: dt.tzinfo | None = None) -> str:
    """Format a timestamp (Unix seconds) in full: ``2026-11-21 14:05``, in `zone` or the machine's own zone."""
    when = local_time(at, zone)
    # Much faster than `strftime`; the offset of a zone would follow.
    return UNKNOWN if when is None else when.isoformat(" ", "minutes")[:16]


def short_moment(at: float, now: float, zone: dt.tzinfo | None = None) -> str:
    """Format a timestamp as short as is clear at `now`: ``14:05``, ``Tue 14:05``, ``3 Dec 14:05``."""
    when, today = local_time(at, zone), local_time(now, zone)
    if when is None or today is None:
        return UNKNOWN
    if when.date() == today.date():
        return f"{when:%H:%M}"
    if 0 < at - now < _WEEK:
        return f"{when:%a %H:%M}"
    year = "" if when.year == today.year else f"{when.year} "
    return f"{when.day} {when:%b} {year}{when:%H:%M}"


def local_time(at: float, zone: dt.tzinfo | None = None) -> dt.datetime | None:
    """Return a timestamp (Unix seconds) as a date and time of `zone`, by default the machine's.

    None is for a timestamp outside the calendar, which a server may send.
    """
    try:
        return dt.datetime.fromtimestamp(at, zone)
    except (OverflowError, ValueError, OSError):
        return None


def dated(at: float, form: str, zone: dt.tzinfo | None = None) -> str | None:
    """Format a timestamp as ``strftime`` does; None for one outside the calendar."""
    when = local_time(at, zone)
    try:
        return when.strftime(form) if when else None
    except ValueError:
        return None


def percent(value: float | None) -> str:
    """Format a percentage with a decimal if it has one, rounded down: 99.97 is not yet 100."""
    return UNKNOWN if value is None else f"{figure(value)} %"


def share(value: float | None) -> str:
    """Format a share from 0 to 1 as a whole percentage, as ``30 %``."""
    return UNKNOWN if value is None else f"{whole(value * 100)} %"


def amount(number: int) -> str:
    """Format a large number: exactly below 100,000 (``24,000``), else with three digits (``222 k``, ``41.7 M``)."""
    for scale, letter in _SCALES:
        if number >= 0.9995 * scale and number >= _MIN_SCALED:
            digits = 2 if number < 9.995 * scale else 1 if number < 99.95 * scale else 0
            return f"{number / scale:.{digits}f} {letter}"
    return f"{number:,}"


def decimal_amount(written: str) -> str:
    """Format the text of a decimal number, as servers send amounts: ``25000.50`` becomes ``25,000.50``."""
    if not re.fullmatch(_DECIMAL, written):
        return written
    whole_part, point, rest = written.partition(".")
    return f"{int(whole_part):,}{point}{rest}"


def dollars(value: float) -> str:
    """Format an amount of dollars with cents: ``$38.20``; a positive one below a cent is ``<$0.01``."""
    return "<$0.01" if 0 < value < 0.005 else f"${value:,.2f}"


def decimal_value(written: str | None) -> float | None:
    """Return the number that a decimal text stands for; None for another text."""
    return float(written) if written and re.fullmatch(_DECIMAL, written) else None


def figure(value: float) -> str:
    """Format a number with a decimal if it has one, rounded down."""
    return f"{rounded(value):.1f}".removesuffix(".0")


def in_points(value: float) -> str:
    """Format points of a window: ``1 point``, ``2.5 points``."""
    return "1 point" if value == 1 else f"{figure(value)} points"


def rounded(value: float) -> float:
    """Round a percentage down to one decimal."""
    return int(value * 10 + 1e-9) / 10


def whole(value: float) -> int:
    """Round to the nearest whole number, halves up, as the web page does."""
    return int((value + 0.5) // 1)


@functools.lru_cache(maxsize=64)
def window_length(slot: str, minutes: int | None) -> str:
    """Format a window's real length (``5 h``, ``30 d``); where it is unknown, that of its slot with a ``?``.

    A slot without a number (``budget``) is a name.
    """
    if minutes is None:
        written, known = re.subn(r"^(\d+)", r"\1 ", slot)
        return written + UNKNOWN if known else slot
    # 10079 minutes, as a server sends them, mean seven days.
    seconds = minutes * MINUTE
    return duration(seconds if seconds < DAY else whole(seconds / HOUR) * HOUR)


@functools.lru_cache(maxsize=64)
def length_code(minutes: int | None) -> str | None:
    """Return a window's real length without blanks, as documents have it: ``5h``, ``30d``; None where it is unknown."""
    return None if minutes is None else compact_length(window_length("", minutes))


def find_slot(windows: Mapping[str, int | None], asked: str) -> str | None:
    """Return the slot of the window that a person means: by its real length as it is shown, or by its slot.

    `windows` has the minutes of each slot. ``30d`` and ``30 d`` mean the same. None where no window matches.
    """
    wanted = compact_length(asked.lower())
    by_length = (slot for slot, minutes in windows.items() if length_code(minutes) == wanted)
    return next(by_length, wanted if wanted in windows else None)


def shown_windows(*limits: Mapping[str, int | None]) -> str:
    """Return the lengths of the windows of limits for an error message: ``5 h, 30 d``."""
    shown = (window_length(slot, minutes) for windows in limits for slot, minutes in windows.items())
    return ", ".join(dict.fromkeys(shown))


def compact_length(length: str) -> str:
    """Return a window's length as it is shown, or its slot, without blanks: ``30d`` for ``30 d``."""
    return "".join(length.split()).replace("min", "m")


def slot_minutes(slot: str) -> int | None:
    """Return the minutes that a slot such as ``5h`` or ``30d`` names; None where it names none."""
    unit = {"m": 1, "h": 60, "d": 1_440}.get(slot[-1:])
    return int(slot[:-1]) * unit if unit and slot[:-1].isdecimal() else None


def _units(seconds: float, minute: str) -> list[tuple[int, str]]:
    whole = max(0, int(seconds))
    if whole < MINUTE:
        return [(whole, "s")]
    if whole < HOUR:
        return [(whole // MINUTE, minute)]
    large, small = ((DAY, "d"), (HOUR, "h")) if whole >= DAY else ((HOUR, "h"), (MINUTE, minute))
    rest = whole % large[0] // small[0]
    return [(whole // large[0], large[1]), *([(rest, small[1])] if rest else [])]
