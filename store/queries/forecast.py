"""Forecasts: the document of ``forecast --json``, from which ``status`` and all others take theirs.

A forecast reads a bounded number of rows, however long the history is. It walks back from the present: each step is one
seek in the index of `snapshots`, to the last row at least a step before the one before. With each row it takes the one
that followed it, so that both ends of a gap without readings are known. Gaps themselves cost nothing.
"""

from __future__ import annotations

import functools
import math
import time
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from store.analysis.budgets import BUDGET_WINDOW_MINUTES
from store.analysis.forecast import Forecast, forecast
from store.analysis.formatting import DAY, HOUR
from store.analysis.hourly_usage import HISTORY_DAYS, UsageSample
from store.analysis.limit_status import SLOT_COLUMNS, WindowRow, other_windows, slots
from store.constants import BUDGET_SLOT
from store.queries.cursors import edit_number, read_transaction, tuple_cursor
from store.queries.imported import imported_samples
from store.queries.limits import current_snapshots
from store.queries.machines import with_silent_machines
from store.queries.recent import computed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from store.analysis.attribution import WindowSample
    from store.connection import Connection, StoredRow
    from store.documents import ForecastDocument, LimitForecast, WindowForecast
    from store.queries.accounts import Account
    from store.queries.recent import Recent


class Sampling(NamedTuple):
    """How densely the history is sampled: steps in seconds, ``fine`` in the last ``fine_hours``, else ``coarse``.

    The sampled history is ``days`` long.
    """

    fine: float
    fine_hours: float
    coarse: float
    days: float


SAMPLING = Sampling(600.0, 6.0, 3_600.0, HISTORY_DAYS)
"""At most about 700 steps a limit, half of that for a user who sleeps."""


def load_forecasts(
    connection: Connection,
    now: float,
    accounts: Sequence[Account],
    limit_id: str | None = None,
    *,
    recent: Recent | None = None,
) -> ForecastDocument:
    """Return the forecasts of the accounts' limits at `now` (Unix seconds); with `limit_id` of that limit alone.

    Those of a `recent` are used again, as long as the limit's snapshot is the same and no reset has passed.
    """
    with read_transaction(connection):
        snapshots = current_snapshots(connection, accounts)
        edits = edit_number(connection) if recent else 0
        document: ForecastDocument = {
            "generated_at": int(now),
            "accounts": [
                {
                    **account.reference,
                    "plan_type": account.plan_type,
                    "limits": [
                        _limit(
                            row,
                            computed(
                                recent,
                                ("forecast", account.key, row["limit_id"]),
                                (edits, *row, *_passed_resets(row, now)),
                                now,
                                functools.partial(_forecasts, connection, row, now),
                                changed_at=row["last_seen_at"],
                            ),
                        )
                        for row in snapshots.get(account.id, [])
                        if limit_id is None or row["limit_id"] == limit_id
                    ],
                }
                for account in accounts
            ],
        }
    return with_silent_machines(document, connection, now, accounts)


def empty_forecasts(now: float) -> ForecastDocument:
    """Return the document of a database that does not exist yet."""
    return {"generated_at": int(now), "accounts": []}


def _passed_resets(row: StoredRow, now: float) -> list[bool]:
    """Return for each window of a snapshot whether its reset was due since."""
    return [window.resets_at is not None and window.resets_at <= now for _, window in slots(row)]


class _SlotForecast(NamedTuple):
    forecast: Forecast
    imported: int


def _forecasts(connection: Connection, row: StoredRow, now: float) -> dict[str, _SlotForecast]:
    """Return the forecasts of a limit's windows by slot, each with the number of readings of session files."""
    rows = sample_history(connection, row["account"], row["limit_id"], now)
    since = now - SAMPLING.days * DAY
    return {
        slot: _forecast(
            _thinned(imported_samples(connection, row["account"], row["limit_id"], slot, since=since)),
            samples_of(rows, slot),
            *(slot, window, now),
        )
        for slot, window in slots(row)
    }


def _limit(row: StoredRow, found: Mapping[str, _SlotForecast]) -> LimitForecast:
    return {
        "limit_id": row["limit_id"],
        "limit_name": row["limit_name"],
        "windows": {slot: _window(window, *found[slot]) for slot, window in slots(row)},
    }


def _thinned(imported: Sequence[WindowSample]) -> list[UsageSample]:
    """Return the first and the last of the samples of each step, as `sample_history` does for older ones."""
    steps = [int(sample.first_at // SAMPLING.coarse) for sample in imported]
    return [
        UsageSample(sample.first_at, sample.last_at, sample.used_percent, sample.resets_at)
        for sample, before, step, after in zip(imported, [-1, *steps], steps, [*steps[1:], -1], strict=False)
        if step != before or step != after
    ]


def _forecast(
    imported: Sequence[UsageSample], seen: Sequence[UsageSample], slot: str, window: WindowRow, now: float
) -> _SlotForecast:
    found = forecast(
        [*imported, *seen],
        now,
        window_minutes=BUDGET_WINDOW_MINUTES if slot == BUDGET_SLOT else window.window_minutes,
        utc_offset=time.localtime(now).tm_gmtoff,
    )
    return _SlotForecast(found, len(imported))


def _window(window: WindowRow, found: Forecast, imported: int) -> WindowForecast:
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
        "imported_readings": imported,
        "note": found.note,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _second(at: float | None) -> int | None:
    return None if at is None else int(at)


def samples_of(rows: Sequence[SampledRow], slot: str) -> list[UsageSample]:
    """Return the samples of a window from the rows that report it."""
    if slot not in SLOT_COLUMNS:
        others = [other_windows(row[-1]).get(slot, WindowRow()) for row in rows]
        return [
            UsageSample(row[0], row[1], window.used_percent, window.resets_at)
            for row, window in zip(rows, others, strict=True)
            if window.used_percent is not None
        ]
    # By position: a look-up by name takes ten times as long.
    used = _WINDOWS_FROM + 2 * list(SLOT_COLUMNS).index(slot)
    values = map(itemgetter(0, 1, used, used + 1), rows)
    return [UsageSample._make(each) for each in values if each[2] is not None]


SampledRow = tuple[Any, ...]
"""A snapshot: when it was first seen, until when it held (Unix seconds), and its windows.

Of each in `SLOT_COLUMNS` there are the used percent and the reset time; the JSON of the others comes last.
"""

_WINDOWS_FROM = 2


def sample_history(
    connection: Connection, account: int, limit_id: str, now: float, sampling: Sampling = SAMPLING
) -> list[SampledRow]:
    """Return snapshots of a limit in the order of arrival: one for each step, and the one that followed it.

    A snapshot held until it was last seen. Where the walk skipped others between it and the following one there is no
    gap: it held until then.
    """
    values = {
        "account": account,
        "limit_id": limit_id,
        "now": now,
        "since": now - sampling.days * DAY,
        "fine": sampling.fine,
        "fine_since": now - sampling.fine_hours * HOUR,
        "coarse": sampling.coarse,
    }
    found = tuple_cursor(connection).execute(_WALK, values).fetchall()
    # A row that was walked and also followed another one is there twice: as the former it comes last.
    rows = sorted(found)
    return [
        (at, following[2] if next_at is not None and next_at < following[2] else until, *windows)
        for (row_id, _, at, until, next_at, *windows), following in zip(rows, [*rows[1:], _NONE_FOLLOWS], strict=False)
        if row_id != following[0]
    ]


_NONE_FOLLOWS = None, None, -math.inf

_SAMPLED = "".join(f"s.{used}, s.{resets_at}, " for used, _, resets_at in SLOT_COLUMNS.values())
_STEP = "CASE WHEN walk.at > :fine_since THEN :fine ELSE :coarse END"
_OF_LIMIT = "FROM main.snapshots WHERE account = :account AND limit_id = :limit_id AND late = 0"

_WALK = f"""
WITH RECURSIVE walk (id, at, searched) AS (
    -- Of rows of one moment the last one is walked, and the first one follows.
    SELECT s.id, s.first_seen_at, CAST(:now AS DOUBLE PRECISION) FROM main.snapshots s
    WHERE s.account = :account AND s.id = (
        SELECT id {_OF_LIMIT} AND first_seen_at <= :now ORDER BY first_seen_at DESC, id DESC LIMIT 1
    )
    UNION ALL
    SELECT s.id, s.first_seen_at, walk.at - {_STEP} FROM walk JOIN main.snapshots s ON s.account = :account AND s.id = (
        SELECT id {_OF_LIMIT} AND first_seen_at < walk.at - {_STEP} ORDER BY first_seen_at DESC, id DESC LIMIT 1
    )
    -- Where a row and its entry in the index differ, the walk ends.
    WHERE walk.at > :since AND walk.at <= walk.searched
),
found (id, walked) AS (
    SELECT id, 1 FROM walk
    UNION ALL
    SELECT (
        SELECT id {_OF_LIMIT} AND first_seen_at > walk.at AND first_seen_at <= :now ORDER BY first_seen_at, id LIMIT 1
    ), 0 FROM walk
)
SELECT
    s.id,
    f.walked,
    s.first_seen_at,
    s.last_seen_at,
    CASE WHEN f.walked = 0 THEN (SELECT min(first_seen_at) {_OF_LIMIT} AND first_seen_at > s.first_seen_at) END
        AS next_at, -- of a walked row, the next one is always there
    {_SAMPLED} s.other_windows
FROM found f CROSS JOIN snapshots s WHERE s.account = :account AND s.id = f.id
"""  # noqa: S608 (constant columns)
"""The walk goes along the table itself: of the view that leaves out damaged rows each look-up would take much longer.

In a cross join SQLite looks up each id, and does not read all rows of the account.
"""
