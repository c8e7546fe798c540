"""May one go on? A pure function over the document of ``status``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from store.analysis.formatting import clock_time, duration
from store.analysis.ranking import blocked_until, find_limit, window_left
from store.constants import MAIN_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    Window = Mapping[str, Any]

Answer = Literal["go", "below", "old", "unknown"]


class GuardPolicy(NamedTuple):
    """What has to hold: so many percent left at least in the window (None: in every one), told so many seconds ago."""

    window: str | None = None
    min_remaining: float = 10.0
    max_age: float = 3_600.0
    limit_id: str = MAIN_LIMIT


class Verdict(NamedTuple):
    """Whether one may go on, and why.

    ``window`` is the slot of the window that decides, with what is left of it in percent and its reset in Unix seconds.
    ``wait_until`` is when a limit that is below will have been reset, in Unix seconds; None where it is not below, or
    nothing tells when. ``blocked_by`` is that of ``status``, ``age_seconds`` that of the reading.
    """

    answer: Answer
    reason: str
    window: str | None = None
    remaining_percent: float | None = None
    resets_at: int | None = None
    wait_until: int | None = None
    blocked_by: str | None = None
    age_seconds: int | None = None


def verdict(account: Mapping[str, Any], asked: GuardPolicy) -> Verdict:
    """Answer "may one go on with this account?".

    Below is a limit that is closed, whatever by, and one with less left in a window that counts. A reading beyond the
    age is too old to tell either way, unless what counts was reset since: then it is as it was reset.
    """
    limit = find_limit(account, asked.limit_id)
    if limit is None:
        return Verdict("unknown", f"nothing is known of the limit {asked.limit_id}")
    windows = {slot: each for slot, each in limit["windows"].items() if asked.window in {None, slot}}
    if not windows and not limit["blocked_by"]:
        return Verdict("unknown", _no_window(limit, asked), age_seconds=limit["age_seconds"])
    return _apply_max_age(_evaluate(limit, windows, asked), limit, windows, asked)


def _evaluate(limit: Mapping[str, Any], windows: Mapping[str, Window], asked: GuardPolicy) -> Verdict:
    """Judge a limit as if its reading were fresh."""
    left = {slot: each["remaining_percent"] for slot, each in windows.items() if each["remaining_percent"] is not None}
    slot = min(left, key=lambda each: left[each], default=None)
    facts = Verdict(
        "go",
        "" if slot is None else window_left(slot, windows[slot]),
        slot,
        None if slot is None else left[slot],
        None if slot is None else windows[slot]["resets_at"],
        blocked_by=limit["blocked_by"],
        age_seconds=limit["age_seconds"],
    )
    if limit["blocked_by"]:
        return _blocked(limit, facts)
    low = [windows[slot]["resets_at"] for slot, remaining in left.items() if remaining < asked.min_remaining]
    if low:
        return facts._replace(answer="below", wait_until=None if None in low else max(low))
    if len(left) < len(windows):
        return facts._replace(answer="unknown", reason="how much is left was not told")
    return facts


def _blocked(limit: Mapping[str, Any], facts: Verdict) -> Verdict:
    by = limit["blocked_by"]
    window = limit["windows"].get(by)
    if window is None:
        reason = "credits are used up" if by == "credits" else "the server says that the limit is reached"
        until = blocked_until(limit)
        if until is not None:
            reason += f", until {clock_time(until)}"
        return facts._replace(answer="below", reason=reason, wait_until=until)
    return facts._replace(
        answer="below",
        reason=window_left(by, window),
        window=by,
        remaining_percent=window["remaining_percent"],
        resets_at=window["resets_at"],
        wait_until=blocked_until(limit),
    )


def _apply_max_age(
    fresh: Verdict, limit: Mapping[str, Any], windows: Mapping[str, Window], asked: GuardPolicy
) -> Verdict:
    """Take back what a reading beyond the age cannot tell."""
    if limit["age_seconds"] <= asked.max_age or fresh.answer == "unknown":
        return fresh
    if windows and not limit["blocked_by"] and all(each["reset_unseen"] for each in windows.values()):
        return fresh
    seen = f"seen {duration(limit['age_seconds'])} ago, and no more than {duration(asked.max_age)} was asked for"
    return fresh._replace(answer="old", reason=f"{fresh.reason}, {seen}" if fresh.reason else seen)


def _no_window(limit: Mapping[str, Any], asked: GuardPolicy) -> str:
    if asked.window is None or not limit["windows"]:
        return "how much is left was not told"
    return f"no window {asked.window} was told; there are: {', '.join(limit['windows'])}"
