"""primary and secondary → the slots ``5h`` and ``7d``, by the windows' lengths.

The server's order varies: 5 h first, 7 d first, and since mid-2026 on many plans 7 d alone in primary. Only
``window_minutes`` identifies a window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from store.models import Window

FIVE_HOURS = 300
SEVEN_DAYS = 10_080

SHORT_MINUTES = 360
"""Windows up to this length are candidates for ``5h``, longer ones for ``7d``."""

UNKNOWN = "unknown"
"""Slot of a window of unknown length when no other slot is left."""


def normalize(primary: Window | None, secondary: Window | None, observed_at: float | None = None) -> dict[str, Window]:
    """Put the windows of a limit into slots.

    Of the windows up to 360 minutes the one nearest 300 is ``5h``; of those above, the one nearest 10080 is ``7d``; a
    tie goes to primary; any other keeps its own length as its slot (``1h``, ``30d``). Of two windows of one length the
    more used one counts. A window of unknown length takes the slot that a known one left free; if no length is known,
    primary is ``7d`` and secondary ``5h``, the order before the server reported lengths; a window with a reset more
    than 6 hours after `observed_at` (Unix seconds; None: ignored) cannot be ``5h``.
    """
    windows = {slot: window for slot, window in (("7d", primary), ("5h", secondary)) if window}
    slots = _place_known(_one_per_length([window for window in windows.values() if window.window_minutes]))
    unknown = [(slot, window) for slot, window in windows.items() if not window.window_minutes]
    # Windows that can only be long choose first.
    for legacy, window in sorted(unknown, key=lambda item: not _is_long(item[1], observed_at)):
        choices = ("7d",) if _is_long(window, observed_at) else (legacy, "7d", "5h")
        slots[next((slot for slot in choices if slot not in slots), UNKNOWN)] = window
    return slots


def _one_per_length(windows: list[Window]) -> list[Window]:
    if len(windows) == 2 and windows[0].window_minutes == windows[1].window_minutes:
        return [max(windows, key=lambda window: -1 if window.used_percent is None else window.used_percent)]
    return windows


def _place_known(windows: list[Window]) -> dict[str, Window]:
    slots: dict[str, Window] = {}
    short = [window for window in windows if (window.window_minutes or 0) <= SHORT_MINUTES]
    long = [window for window in windows if (window.window_minutes or 0) > SHORT_MINUTES]
    for slot, usual, candidates in (("5h", FIVE_HOURS, short), ("7d", SEVEN_DAYS, long)):
        ranked = sorted(candidates, key=lambda window: abs((window.window_minutes or 0) - usual))
        for place, window in enumerate(ranked):
            slots[slot if place == 0 else length_name(window.window_minutes or 0)] = window
    return slots


def _is_long(window: Window, observed_at: float | None) -> bool:
    if observed_at is None or window.resets_at is None:
        return False
    return window.resets_at - observed_at > SHORT_MINUTES * 60


def length_name(minutes: int) -> str:
    """Return the short name of a length: ``45m``, ``1h``, ``30d``."""
    for unit, size in (("d", 1440), ("h", 60)):
        if minutes % size == 0:
            return f"{minutes // size}{unit}"
    return f"{minutes}m"
