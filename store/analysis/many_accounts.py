"""How a great many accounts stand: counts by plan and state, and those that need attention first; pure functions.

Only what decides is read of each account, and no document is made of it. `quiet_use` decides at once what is plain, as
nearly everything is, and `limit_use` the rest; both say what `limit_status` says.
"""

from __future__ import annotations

import heapq
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from store.analysis.levels import level
from store.analysis.limit_status import SLOT_COLUMNS, current_windows, row_state
from store.constants import BUDGET_LIMIT, MAIN_LIMIT, SKEW_SECONDS, is_full

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from store.analysis.limit_status import Row
    from store.documents import AccountsSummary, PlanSummary
    from store.limit_state import State

STATES: tuple[State, ...] = ("open", "unknown", "on_credits", "refused")
"""The states of a limit, the one that needs attention first at the end."""

STANDINGS = ("refused", "on_credits", "high", "medium", "low", "unknown")
"""How an account can stand: by the state of its limit, and an open one by the level of its used percent."""


class LimitUse(NamedTuple):
    """A limit as it is now: its state, the used percent of its fullest window, and whether anything is known of it."""

    limit_id: str
    state: State
    used_percent: float | None
    is_told: bool


class AccountUse(NamedTuple):
    """An account as it is now. ``limit`` is the one that decides; None where none was seen."""

    account: int
    plan_type: str | None
    limit: LimitUse | None

    @property
    def standing(self) -> str:
        """One of `STANDINGS`."""
        if self.limit is None:
            return "unknown"
        return self.limit.state if self.limit.state != "open" else level(self.limit.used_percent) or "unknown"

    @property
    def pressure(self) -> tuple[int, float]:
        """How pressed the account is, as `store.analysis.pressure` has it without forecasts."""
        if self.limit is None:
            return (-1, 0.0)
        return (STATES.index(self.limit.state), self.limit.used_percent or 0.0)


QUIET_COLUMNS = (
    *("allowed", "limit_reached", "reached_type", "reached_until", "refused_at", "other_windows"),
    *("last_seen_at", "windows_seen_at", *SLOT_COLUMNS["5h"], *SLOT_COLUMNS["7d"]),
)
"""The columns of a snapshot that `quiet_use` reads, in its order."""


def limit_use(row: Row, now: float, facts: Row) -> LimitUse:
    """Return the limit of a snapshot as `limit_status` has it at `now`, without its document.

    Args:
        row: The snapshot.
        now: When it is asked, in Unix seconds.
        facts: The row with the account's credits.

    """
    seen_at, windows = current_windows(row, now)
    found = row_state(row, windows, facts, seen_at, now)
    used = [each["used_percent"] for each in windows.values() if each["used_percent"] is not None]
    return LimitUse(row["limit_id"], found.state, max(used, default=None), bool(windows or found.by))


def quiet_use(values: Sequence[Any], now: float) -> float | None:
    """Return the used percent of a limit that is open because nothing but figures of windows was reported of it.

    `values` are those of `QUIET_COLUMNS`. None leaves the decision to `limit_use`, which takes ten times as long.
    """
    allowed, limit_reached, reached_type, reached_until, refused_at, others, last_seen_at, windows_seen_at, *of = values
    if allowed == 0 or limit_reached or not (reached_type is reached_until is refused_at is others is None):
        return None
    # A window that was reported at about its own reset needs a closer look.
    sure = (last_seen_at if windows_seen_at is None else windows_seen_at) + SKEW_SECONDS
    used: float | None = None
    for percent, minutes, resets_at in (of[:3], of[3:]):
        if percent is minutes is resets_at is None:
            continue
        if percent is None or resets_at is None or resets_at <= sure:
            return None
        current = 0.0 if now >= resets_at else percent
        used = current if used is None else max(used, current)
    return None if is_full(used) else used


def deciding_limit(limits: Sequence[LimitUse]) -> LimitUse | None:
    """Return the limit of an account that decides: its main one or its budget, else the most used one."""
    by_id = {each.limit_id: each for each in limits}
    main = by_id.get(MAIN_LIMIT)
    if main is not None and main.is_told:
        return main
    chosen = by_id.get(BUDGET_LIMIT) or main
    return chosen or max(limits, key=lambda each: each.used_percent or 0.0, default=None)


def most_pressed(accounts: Iterable[AccountUse], number: int) -> list[AccountUse]:
    """Return the accounts that need attention first, the most pressed first; of equal ones, in the order given."""
    return heapq.nlargest(number, accounts, key=lambda each: each.pressure)


def summarize(accounts: Sequence[AccountUse]) -> AccountsSummary:
    """Return the number of accounts by plan and by how they stand; the plan with the most accounts is the first."""
    plans: dict[str | None, Counter[str]] = {}
    for each in accounts:
        plans.setdefault(each.plan_type, Counter())[each.standing] += 1
    named = sorted(plans.items(), key=lambda each: (-each[1].total(), each[0] or ""))
    return {
        "accounts": len(accounts),
        "plans": [_plan(plan, counts) for plan, counts in named],
    }


def _plan(plan_type: str | None, counts: Counter[str]) -> PlanSummary:
    return {
        "plan_type": plan_type,
        "accounts": counts.total(),
        "refused": counts["refused"],
        "on_credits": counts["on_credits"],
        "high": counts["high"],
        "medium": counts["medium"],
        "low": counts["low"],
        "unknown": counts["unknown"],
    }
