"""Which account to use: pure functions over the document of ``status``.

**Room** is how much of a window is left against how much of its time is: the share left, divided by the share of its
length that is still to come before its reset, which counts for no less than a tenth. 1 is what even use would leave,
and what a window has that was just reset; 2 lasts twice as long as it has to; less than 1 runs dry before its reset.
What comes back soon may be spent, but a last percent is no room even a minute before the reset. An account is as
pressed as the tightest window of its main limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from store.analysis.formatting import clock_time, duration, percent, window_length
from store.constants import MAIN_LIMIT, is_zero

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Mapping, Sequence

    Document = Mapping[str, Any]

STALE_SECONDS = 3_600
"""A reading of this age may have been overtaken by use elsewhere, and its age is told."""

_MIN_SHARE = 0.1


class TightestWindow(NamedTuple):
    """The window of a limit that has the least room."""

    slot: str
    window: Document
    room: float


def find_limit(account: Document, limit_id: str | None) -> Document | None:
    """Return an account's limit of that id; None where nothing was told of it."""
    return next((limit for limit in account["limits"] if limit["limit_id"] == limit_id), None)


def main_limit(account: Document) -> Document | None:
    """Return an account's main limit; None where nothing was told of it."""
    return find_limit(account, MAIN_LIMIT)


def in_use(document: Document) -> Document | None:
    """Answer "which account is in use?": the one that was last told of; None where none was ever."""
    told = [account for account in document["accounts"] if account["limits"]]
    return max(told, key=lambda account: max(limit["observed_at"] for limit in account["limits"]), default=None)


def label(account: Document) -> str:
    """Return what a person calls an account: its name, else its e-mail, else its key."""
    return str(account["name"] or account["email"] or account["account"])


def tightest_window(limit: Document) -> TightestWindow | None:
    """Answer "which window runs out first?"; None where no figure was told."""
    found = [
        TightestWindow(slot, window, headroom(window))
        for slot, window in limit["windows"].items()
        if window["remaining_percent"] is not None
    ]
    return min(found, key=lambda each: (each.room, each.window["remaining_percent"]), default=None)


def blocked_until(limit: Document) -> int | None:
    """Return when a closed limit comes back: after the resets of its full windows and the time that the server gave.

    None where neither is told.
    """
    ends = [window["resets_at"] for window in limit["windows"].values() if window["remaining_percent"] == 0]
    if limit.get("reached_until") is not None:
        ends.append(limit["reached_until"])
    return None if None in ends else max(ends, default=None)


def headroom(window: Document) -> float:
    """Return the remaining share of a window relative to the share of its time that is left until the reset."""
    return float(window["remaining_percent"]) / 100 / max(_MIN_SHARE, _share_of_time_left(window))


def _share_of_time_left(window: Document) -> float:
    """Return how much of a window's length is still to come: all of it where it has not begun, or nothing is told."""
    if window["reset_unseen"] or window["resets_in_seconds"] is None or not window["window_minutes"]:
        return 1.0
    return min(1.0, float(window["resets_in_seconds"]) / float(window["window_minutes"] * 60))


# Which one next

_ORDER = ("included", "credits", "unknown", "blocked")
"""How an account can be used, the best first."""


def rank_accounts(
    document: Document, *, credits_for: Collection[str] | None = (), zone: dt.tzinfo | None = None
) -> dict[str, Any]:
    """Answer "which account is to be used now?" for the accounts of a document of ``status``.

    Included usage comes first, and of that the least pressed account. One whose included usage is used up counts only
    if it may spend credits (`credits_for`: the keys of those, None for all) and has some. One of which nothing is known
    comes after those, and one that is closed last of all, the first to come back first. The JSON contract::

        {"generated_at": int, "account": key | null, "name": …, "email": …, "reason": str,
         "ranking": [{"account": key, "name": str | null, "email": str | null, "plan_type": str | null,
                      "usage": "included" | "credits" | "unknown" | "blocked", "room": 1.52 | null,
                      "window": "5h" | null, "remaining_percent": 87.0 | null, "resets_at": int | null,
                      "blocked_by": slot | "limit" | "credits" | null, "blocked_until": int | null,
                      "credits_balance": "9.5" | null, "age_seconds": int | null, "stale": bool, "reason": str}]}

    ``account`` is null where none can be used. ``window`` is the tightest one. ``zone`` is that of the moments in
    reasons, None the machine's own.
    """
    ranking = [_rank_entry(each, credits_for, zone) for each in document["accounts"]]
    ranking.sort(key=_rank)
    first = ranking[0] if ranking and ranking[0]["usage"] != "blocked" else None
    return {
        "generated_at": document["generated_at"],
        "account": first and first["account"],
        "name": first and first["name"],
        "email": first and first["email"],
        "reason": first["reason"] if first else _none(ranking),
        "ranking": ranking,
    }


def is_known(choice: Document) -> bool:
    """Tell whether anything is known of any account of a choice."""
    return any(each["usage"] != "unknown" for each in choice["ranking"])


def _none(ranking: Sequence[Document]) -> str:
    return "no account can be used now" if ranking else "nothing was seen yet"


def _rank(candidate: Document) -> tuple[int, float, float, float]:
    room, until = candidate["room"], candidate["blocked_until"]
    return (
        _ORDER.index(candidate["usage"]),
        (float("inf") if until is None else until) if candidate["usage"] == "blocked" else 0.0,
        0.0 if room is None else -room,
        float(candidate["age_seconds"] or 0),
    )


def _rank_entry(account: Document, credits_for: Collection[str] | None, zone: dt.tzinfo | None) -> dict[str, Any]:
    limit = main_limit(account)
    tight = tightest_window(limit) if limit else None
    usage = _usage(account, limit, tight, may_spend=credits_for is None or account["account"] in credits_for)
    age = limit["age_seconds"] if limit else None
    until = blocked_until(limit) if limit and usage == "blocked" else None
    return {
        "account": account["account"],
        "name": account["name"],
        "email": account["email"],
        "plan_type": account["plan_type"],
        "usage": usage,
        "room": round(tight.room, 4) if tight else None,
        "window": tight.slot if tight else None,
        "remaining_percent": tight.window["remaining_percent"] if tight else None,
        "resets_at": tight.window["resets_at"] if tight else None,
        "blocked_by": limit["blocked_by"] if limit else None,
        "blocked_until": until,
        "credits_balance": (account["credits"] or {}).get("balance"),
        "age_seconds": age,
        "stale": age is None or age >= STALE_SECONDS,
        "reason": _reason(account, limit, tight, usage) + _available_again(usage, until, zone) + _age(limit),
    }


def _usage(account: Document, limit: Document | None, tight: TightestWindow | None, *, may_spend: bool) -> str:
    if limit is None:
        return "unknown"
    if limit["blocked_by"]:
        return "blocked"
    if limit["on_credits"] or limit["limit_reached"]:
        return "credits" if may_spend and _has_credits(account) else "blocked"
    if tight is None:
        return "unknown"
    return "included" if tight.window["remaining_percent"] > 0 else "blocked"


def _has_credits(account: Document) -> bool:
    told = account["credits"] or {}
    return bool(told.get("unlimited") or (told.get("has_credits") and not is_zero(told.get("balance"))))


def _reason(account: Document, limit: Document | None, tight: TightestWindow | None, usage: str) -> str:
    if limit is None or usage == "unknown":
        return "nothing is known of it"
    if usage == "included" and tight:
        return window_left(tight.slot, tight.window)
    return f"included usage is used up, {_credits(account)}" if usage == "credits" else block_reason(limit)


def _available_again(usage: str, until: int | None, zone: dt.tzinfo | None) -> str:
    if usage != "blocked":
        return ""
    return ", and when it comes back was not told" if until is None else f" until {clock_time(until, zone)}"


def _age(limit: Document | None) -> str:
    """Return how old a limit's reading is, to put behind a statement; nothing where it is fresh."""
    age = limit["age_seconds"] if limit else 0
    return f" (seen {duration(age)} ago)" if age >= STALE_SECONDS else ""


def window_left(slot: str, window: Document) -> str:
    """Say how much is left of a window, and when it comes back."""
    words = f"{percent(window['remaining_percent'])} of {window_length(slot, window['window_minutes'])} left"
    if window["reset_unseen"]:
        return f"{words}, reset and not seen since"
    seconds = window["resets_in_seconds"]
    return words if seconds is None else f"{words}, resets in {duration(seconds)}"


def _credits(account: Document) -> str:
    told = account["credits"] or {}
    if told.get("unlimited"):
        return "credits without limit"
    return "has credits" if told.get("balance") is None else f"credits {told['balance']}"


def block_reason(limit: Document) -> str:
    """Return why a limit is blocked, for people."""
    by = limit["blocked_by"]
    if by in limit["windows"]:
        return f"blocked by {window_length(by, limit['windows'][by]['window_minutes'])}"
    if by:
        return "blocked: credits are used up" if by == "credits" else "blocked by the server"
    return "included usage is used up"
