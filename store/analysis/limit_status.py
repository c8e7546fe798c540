"""The state of a limit at a given time, from the snapshot that last reported it: pure functions.

A snapshot says how a limit was when it was last reported. What has happened since, a reset above all, is worked out
here, so that no old figure is shown as if it were current. Timestamps are Unix seconds.
"""

from __future__ import annotations

import functools
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from store.analysis.formatting import length_code
from store.constants import BUDGET_LIMIT, FULL_PERCENT, MAX_MINUTES, MAX_PERCENT, MAX_TIMESTAMP, flag
from store.limit_state import LimitVerdict, WindowFigures, credits_carry, credits_left, limit_state
from store.reset_times import is_overdue
from store.stored_json import is_number, read_mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Protocol

    from store.documents import BudgetStatus, CreditsStatus, LimitStatus, ReportedWindow, WindowStatus
    from store.limit_state import LimitState

    class Row(Protocol):
        """A row of a table by the names of its columns: a `sqlite3.Row`, or a mapping."""

        def __getitem__(self, name: str, /) -> Any:
            """Return the value of a column."""


SLOT_COLUMNS = {slot: (f"used_{slot}_percent", f"window_{slot}_minutes", f"resets_{slot}_at") for slot in ("5h", "7d")}
"""The columns of the slots that have their own, in the order of the fields of `WindowRow`."""

VERDICT_COLUMNS = (
    "allowed",
    "limit_reached",
    "reached_type",
    "reached_until",
    "reached_window_minutes",
    "refused_at",
)
"""The columns of a snapshot that `row_verdict` reads."""

STATE_COLUMNS = ", ".join([*VERDICT_COLUMNS, "server_time"])
"""All columns that `row_verdict` and `window_status` read beside those of windows."""

WINDOW_COLUMNS = ", ".join([*(name for names in SLOT_COLUMNS.values() for name in names), "other_windows"])
"""All columns that `slots` reads."""


BUDGET_COLUMNS = "budget_limit, budget_used, budget_remaining, budget_unit, budget_source"
"""All columns that `budget_status` reads."""


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
            "length": length_code(self.window_minutes),
            "resets_at": self.resets_at,
        }


class _Facts(NamedTuple):
    """The columns of a row that say whether credits carry a limit."""

    has_credits: bool | None
    credits_unlimited: bool | None
    credits_balance: str | None
    overage_limit_reached: bool | None
    spend_control_reached: bool | None


FACT_COLUMNS = ", ".join(_Facts._fields)
"""All columns that say whether credits carry a limit."""


def limit_status(row: Row, now: float, facts: Row | None = None) -> LimitStatus:
    """Return the limit of a snapshot as it is now.

    `facts` is the row with the account's newest credits, which another limit's message may have reported; None is the
    snapshot itself.
    """
    seen_at, windows = current_windows(row, now)
    found = row_state(row, windows, facts or row, seen_at, now)
    return {
        "limit_id": row["limit_id"],
        "limit_name": row["limit_name"],
        "state": found.state,
        "state_until": found.until,
        "limit_reached": None if found.lapsed else flag(row["limit_reached"]),
        "reached_type": None if found.lapsed else row["reached_type"],
        "reached_until": None if found.lapsed else row["reached_until"],
        "blocked_by": found.by,
        "windows": windows,
        "on_credits": found.state == "on_credits",
        "budget": budget_status(row),
        "observed_at": int(seen_at),
        "age_seconds": max(0, int(now - seen_at)),
        "source": row["source"],
        "model": row["model"],
    }


def current_windows(row: Row, now: float) -> tuple[float, dict[str, WindowStatus]]:
    """Return when the windows of a snapshot were last reported, and the windows as they are at `now`."""
    # A message may report that a limit is reached, or credits, without windows: those are as old as before.
    seen_at = row["last_seen_at"] if row["windows_seen_at"] is None else row["windows_seen_at"]
    # The server's clock is that of the last message with one: that of the windows only if the row is one message.
    server_time = row["server_time"] if row["first_seen_at"] == row["last_seen_at"] == seen_at else None
    return seen_at, {slot: window_status(window, seen_at, now, server_time) for slot, window in slots(row)}


def row_state(row: Row, windows: Mapping[str, WindowStatus], facts: Row, seen_at: float, now: float) -> LimitState:
    """Return the state of the limit of a snapshot at `now`.

    Args:
        row: The snapshot.
        windows: Its windows as they are at `now`.
        facts: The row with the account's credits.
        seen_at: When the windows were last reported.
        now: When it is asked, in Unix seconds.

    """
    figures = {
        slot: WindowFigures(
            window["used_percent"],
            window["window_minutes"],
            window["resets_at"],
            was_reset=window["reset_unseen"],
            overdue=window["reset_overdue"],
            age_seconds=now - seen_at,
        )
        for slot, window in windows.items()
    }
    # Credits do not pay for what a budget no longer allows.
    carry = row["limit_id"] != BUDGET_LIMIT and _credits_carry(facts)
    return limit_state(row_verdict(row), figures, credits_carry=carry, now=now)


def row_verdict(row: Row) -> LimitVerdict:
    """Return the server's word on the limit of a snapshot."""
    return LimitVerdict(
        flag(row["allowed"]),
        flag(row["limit_reached"]),
        row["reached_type"],
        row["reached_until"],
        row["reached_window_minutes"],
        row["refused_at"],
    )


def slots(row: Row) -> Iterator[tuple[str, WindowRow]]:
    """Yield the windows of a snapshot by their slots: ``5h``, ``7d``, then others."""
    for slot, figures in _SLOT_FIGURES:
        found = figures(row)
        if found != _NO_WINDOW:
            yield slot, WindowRow(*found)
    written = row["other_windows"]
    if written:
        yield from other_windows(written).items()


_SLOT_FIGURES = [(slot, itemgetter(*columns)) for slot, columns in SLOT_COLUMNS.items()]


def other_windows(written: str | None) -> dict[str, WindowRow]:
    """Return the windows of the further slots, which are stored as JSON in one column."""
    if not written:
        return {}
    read = _parsed_windows if len(written) <= _MAX_REMEMBERED else _parsed_windows.__wrapped__
    return read(written)


@functools.lru_cache(maxsize=2_048)
def _parsed_windows(written: str) -> dict[str, WindowRow]:
    # Remembered: consecutive snapshots often have the same further windows, and the next forecast has nearly the same
    # 700 snapshots as this one. Nobody changes the result.
    return {slot: WindowRow(*values) for slot, values in read_mapping(written).items() if slot and _is_window(values)}


_MAX_REMEMBERED = 1_000
"""Characters of a text whose windows are remembered."""

_NO_WINDOW = WindowRow()


def _is_window(values: object) -> bool:
    """Return True if a JSON value has the three figures of a window."""
    return (
        isinstance(values, list)
        and len(values) == len(WindowRow._fields)
        and all(value is None or is_number(value, 0, most) for value, most in zip(values, _MOST, strict=True))
    )


_MOST = (MAX_PERCENT, MAX_MINUTES, MAX_TIMESTAMP)
"""The greatest figures of a window."""


def reported_windows(row: Row) -> dict[str, ReportedWindow]:
    """Return the windows of a snapshot by slot, as documents have them."""
    return {slot: window.document for slot, window in slots(row)}


def window_status(window: WindowRow, seen_at: float, now: float, server_time: float | None = None) -> WindowStatus:
    """Return a window as it is now.

    A window whose reset has passed unseen counts as reset. One that was reported after the reset that it names was not
    reset then: its figure stays.

    Args:
        window: The window as it was last reported.
        seen_at: When that was.
        now: When it is asked, in Unix seconds.
        server_time: The server's own clock when it was reported, if it is known.

    """
    # A window at 0 % has not begun: nothing of it was left to be reset.
    overdue = window.used_percent != 0 and is_overdue(window.resets_at, seen_at, server_time)
    reset = not overdue and _has_reset(window, seen_at, now)
    used = 0.0 if reset else window.used_percent
    resets_at = window.resets_at
    return {
        "used_percent": used,
        "remaining_percent": None if used is None else max(0.0, FULL_PERCENT - used),
        "window_minutes": window.window_minutes,
        "length": length_code(window.window_minutes),
        "resets_at": resets_at,
        "resets_in_seconds": None if resets_at is None else max(0, int(resets_at - now)),
        "reset_unseen": reset,
        "reset_overdue": overdue,
    }


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


def has_credits_left(found: CreditsStatus | None) -> bool:
    """Return True if credits are known to be left."""
    return found is not None and credits_left(found["has_credits"], found["unlimited"], found["balance"])


def _has_reset(window: WindowRow, seen_at: float, now: float) -> bool:
    if window.resets_at is None:
        # No window outlives its own length.
        return window.window_minutes is not None and now >= seen_at + window.window_minutes * 60
    return now >= window.resets_at


def _credits_carry(row: Row) -> bool:
    return credits_carry(_Facts(*(row[name] for name in _Facts._fields)))
