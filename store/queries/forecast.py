"""When does it run out?

The history is looked at through a bounded number of rows, however long it is: walking back from the present, the last
row at least a step before the one before, each by one seek in the index of `snapshots`, and with each the row that
followed it, so that both ends of a silence are known. Silences themselves cost nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from store.analysis.forecast import SCENARIOS, Forecast, forecast
from store.analysis.formatting import DAY, HOUR
from store.analysis.hourly_usage import HISTORY_DAYS, UsageSample
from store.analysis.limit_status import SLOT_COLUMNS, WINDOW_COLUMNS, WindowRow, other_windows, slots
from store.constants import FULL_PERCENT
from store.queries.accounts import load_accounts, refresh
from store.queries.cursors import read_transaction
from store.queries.limits import current_snapshots

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from store.queries.accounts import Account


class Sampling(NamedTuple):
    """How closely: steps in seconds, for the last hours and for the rest, how far back, and paths."""

    fine: float
    fine_hours: float
    coarse: float
    days: float
    paths: int


FULL = Sampling(600.0, 6.0, 3_600.0, HISTORY_DAYS, SCENARIOS)
"""At most some 700 steps a limit, and half of that for who sleeps."""

QUICK = Sampling(900.0, 2.0, 14_400.0, 14.0, 36)
"""At most some 90 steps a limit: ``status`` stands in prompts."""


def load_forecasts(connection: sqlite3.Connection, now: float, only: Sequence[Account] | None = None) -> dict[str, Any]:
    """Answer "when does it run out?": the document of ``forecast --json`` at a moment in Unix seconds."""
    with read_transaction(connection):
        chosen = refresh(connection, only)
        newest = current_snapshots(connection)
        return {
            "generated_at": int(now),
            "accounts": [
                {
                    **account.named,
                    "plan_type": account.plan_type,
                    "limits": [_limit(connection, row, now) for row in newest.get(account.id, [])],
                }
                for account in chosen
            ],
        }


def most_urgent_window(
    connection: sqlite3.Connection, now: float, status: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Answer "what runs out first?" for each account of a document of ``status``, by the account's key.

    That is a window of its main limit: the one that runs dry first, else the one that comes closest to it. Its fields
    are those of `forecasts`, with ``limit_id``, ``limit_name`` and ``slot``. An account of which nothing can be said is
    left out.
    """
    ids = {account.key: account.id for account in load_accounts(connection)}
    found = {}
    for account in status["accounts"]:
        row_id = ids.get(account["account"])
        first = _first(connection, row_id, account["limits"][0], now) if row_id and account["limits"] else None
        if first:
            found[account["account"]] = first
    return found


def _first(connection: sqlite3.Connection, account: int, limit: Mapping[str, Any], now: float) -> dict[str, Any] | None:
    """Return the window of a limit that runs dry first; None where nothing is known of any."""
    windows = {slot: window for slot, window in limit["windows"].items() if not window["reset_unseen"]}
    windows = {slot: window for slot, window in windows.items() if window["used_percent"] is not None}
    pressed = sorted(windows, key=lambda slot: _line_to_full(windows[slot], now))
    rows = sample_history(connection, account, limit["limit_id"], now, sampling=QUICK) if pressed else []
    told: list[dict[str, Any]] = []
    for slot in pressed:
        # A forecast costs milliseconds, and this stands in prompts: none where even a much higher pace lasts.
        if told and (not told[-1]["safe"] or _line_to_full(windows[slot], now) > _FAR):
            break
        window = _window(rows, slot, windows[slot], now, QUICK)
        if window["chance_dry"] is not None:
            named = {"limit_id": limit["limit_id"], "limit_name": limit["limit_name"], "slot": slot}
            told.append({**named, **window})
    return min(told, key=_urgency) if told else None


_FAR = 1.5
"""How many times the time left a straight line has to take before nobody asks whether it lasts."""


def _line_to_full(window: Mapping[str, Any], now: float) -> float:
    """Return when a straight line through the reading is full, in lengths of the time left: above 1 it lasts."""
    used, resets_at, minutes = window["used_percent"], window["resets_at"], window["window_minutes"]
    if used >= FULL_PERCENT:
        return 0.0
    if not used or resets_at is None or minutes is None:
        return float("inf")
    left = max(resets_at - now, 1.0)
    return float((FULL_PERCENT - used) / used * max(minutes * 60 - left, 1.0) / left)


def _urgency(window: dict[str, Any]) -> tuple[float, float, float]:
    """Order windows: the one that runs dry first, then the one most likely to, then the fullest by its reset."""
    dry_at = window["runs_dry_at"]
    return (float("inf") if dry_at is None else dry_at, -window["chance_dry"], -(window["at_reset"] or 0.0))


def _limit(connection: sqlite3.Connection, row: sqlite3.Row, now: float) -> dict[str, Any]:
    rows = sample_history(connection, row["account"], row["limit_id"], now, sampling=FULL)
    return {
        "limit_id": row["limit_id"],
        "limit_name": row["limit_name"],
        "windows": {slot: _window(rows, slot, figures._asdict(), now, FULL) for slot, figures in slots(dict(row))},
    }


def _window(
    rows: Sequence[sqlite3.Row], slot: str, window: Mapping[str, Any], now: float, sampling: Sampling
) -> dict[str, Any]:
    told = forecast(
        samples_of(rows, slot),
        now,
        window_minutes=window["window_minutes"],
        utc_offset=time.localtime(now).tm_gmtoff,
        paths=sampling.paths,
    )
    return _document(window, told)


def _document(window: Mapping[str, Any], told: Forecast) -> dict[str, Any]:
    figures = {name: window[name] for name in ("used_percent", "window_minutes", "resets_at")}
    return {**figures, **{name: _rounded(name, value) for name, value in told._asdict().items()}}


def _rounded(name: str, value: Any) -> Any:
    """Write moments as whole seconds and figures as short as they are sure."""
    if not isinstance(value, float):
        return value
    return int(value) if name.startswith("runs_dry") else round(value, 2)


def samples_of(rows: Sequence[sqlite3.Row], slot: str) -> list[UsageSample]:
    """Return a window's samples of rows that tell of it."""
    found = []
    columns = SLOT_COLUMNS.get(slot)
    for index, row in enumerate(rows):
        if columns:
            used, _, resets_at = (row[name] for name in columns)
        else:
            used, _, resets_at = other_windows(row["other_windows"]).get(slot, WindowRow())
        # Rows that were passed over lie between this one and the next: no silence.
        until = row["last_seen_at"] if row["walked"] or index + 1 == len(rows) else rows[index + 1]["first_seen_at"]
        if used is not None:
            found.append(UsageSample(row["first_seen_at"], until, used, resets_at))
    return found


def sample_history(
    connection: sqlite3.Connection, account: int, limit_id: str, now: float, *, sampling: Sampling
) -> list[sqlite3.Row]:
    """Return rows of a limit in the order of their arrival: one a step, and the one that followed it."""
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
