"""The state of a limit at a given time, from the snapshot that last reported it: pure functions.

A snapshot says how a limit was when it was last reported. What has happened since, a reset above all, is worked out
here, so that no old figure is shown as if it were current. Timestamps are Unix seconds.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from store.constants import BUDGET_LIMIT, FULL_PERCENT, RESET_JITTER_SECONDS, SKEW_SECONDS, flag, is_full, is_zero

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from store.documents import BudgetStatus, CreditsStatus, LimitStatus, ReportedWindow, WindowStatus


SLOT_COLUMNS = {slot: (f"used_{slot}_percent", f"window_{slot}_minutes", f"resets_{slot}_at") for slot in ("5h", "7d")}
"""The columns of the slots that have their own, in the order of the fields of `WindowRow`."""

WINDOW_COLUMNS = ", ".join([*(name for names in SLOT_COLUMNS.values() for name in names), "other_windows"])
"""All columns that `slots` reads."""


BUDGET_COLUMNS = "budget_limit, budget_used, budget_remaining, budget_unit, budget_source"
"""All columns that `budget_status` reads."""


class Row(Protocol):
    """A row of a table by the names of its columns: a `sqlite3.Row`, or a mapping."""

    def __getitem__(self, name: str, /) -> Any:
        """Return the value of a column."""


class WindowRow(NamedTuple):
    """A window as a snapshot has it; None is a value that no message has reported."""

    used_percent: float | None = None
    window_minutes: int | None = None
    resets_at: int | None = None

    @property
    def document(self) -> ReportedWindow:
        """The window as documents have it."""
        return {
            "used_percent": self.used_percent,
            "window_minutes": self.window_minutes,
            "resets_at": self.resets_at,
        }


class Blocked(NamedTuple):
    """Whether a limit is closed, and by what.

    ``by`` is the slot of the full window, ``"limit"`` where the server says so without a full window, ``"credits"``
    where those ran out, None where the limit is open. ``on_credits`` is true where a window is full and credits carry
    the limit.
    """

    by: str | None
    on_credits: bool


def limit_status(row: Row, now: float, facts: Row | None = None) -> LimitStatus:
    """Return the limit of a snapshot as it is now.

    `facts` is the row with the account's newest credits, which another limit's message may have reported; None is the
    snapshot itself.
    """
    # A message may report that a limit is reached, or credits, without windows: those are as old as before.
    seen_at = row["last_seen_at"] if row["windows_seen_at"] is None else row["windows_seen_at"]
    windows = {slot: window_status(window, seen_at, now) for slot, window in slots(row)}
    lapsed = _verdict_lapsed(row, windows, now)
    # Credits do not pay for what a budget no longer allows.
    on_credits = row["limit_id"] != BUDGET_LIMIT and _can_spend_credits(facts or row)
    blocked = _blocked(row, windows, lapsed=lapsed, on_credits=on_credits)
    return {
        "limit_id": row["limit_id"],
        "limit_name": row["limit_name"],
        "limit_reached": None if lapsed else flag(row["limit_reached"]),
        "reached_type": None if lapsed else row["reached_type"],
        "reached_until": None if lapsed else row["reached_until"],
        "blocked_by": blocked.by,
        "windows": windows,
        "on_credits": blocked.on_credits,
        "budget": budget_status(row),
        "observed_at": int(seen_at),
        "age_seconds": max(0, int(now - seen_at)),
        "source": row["source"],
        "model": row["model"],
    }


def slots(row: Row) -> Iterator[tuple[str, WindowRow]]:
    """Yield the windows of a snapshot by their slots: ``5h``, ``7d``, then others."""
    for slot, (used_percent, window_minutes, resets_at) in SLOT_COLUMNS.items():
        window = WindowRow(row[used_percent], row[window_minutes], row[resets_at])
        if any(value is not None for value in window):
            yield slot, window
    yield from other_windows(row["other_windows"]).items()


def other_windows(written: str | None) -> dict[str, WindowRow]:
    """Return the windows of the further slots, which are stored as JSON in one column."""
    return {slot: WindowRow(*values) for slot, values in json.loads(written).items()} if written else {}


def reported_windows(row: Row) -> dict[str, ReportedWindow]:
    """Return the windows of a snapshot by slot, as documents have them."""
    return {slot: window.document for slot, window in slots(row)}


def window_status(window: WindowRow, seen_at: float, now: float) -> WindowStatus:
    """Return a window as it is now; one whose reset has passed unseen counts as reset."""
    reset = _has_reset(window, seen_at, now)
    used = 0.0 if reset else window.used_percent
    resets_at = window.resets_at
    return {
        "used_percent": used,
        "remaining_percent": None if used is None else max(0.0, FULL_PERCENT - used),
        "window_minutes": window.window_minutes,
        "resets_at": resets_at,
        "resets_in_seconds": None if resets_at is None else max(0, int(resets_at - now)),
        "reset_unseen": reset,
    }


def same_reset(one: int | None, other: int | None) -> bool:
    """Return True if two reset times mean one reset; an unknown time equals none."""
    return one is not None and other is not None and abs(one - other) <= RESET_JITTER_SECONDS


def credits_status(row: Row | None) -> CreditsStatus | None:
    """Return the credits that a snapshot reports; None where it reports none."""
    if row is None or (row["has_credits"] is None and row["credits_unlimited"] is None):
        return None
    return {
        "has_credits": flag(row["has_credits"]),
        "unlimited": flag(row["credits_unlimited"]),
        "balance": row["credits_balance"],
    }


def budget_status(row: Row) -> BudgetStatus | None:
    """Return the amounts of a snapshot; None for a limit without amounts."""
    found: BudgetStatus = {
        "limit": row["budget_limit"],
        "used": row["budget_used"],
        "remaining": row["budget_remaining"],
        "unit": row["budget_unit"],
        "source": row["budget_source"],
    }
    return found if any(found.values()) else None


def credits_left(found: CreditsStatus | None) -> bool:
    """Return True if credits are known to be left."""
    if found is None:
        return False
    return bool(found["unlimited"] or (found["has_credits"] and not is_zero(found["balance"])))


def _has_reset(window: WindowRow, seen_at: float, now: float) -> bool:
    if window.resets_at is None:
        # No window outlives its own length.
        return window.window_minutes is not None and now >= seen_at + window.window_minutes * 60
    if now < window.resets_at:
        return False
    # Seen after its reset: the clocks differ a little, and the figure is that of the window that began then.
    return seen_at < window.resets_at or now - seen_at > SKEW_SECONDS


def _verdict_lapsed(row: Row, windows: Mapping[str, WindowStatus], now: float) -> bool:
    """Return True if the server's verdict is over: at the time it gave, else with the reset of its windows."""
    until = row["reached_until"]
    if until is not None:
        return bool(until <= now)
    return any(window["reset_unseen"] for window in windows.values()) and not _full(windows)


def _blocked(row: Row, windows: Mapping[str, WindowStatus], *, lapsed: bool, on_credits: bool) -> Blocked:
    full = _full(windows)
    refused = not lapsed and _refused(row, on_credits=on_credits)
    allowed = not lapsed and bool(row["allowed"])
    if not refused and (allowed or on_credits or not full):
        return Blocked(None, bool(full) and on_credits)
    if refused and "credits" in (row["reached_type"] or ""):
        return Blocked("credits", on_credits=False)
    return Blocked(max(full, key=full.__getitem__) if full else "limit", on_credits=False)


def _refused(row: Row, *, on_credits: bool) -> bool:
    """Return True if the server's verdict closes the limit.

    Rows of earlier versions may have an older "allowed" beside a refusal, which is the newer of the two.
    """
    if flag(row["allowed"]) is False or row["reached_type"] is not None or row["reached_until"] is not None:
        return True
    return bool(row["limit_reached"]) and not on_credits


def _full(windows: Mapping[str, WindowStatus]) -> dict[str, float]:
    """Return the slots of the full windows, and when each window is available again."""
    return {
        slot: window["resets_at"] or float("inf") for slot, window in windows.items() if is_full(window["used_percent"])
    }


def _can_spend_credits(row: Row) -> bool:
    """Return True if credits carry a full window: some are left, and no cap on spending them is reached."""
    if row["overage_limit_reached"] or row["spend_control_reached"]:
        return False
    return credits_left(credits_status(row))
