"""Forecasts: the document of ``forecast --json``, and the most urgent window of each account.

A forecast reads a bounded number of rows, however long the history is. It walks back from the present: each step is one
seek in the index of `snapshots`, to the last row at least a step before the one before. With each row it takes the one
that followed it, so that both ends of a gap without readings are known. Gaps themselves cost nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from store.analysis.budgets import BUDGET_WINDOW_MINUTES
from store.analysis.forecast import SCENARIOS, forecast
from store.analysis.formatting import DAY, HOUR
from store.analysis.hourly_usage import HISTORY_DAYS, UsageSample
from store.analysis.limit_status import SLOT_COLUMNS, WINDOW_COLUMNS, WindowRow, other_windows, slots
from store.analysis.ranking import main_limit
from store.constants import BUDGET_SLOT, FULL_PERCENT, is_full
from store.queries.cursors import read_transaction
from store.queries.limits import current_snapshots

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from store.documents import (
        ForecastDocument,
        LimitForecast,
        LimitStatus,
        StatusDocument,
        UrgentWindow,
        WindowForecast,
        WindowStatus,
    )
    from store.queries.accounts import Account


class Sampling(NamedTuple):
    """How densely the history is sampled.

    ``fine`` and ``coarse`` are steps in seconds, for the last ``fine_hours`` and for the rest of the last ``days``.
    ``paths`` is the number of scenarios that are drawn.
    """

    fine: float
    fine_hours: float
    coarse: float
    days: float
    paths: int


FULL = Sampling(600.0, 6.0, 3_600.0, HISTORY_DAYS, SCENARIOS)
"""At most about 700 steps a limit, half of that for a user who sleeps."""

QUICK = Sampling(900.0, 2.0, 14_400.0, 14.0, 36)
"""At most about 90 steps a limit: ``status`` runs in shell prompts."""


def load_forecasts(connection: sqlite3.Connection, now: float, accounts: Sequence[Account]) -> ForecastDocument:
    """Return the forecasts of the accounts' limits at `now` (Unix seconds)."""
    with read_transaction(connection):
        snapshots = current_snapshots(connection)
        return {
            "generated_at": int(now),
            "accounts": [
                {
                    **account.reference,
                    "plan_type": account.plan_type,
                    "limits": [_limit(connection, row, now) for row in snapshots.get(account.id, [])],
                }
                for account in accounts
            ],
        }


def empty_forecasts(now: float) -> ForecastDocument:
    """Return the document of a database that does not exist yet."""
    return {"generated_at": int(now), "accounts": []}


def urgent_windows(
    connection: sqlite3.Connection, now: float, status: StatusDocument, accounts: Sequence[Account]
) -> dict[str, list[UrgentWindow]]:
    """Return quick forecasts for the accounts of a document of ``status``, by the account's key.

    They are those of the main limit's windows. The first is the window that runs dry first, else the one that comes
    closest to it; windows that surely last may be left out. Accounts without a forecast are left out. `accounts` are
    those of the document.
    """
    ids = {account.key: account.id for account in accounts}
    found: dict[str, list[UrgentWindow]] = {}
    with read_transaction(connection):
        for account in status["accounts"]:
            row_id = ids.get(account["account"])
            limit = main_limit(account)
            urgent = _urgent(connection, row_id, limit, now) if row_id and limit else []
            if urgent:
                found[account["account"]] = urgent
    return found


def _urgent(connection: sqlite3.Connection, account: int, limit: LimitStatus, now: float) -> list[UrgentWindow]:
    """Return the forecasts of a limit's windows, the most urgent first."""
    windows = {slot: window for slot, window in limit["windows"].items() if not window["reset_unseen"]}
    windows = {slot: window for slot, window in windows.items() if window["used_percent"] is not None}
    pressed = sorted(windows, key=lambda slot: _line_to_full(windows[slot], now))
    rows = sample_history(connection, account, limit["limit_id"], now, sampling=QUICK) if pressed else []
    forecasts: list[UrgentWindow] = []
    for slot in pressed:
        # A forecast costs milliseconds, and status runs in prompts: skip it where even a much higher pace lasts.
        if forecasts and (not forecasts[-1]["safe"] or _line_to_full(windows[slot], now) > _FAR):
            break
        window = _window(rows, slot, _reported(windows[slot]), now, QUICK)
        if window["chance_dry"] is not None:
            forecasts.append({"limit_id": limit["limit_id"], "limit_name": limit["limit_name"], "slot": slot, **window})
    return sorted(forecasts, key=_urgency)


_FAR = 1.5
"""A window is not forecast where a straight line takes this many times the time left to fill it."""


def _line_to_full(window: WindowStatus, now: float) -> float:
    """Return when a straight line through the reading is full, in lengths of the time left: above 1 it lasts."""
    used, resets_at, minutes = window["used_percent"], window["resets_at"], window["window_minutes"]
    if is_full(used):
        return 0.0
    if not used or resets_at is None or minutes is None:
        return float("inf")
    left = max(resets_at - now, 1.0)
    return (FULL_PERCENT - used) / used * max(minutes * 60 - left, 1.0) / left


def _urgency(window: UrgentWindow) -> tuple[float, float, float]:
    """Order windows: the one that runs dry first, then the one most likely to, then the fullest by its reset."""
    dry_at = window["runs_dry_at"]
    return (
        float("inf") if dry_at is None else dry_at,
        -(window["chance_dry"] or 0.0),
        -(window["at_reset"] or 0.0),
    )


def _limit(connection: sqlite3.Connection, row: sqlite3.Row, now: float) -> LimitForecast:
    rows = sample_history(connection, row["account"], row["limit_id"], now, sampling=FULL)
    return {
        "limit_id": row["limit_id"],
        "limit_name": row["limit_name"],
        "windows": {slot: _window(rows, slot, window, now, FULL) for slot, window in slots(row)},
    }


def _reported(window: WindowStatus) -> WindowRow:
    return WindowRow(window["used_percent"], window["window_minutes"], window["resets_at"])


def _window(
    rows: Sequence[sqlite3.Row], slot: str, window: WindowRow, now: float, sampling: Sampling
) -> WindowForecast:
    found = forecast(
        samples_of(rows, slot),
        now,
        window_minutes=BUDGET_WINDOW_MINUTES if slot == BUDGET_SLOT else window.window_minutes,
        utc_offset=time.localtime(now).tm_gmtoff,
        paths=sampling.paths,
    )
    return {
        **window.document,
        "pace_per_hour": _rounded(found.pace_per_hour),
        "at_reset": _rounded(found.at_reset),
        "at_reset_low": _rounded(found.at_reset_low),
        "at_reset_high": _rounded(found.at_reset_high),
        "runs_dry_at": _second(found.runs_dry_at),
        "runs_dry_low": _second(found.runs_dry_low),
        "runs_dry_high": _second(found.runs_dry_high),
        "safe": found.safe,
        "chance_dry": _rounded(found.chance_dry),
        "readings": found.readings,
        "note": found.note,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _second(at: float | None) -> int | None:
    return None if at is None else int(at)


def samples_of(rows: Sequence[sqlite3.Row], slot: str) -> list[UsageSample]:
    """Return the samples of a window from the rows that report it."""
    found = []
    columns = SLOT_COLUMNS.get(slot)
    for index, row in enumerate(rows):
        if columns:
            used, _, resets_at = (row[name] for name in columns)
        else:
            used, _, resets_at = other_windows(row["other_windows"]).get(slot, WindowRow())
        # Rows that the walk skipped lie between this row and the next: there is no gap.
        until = row["last_seen_at"] if row["walked"] or index + 1 == len(rows) else rows[index + 1]["first_seen_at"]
        if used is not None:
            found.append(UsageSample(row["first_seen_at"], until, used, resets_at))
    return found


def sample_history(
    connection: sqlite3.Connection, account: int, limit_id: str, now: float, *, sampling: Sampling
) -> list[sqlite3.Row]:
    """Return snapshots of a limit in the order of arrival: one for each step, and the one that followed it."""
    return connection.execute(
        _WALK,
        {
            "account": account,
            "limit_id": limit_id,
            "now": now,
            "since": now - sampling.days * DAY,
            "fine": sampling.fine,
            "fine_since": now - sampling.fine_hours * HOUR,
            "coarse": sampling.coarse,
        },
    ).fetchall()


_WALK = f"""
WITH RECURSIVE walk (id, at) AS (
    SELECT id, first_seen_at FROM (
        SELECT id, first_seen_at FROM snapshots
        WHERE account = :account AND limit_id = :limit_id AND first_seen_at <= :now AND late = 0
        ORDER BY first_seen_at DESC, id DESC LIMIT 1
    )
    UNION ALL
    SELECT s.id, s.first_seen_at FROM walk JOIN snapshots s ON s.id = (
        SELECT id FROM snapshots
        WHERE account = :account AND limit_id = :limit_id
            AND first_seen_at < walk.at - CASE WHEN walk.at > :fine_since THEN :fine ELSE :coarse END AND late = 0
        ORDER BY first_seen_at DESC, id DESC LIMIT 1
    )
    WHERE walk.at > :since
),
followed (id, walked) AS (
    SELECT id, 1 FROM walk
    UNION ALL
    SELECT (
        SELECT id FROM snapshots
        WHERE account = :account AND limit_id = :limit_id AND first_seen_at > walk.at AND first_seen_at <= :now
            AND late = 0
        ORDER BY first_seen_at, id LIMIT 1
    ), 0 FROM walk
)
SELECT max(walked) AS walked, first_seen_at, last_seen_at, {WINDOW_COLUMNS}
FROM followed JOIN snapshots s ON s.id = followed.id GROUP BY s.id ORDER BY s.id
"""  # noqa: S608 (constant columns)
