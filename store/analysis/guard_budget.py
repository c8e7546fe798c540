"""A budget for ``guard``: how many points of a window a thread, a project or an account may use in a period.

A period is a calendar one of the machine's own zone, as people mean with "5 % a day": today since midnight, this hour,
this week since Monday. Without one it is the window's own, from one reset to the next. Pure functions; timestamps are
Unix seconds.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Literal, NamedTuple

from store.analysis.account_limits import find_limit, main_limit
from store.analysis.formatting import clock_time, figure, find_slot, local_time, window_length
from store.constants import MAIN_LIMIT

if TYPE_CHECKING:
    from store.analysis.guard import Answer, GuardVerdict
    from store.documents import AccountStatus, BudgetUse, WindowStatus

Period = Literal["window", "day", "hour", "week"]
BudgetScope = Literal["thread", "project", "account"]

_BUDGET = re.compile(r"(?P<points>\d{1,6}(?:\.\d{1,6})?) ?%?(?: ?(?:/|per|a) ?(?P<period>[a-z]+))?", re.ASCII)
_PERIODS: dict[str, Period] = {
    **dict.fromkeys(("h", "hour"), "hour"),
    **dict.fromkeys(("d", "day"), "day"),
    **dict.fromkeys(("w", "week"), "week"),
    "window": "window",
}
_THREAD_SHOWN = 8
"""Characters of a thread's id that are enough to find it again."""

_WHEN = {"window": "", "day": " today", "hour": " this hour", "week": " this week"}


class GuardBudget(NamedTuple):
    """What may be used: points (percent of the window) in a period."""

    points: float
    period: Period = "window"


class BudgetWindow(NamedTuple):
    """The window that a budget is a part of, as it is now."""

    limit_id: str
    slot: str
    status: WindowStatus


class Span(NamedTuple):
    """A period in time; ``until`` is None where its end is not known."""

    since: int
    until: int | None


def parse_budget(text: str) -> GuardBudget:
    """Return the budget that a person wrote: ``20%``, ``5%/day``, ``2 % per hour``, ``10%/w``.

    Raises:
        ValueError: The text is not a budget.

    """
    found = _BUDGET.fullmatch(" ".join(text.lower().split()))
    period = _PERIODS.get(found["period"] or "window") if found else None
    if found is None or period is None:
        raise ValueError(f"{text!r} is not a budget; use 20%, 5%/day, 2%/hour or 10%/week")
    return GuardBudget(float(found["points"]), period)


def budget_window(account: AccountStatus, limit_id: str, wanted: str | None) -> BudgetWindow | None:
    """Return the window that a budget is a part of: the wanted one, by its slot or length, else 7d or the longest.

    None is for a limit or a window that was never reported.
    """
    limit = main_limit(account) if limit_id == MAIN_LIMIT else find_limit(account, limit_id)
    windows = limit["windows"] if limit else {}
    lengths = {slot: window["window_minutes"] for slot, window in windows.items()}
    if wanted is not None:
        slot = find_slot(lengths, wanted)
    else:
        slot = "7d" if "7d" in windows else max(lengths, key=lambda each: lengths[each] or 0, default=None)
    return BudgetWindow(limit["limit_id"], slot, windows[slot]) if limit and slot else None


def period_span(period: Period, window: WindowStatus, now: float, zone: dt.tzinfo | None = None) -> Span | None:
    """Return the period that `now` is in; None where it is not known when a window began.

    Args:
        period: What kind of period.
        window: The window that is counted, as it is now.
        now: When it is asked.
        zone: The zone of calendar periods, by default the machine's own.

    """
    return _window_span(window, now) if period == "window" else _calendar_span(period, now, zone)


def _window_span(window: WindowStatus, now: float) -> Span | None:
    resets_at, minutes = window["resets_at"], window["window_minutes"]
    if window["reset_unseen"]:
        return Span(int(now) if resets_at is None else resets_at, None)
    if minutes is None:
        return None
    if resets_at is None:
        return Span(int(now - minutes * 60), None)
    return Span(resets_at - minutes * 60, None if window["reset_overdue"] else resets_at)


def _calendar_span(period: Period, now: float, zone: dt.tzinfo | None) -> Span | None:
    here = local_time(now, zone)
    if here is None:
        return None
    if period == "hour":
        start = here.replace(minute=0, second=0, microsecond=0)
        return Span(int(start.timestamp()), int(start.timestamp()) + 3_600)
    first = here.date() - dt.timedelta(days=here.weekday() if period == "week" else 0)
    last = first + dt.timedelta(days=7 if period == "week" else 1)
    # By its date, since a day on which the clocks change has 23 or 25 hours.
    return Span(*(int(dt.datetime.combine(day, dt.time(), zone).timestamp()) for day in (first, last)))


def budget_text(use: BudgetUse) -> str:
    """Return a phrase that says what was used of a budget: ``3.2 of 5 % of the 7 d window used today by …``."""
    length = window_length(use["window"], use["window_minutes"])
    used = f"{figure(use['used'])} of {figure(use['points'])} %"
    return f"budget: {used} of the {length} window used{_WHEN[use['period']]} by {_user(use)}"


def _user(use: BudgetUse) -> str:
    if use["scope"] == "account":
        return "this account"
    if use["scope"] == "project":
        not_seen = "" if use["seen"] else ", of which nothing has been seen lately"
        return f"project {use['name'] or use['key']}{not_seen}"
    name = f" ({use['name']})" if use["name"] else ""
    not_seen = "" if use["seen"] else ", which has not been seen yet"
    return f"thread {use['key'][:_THREAD_SHOWN]}{name}{not_seen}"


def apply_budget(found: GuardVerdict, use: BudgetUse | None) -> GuardVerdict:
    """Return the verdict, changed to ``below`` where more was used than the budget allows.

    Where it is not known what was used, a go is unknown.
    """
    if use is None:
        answer: Answer = "unknown" if found.answer == "go" else found.answer
        return found._replace(
            answer=answer, reason=f"{found.reason}; the budget cannot be checked: no window with a known length"
        )
    reason = f"{found.reason}; {budget_text(use)}" if found.reason else budget_text(use)
    if use["used"] <= use["points"]:
        return found._replace(reason=reason)
    until = use["until"]
    if found.answer == "below":
        until = max(until, found.wait_until) if until is not None and found.wait_until is not None else None
    end = "" if use["until"] is None else f", until {clock_time(use['until'])}"
    return found._replace(answer="below", reason=f"{reason}{end}", wait_until=until)
