"""The limits of an account, and phrases on them: pure functions over the document of ``status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.analysis.formatting import clock_time, duration, percent, slot_minutes, window_length
from store.constants import BUDGET_LIMIT, MAIN_LIMIT

if TYPE_CHECKING:
    from store.documents import AccountReference, AccountStatus, LimitStatus, StatusDocument, WindowStatus

STALE_SECONDS = 3_600
"""A reading of this age may be outdated by use elsewhere, and its age is shown."""


def find_limit(account: AccountStatus, limit_id: str | None) -> LimitStatus | None:
    """Return an account's limit with that id; None where it was never reported."""
    return next((limit for limit in account["limits"] if limit["limit_id"] == limit_id), None)


def main_limit(account: AccountStatus) -> LimitStatus | None:
    """Return an account's main limit; None where it was never reported.

    Where the server reports nothing of it, the account's budget stands for it.
    """
    found = find_limit(account, MAIN_LIMIT)
    if found and (found["windows"] or found["blocked_by"]):
        return found
    return find_limit(account, BUDGET_LIMIT) or found


def in_use(document: StatusDocument) -> AccountStatus | None:
    """Return the account with the newest reading; None where there is none."""
    reported = [account for account in document["accounts"] if account["limits"]]
    return max(reported, key=lambda account: max(limit["observed_at"] for limit in account["limits"]), default=None)


def label(account: AccountReference) -> str:
    """Return what people call an account; it names exactly one (`store.queries.accounts`)."""
    return account["label"]


def window_left(slot: str, window: WindowStatus) -> str:
    """Return a phrase that says what is left of a window, and when it resets."""
    left = f"{percent(window['remaining_percent'])} of {window_length(slot, window['window_minutes'])} left"
    if window["reset_unseen"]:
        return f"{left}, reset, not seen since"
    if window["reset_overdue"]:
        return f"{left}, was due {clock_time(window['resets_at'] or 0)}, not reset"
    seconds = window["resets_in_seconds"]
    return left if seconds is None else f"{left}, resets in {duration(seconds)}"


def block_reason(limit: LimitStatus) -> str:
    """Return a phrase that says why a limit is blocked."""
    length = blocking_length(limit)
    if length:
        return f"blocked by {length}"
    return f"blocked: {server_reason(limit)}" if limit["blocked_by"] else "included usage is used up"


def blocking_length(limit: LimitStatus) -> str | None:
    """Return the length of the window that blocks a limit, in words; None where no window does."""
    by = limit["blocked_by"]
    if by in {None, "limit", "credits"}:
        return None
    window = limit["windows"].get(by)
    # A refusal may name a window that no message has reported yet.
    return window_length(by, window["window_minutes"] if window else slot_minutes(by))


def server_reason(limit: LimitStatus) -> str:
    """Return a phrase that says why a limit is closed that no full window closes."""
    return "credits are used up" if limit["blocked_by"] == "credits" else "the server reports the limit as reached"
