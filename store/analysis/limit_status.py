"""How a limit stands at a given moment: pure functions over the row that last told of it.

A row says how things stood when they were last seen. What has passed since, a reset above all, is worked out here, so
that no old figure is shown as if it were the present one. Rows are mappings with the columns of `snapshots`; moments
are Unix seconds.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from store.constants import FULL_PERCENT, RESET_JITTER_SECONDS, SKEW_SECONDS, is_zero

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


SLOT_COLUMNS = {slot: (f"used_{slot}_percent", f"window_{slot}_minutes", f"resets_{slot}_at") for slot in ("5h", "7d")}
"""The columns of the slots that have their own: those of `Figures`."""

WINDOW_COLUMNS = ", ".join([*(name for names in SLOT_COLUMNS.values() for name in names), "other_windows"])
"""All columns that `slots` looks at."""


class WindowRow(NamedTuple):
    """A window as it was last seen; None is what nothing has told."""

    used_percent: float | None = None
    window_minutes: int | None = None
    resets_at: int | None = None


class Blocked(NamedTuple):
    """Whether and by what a limit is closed.

    ``by`` is the slot of the full window, ``"limit"`` where the server says so without one, ``"credits"`` where those
    ran out, None where it is open. ``on_credits`` tells that a full window is carried by credits.
    """

    by: str | None
    on_credits: bool


def limit_status(row: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Answer "how does this limit stand now?" as the JSON contract writes it."""
    # A message may tell that a limit is reached, or of credits, and nothing of the windows: those are as old as before.
    seen_at = row["last_seen_at"] if row["windows_seen_at"] is None else row["windows_seen_at"]
    windows = {slot: window_status(figures, seen_at, now) for slot, figures in slots(row)}
    lapsed = _verdict_lapsed(row, windows, now)
    block = _blocked(row, windows, lapsed=lapsed)
    return {
        "limit_id": row["limit_id"],
        "limit_name": row["limit_name"],
        "limit_reached": None if lapsed else flag(row["limit_reached"]),
        "reached_type": None if lapsed else row["reached_type"],
        "reached_until": None if lapsed else row["reached_until"],
        "blocked_by": block.by,
        "windows": windows,
        "on_credits": block.on_credits,
        "observed_at": int(seen_at),
        "age_seconds": max(0, int(now - seen_at)),
        "source": row["source"],
        "model": row["model"],
    }


def slots(row: Mapping[str, Any]) -> Iterator[tuple[str, WindowRow]]:
    """Yield the windows of a row by their slots: ``5h``, ``7d``, then others."""
    for slot, (used_percent, window_minutes, resets_at) in SLOT_COLUMNS.items():
        figures = WindowRow(row[used_percent], row[window_minutes], row[resets_at])
        if any(figure is not None for figure in figures):
            yield slot, figures
    yield from other_windows(row["other_windows"]).items()


def other_windows(written: str | None) -> dict[str, WindowRow]:
    """Return the windows of the further slots, which one column has as JSON."""
    return {slot: WindowRow(*values) for slot, values in json.loads(written).items()} if written else {}


def window_status(figures: WindowRow, seen_at: float, now: float) -> dict[str, Any]:
    """Answer "how does this window stand now?"; one whose reset has passed unseen counts as reset."""
    reset = _has_reset(figures, seen_at, now)
    used = 0.0 if reset else figures.used_percent
    resets_at = figures.resets_at
    return {
        "used_percent": used,
        "remaining_percent": None if used is None else max(0.0, FULL_PERCENT - used),
        "window_minutes": figures.window_minutes,
        "resets_at": resets_at,
        "resets_in_seconds": None if resets_at is None else max(0, int(resets_at - now)),
        "reset_unseen": reset,
    }


def same_reset(one: int | None, other: int | None) -> bool:
    """Tell whether two resets are one; of one that was not told nobody knows."""
    return one is not None and other is not None and abs(one - other) <= RESET_JITTER_SECONDS


def flag(value: int | None) -> bool | None:
    """Return a truth value as SQLite keeps it."""
    return None if value is None else bool(value)


def _has_reset(figures: WindowRow, seen_at: float, now: float) -> bool:
    if figures.resets_at is None:
        # No window outlives its own length.
        return figures.window_minutes is not None and now >= seen_at + figures.window_minutes * 60
    if now < figures.resets_at:
        return False
    # Seen after its reset: the clocks differ a little, and the figure is that of the window that began then.
    return seen_at < figures.resets_at or now - seen_at > SKEW_SECONDS


def _verdict_lapsed(row: Mapping[str, Any], windows: Mapping[str, dict[str, Any]], now: float) -> bool:
    """Return True if the server's verdict is over: at the time it gave, else with the reset of its windows."""
    until = row["reached_until"]
    if until is not None:
        return bool(until <= now)
    return any(window["reset_unseen"] for window in windows.values()) and not _full(windows)


def _blocked(row: Mapping[str, Any], windows: Mapping[str, dict[str, Any]], *, lapsed: bool) -> Blocked:
    full = _full(windows)
    credits_left = _credits_left(row)
    refused = not lapsed and _refused(row, credits_left=credits_left)
    allowed = not lapsed and bool(row["allowed"])
    if not refused and (allowed or credits_left or not full):
        return Blocked(None, bool(full) and credits_left)
    if refused and "credits" in (row["reached_type"] or ""):
        return Blocked("credits", on_credits=False)
    return Blocked(max(full, key=full.__getitem__) if full else "limit", on_credits=False)


def _refused(row: Mapping[str, Any], *, credits_left: bool) -> bool:
    """Return True if the server's verdict closes the limit.

    Rows of earlier versions may have an older "allowed" beside a refusal, which is the newer of the two.
    """
    if flag(row["allowed"]) is False or row["reached_type"] is not None or row["reached_until"] is not None:
        return True
    return bool(row["limit_reached"]) and not credits_left


def _full(windows: Mapping[str, dict[str, Any]]) -> dict[str, float]:
    """Return the slots of the full windows and when each comes back."""
    return {
        slot: window["resets_at"] or float("inf")
        for slot, window in windows.items()
        if (window["used_percent"] or 0) >= FULL_PERCENT
    }


def _credits_left(row: Mapping[str, Any]) -> bool:
    if row["overage_limit_reached"] or row["spend_control_reached"]:
        return False
    return bool(row["credits_unlimited"] or (row["has_credits"] and not is_zero(row["credits_balance"])))
