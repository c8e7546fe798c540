"""The verdict of ``guard``: whether a script may go on. Pure functions over the document of ``status``.

A reading is judged by what it can still mean. Time makes a limit better, never worse; only use elsewhere, which nobody
here has seen, makes it worse. So an old reading with enough left is a go, whose age is said. An old reading with too
little left is below until the reset that it names; where it names none, the limit may have come back at any time since,
and an hour later nothing is known of it.

A policy with a greatest age judges otherwise: an older reading decides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from store.analysis.account_limits import (
    STALE_SECONDS,
    block_reason,
    find_limit,
    main_limit,
    server_reason,
    window_left,
)
from store.analysis.formatting import clock_time, duration, find_slot, shown_windows
from store.constants import MAIN_LIMIT
from store.limit_state import UNKNOWN_AFTER_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.documents import AccountStatus, LimitStatus, WindowStatus

Answer = Literal["go", "below", "old", "unknown"]


class GuardPolicy(NamedTuple):
    """What must hold: the least remaining percent, and the greatest age of the reading in seconds; None is any age.

    ``window`` is the slot or the real length (``30d``) of the only window that counts; None makes every window count.
    ``with_credits`` lets credits that carry a limit count as enough.
    """

    window: str | None = None
    min_remaining: float = 10.0
    max_age: float | None = None
    limit_id: str = MAIN_LIMIT
    with_credits: bool = True


class GuardVerdict(NamedTuple):
    """Whether the script may go on, and why.

    ``window`` is the slot of the window that decides, with its real length, its remaining percent and its reset in Unix
    seconds.
    ``wait_until`` is when a limit that is below will have been reset, in Unix seconds; None where it is not below, or
    that is unknown. ``blocked_by`` and ``age_seconds`` are those of ``status``.
    """

    answer: Answer
    reason: str
    window: str | None = None
    length: str | None = None
    remaining_percent: float | None = None
    resets_at: int | None = None
    wait_until: int | None = None
    blocked_by: str | None = None
    age_seconds: int | None = None


def verdict(account: AccountStatus, policy: GuardPolicy) -> GuardVerdict:
    """Return whether the account meets the policy.

    A limit is below if it is closed, for whatever reason, or if less is left in a window that counts; what credits
    carry is not below, unless the policy leaves credits out. A window whose reset has passed since it was seen counts
    as reset, however old the reading is.
    """
    limit = main_limit(account) if policy.limit_id == MAIN_LIMIT else find_limit(account, policy.limit_id)
    if limit is None:
        return GuardVerdict("unknown", f"nothing is known of the limit {policy.limit_id}")
    windows = limit["windows"]
    if policy.window is not None:
        only = find_slot(_lengths(limit), policy.window)
        windows = {slot: each for slot, each in windows.items() if slot == only}
    if not windows and limit["state"] != "refused":
        return GuardVerdict("unknown", _no_window(limit, policy), age_seconds=limit["age_seconds"])
    fresh = _evaluate(limit, windows, policy)
    if policy.max_age is None:
        return _apply_age(fresh, limit["age_seconds"])
    return _apply_max_age(fresh, limit, windows, policy.max_age)


def without_reset(found: GuardVerdict, awaited: int) -> GuardVerdict:
    """Return the verdict on a limit that was to be reset at `awaited`, of which nothing has been seen since."""
    reason = f"{found.reason}; it was to be reset {clock_time(awaited)}, and nobody has seen that"
    return found._replace(answer="unknown", reason=reason, wait_until=None)


def _evaluate(limit: LimitStatus, windows: Mapping[str, WindowStatus], policy: GuardPolicy) -> GuardVerdict:
    """Return the verdict on a limit as if its reading were fresh."""
    left = {slot: each["remaining_percent"] for slot, each in windows.items() if each["remaining_percent"] is not None}
    slot = min(left, key=lambda each: left[each], default=None)
    facts = GuardVerdict(
        "go",
        "" if slot is None else window_left(slot, windows[slot]),
        slot,
        None if slot is None else windows[slot]["length"],
        None if slot is None else left[slot],
        None if slot is None else windows[slot]["resets_at"],
        blocked_by=limit["blocked_by"],
        age_seconds=limit["age_seconds"],
    )
    if limit["state"] == "refused":
        return _blocked(limit, facts)
    if limit["state"] == "unknown":
        return facts._replace(answer="unknown", reason=facts.reason or "the state of the limit is unknown")
    if limit["state"] == "on_credits":
        facts = facts._replace(reason=f"{facts.reason}, running on credits" if facts.reason else "running on credits")
        if policy.with_credits:
            return facts
    low = [_next_reset(windows[slot]) for slot, remaining in left.items() if remaining < policy.min_remaining]
    if low:
        known = [resets_at for resets_at in low if resets_at is not None]
        return facts._replace(answer="below", wait_until=max(known) if len(known) == len(low) else None)
    if len(left) < len(windows):
        return facts._replace(answer="unknown", reason="the remaining percentage is unknown")
    return facts


def _next_reset(window: WindowStatus) -> int | None:
    return None if window["reset_overdue"] else window["resets_at"]


def _blocked(limit: LimitStatus, facts: GuardVerdict) -> GuardVerdict:
    by, until = limit["blocked_by"] or "", limit["state_until"]
    window = limit["windows"].get(by)
    if window is None or (window["remaining_percent"] or 0) > 0:
        reason = server_reason(limit) if by in {"limit", "credits"} else block_reason(limit)
        reason += "" if until is None else f", until {clock_time(until)}"
        return facts._replace(answer="below", reason=reason, wait_until=until)
    return facts._replace(
        answer="below",
        reason=window_left(by, window),
        window=by,
        length=window["length"],
        remaining_percent=window["remaining_percent"],
        resets_at=window["resets_at"],
        wait_until=until,
    )


def _apply_age(fresh: GuardVerdict, age: int) -> GuardVerdict:
    """Return the verdict as it stands after the age of its reading, which the reason of an old one says."""
    if age < STALE_SECONDS:
        return fresh
    seen = f"seen {duration(age)} ago"
    if fresh.answer == "go":
        return fresh._replace(reason=f"{fresh.reason}; {seen}, less only if used elsewhere")
    if fresh.answer == "below" and fresh.wait_until is None and age >= UNKNOWN_AFTER_SECONDS:
        return fresh._replace(answer="unknown", reason=f"{fresh.reason}; {seen}, and no reset time is known")
    return fresh._replace(reason=f"{fresh.reason}; {seen}")


def _apply_max_age(
    fresh: GuardVerdict, limit: LimitStatus, windows: Mapping[str, WindowStatus], max_age: float
) -> GuardVerdict:
    """Return the verdict, changed to ``old`` where the reading is too old to decide.

    One whose windows have all been reset since is not.
    """
    if limit["age_seconds"] <= max_age or fresh.answer == "unknown":
        return fresh
    if windows and limit["state"] != "refused" and all(each["reset_unseen"] for each in windows.values()):
        return fresh
    seen = f"seen {duration(limit['age_seconds'])} ago, but the maximum age is {duration(max_age)}"
    return fresh._replace(answer="old", reason=f"{fresh.reason}, {seen}" if fresh.reason else seen)


def _no_window(limit: LimitStatus, policy: GuardPolicy) -> str:
    if policy.window is None or not limit["windows"]:
        return "the remaining percentage is unknown"
    return f"no window {policy.window} has been reported; there are: {shown_windows(_lengths(limit))}"


def _lengths(limit: LimitStatus) -> dict[str, int | None]:
    """Return the slots of a limit's windows and their minutes."""
    return {slot: window["window_minutes"] for slot, window in limit["windows"].items()}
