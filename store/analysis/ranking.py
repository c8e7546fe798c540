"""The ranking of accounts, for ``next``: pure functions over the document of ``status``.

**Headroom** relates what is left of a window to what is left of its time: the remaining share, divided by the share of
its length that is still to come before its reset, at least a tenth. Even use leaves a headroom of 1, and so does a
window that was just reset; with 2 a window lasts twice as long as it has to; with less than 1 it runs dry before its
reset. What comes back soon may be spent, but a last percent is not headroom even a minute before the reset. The
headroom of an account is that of the tightest window of its main limit.

A percent of one account is not worth a percent of another: accounts are compared by headroom times **size**, which is
what the account's windows hold in the same time, relative to a Plus plan. It comes from the tokens that a percent was
worth so far (`store.analysis.token_weights`), or from the plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from store.analysis.account_limits import STALE_SECONDS, block_reason, main_limit, window_left
from store.analysis.formatting import clock_time, decimal_amount, duration
from store.analysis.limit_status import has_credits_left
from store.analysis.model_usage import unavailable_text
from store.constants import FULL_PERCENT

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Mapping, Sequence
    from typing import Literal

    from store.documents import (
        AccountStatus,
        LimitStatus,
        NextDocument,
        RankingEntry,
        StatusDocument,
        WindowStatus,
    )

    Usage = Literal["included", "credits", "unknown", "blocked"]

_MIN_SHARE = 0.1


class TokenRate(NamedTuple):
    """What a weighted token of an account costs in points of a window, and the length of that window."""

    points_per_token: float
    window_minutes: int


class AccountSize(NamedTuple):
    """What an account's windows hold in the same time relative to a Plus plan, and where that is from."""

    size: float
    source: Literal["turns", "plan"]


class TightestWindow(NamedTuple):
    """The window of a limit with the least headroom."""

    slot: str
    window: WindowStatus
    headroom: float


def tightest_window(limit: LimitStatus) -> TightestWindow | None:
    """Return the window with the least headroom; None where no percentage is known."""
    found = [
        TightestWindow(slot, window, headroom(window))
        for slot, window in limit["windows"].items()
        if window["remaining_percent"] is not None
    ]
    return min(found, key=lambda each: (each.headroom, each.window["remaining_percent"]), default=None)


def headroom(window: WindowStatus) -> float:
    """Return the remaining share of a window relative to the share of its time that is left until the reset."""
    return (window["remaining_percent"] or 0.0) / 100 / max(_MIN_SHARE, _share_of_time_left(window))


def _share_of_time_left(window: WindowStatus) -> float:
    """Return the share of a window's length still to come: all of it before it begins, or without a known reset."""
    if window["reset_unseen"] or window["resets_in_seconds"] is None or not window["window_minutes"]:
        return 1.0
    return min(1.0, window["resets_in_seconds"] / (window["window_minutes"] * 60))


# Sizes


def account_sizes(accounts: Sequence[AccountStatus], rates: Mapping[str, TokenRate]) -> dict[str, AccountSize]:
    """Return the size of each account by its key.

    `rates` has those of the accounts with enough turns, by key. Their sizes are in proportion to their tokens, and such
    that they agree with the sizes of their plans on the whole.
    """
    from store.analysis.prices import plan_size  # only here: what runs in a prompt ranks nothing

    plans = {account["account"]: plan_size(account["plan_type"]) for account in accounts}
    tokens = {
        key: FULL_PERCENT / rates[key].points_per_token / rates[key].window_minutes for key in plans if key in rates
    }
    unit = 1.0
    if tokens:
        # Only here: status bars compare no accounts, and start faster without it.
        from store.analysis.token_weights import median

        unit = median(each / plans[key] for key, each in tokens.items())
    return {
        key: AccountSize(tokens[key] / unit, "turns") if key in tokens else AccountSize(size, "plan")
        for key, size in plans.items()
    }


# The ranking

_ORDER = ("included", "credits", "unknown", "blocked")
"""How an account can be used, the best first."""


def rank_accounts(
    document: StatusDocument,
    rates: Mapping[str, TokenRate],
    *,
    credits_for: Collection[str] | None = (),
    zone: dt.tzinfo | None = None,
) -> NextDocument:
    """Rank the accounts of a document of ``status`` by how well they can be used now.

    Accounts with included usage come first, the one with the most headroom for its size ahead. `rates` has what a token
    of an account costs, by the account's key, as far as that is known. An account whose included usage is
    used up counts only if it may spend credits (`credits_for`: the keys of those accounts, None for all) and has some.
    Accounts of which nothing is known follow, then blocked ones, the first to open again ahead. `zone` is that of the
    times in reasons, by default the machine's own.
    """
    now, sizes = document["generated_at"], account_sizes(document["accounts"], rates)
    ranking = [_rank_entry(each, sizes[each["account"]], credits_for, now, zone) for each in document["accounts"]]
    ranking.sort(key=_rank)
    first = ranking[0] if ranking and ranking[0]["usage"] != "blocked" else None
    return {
        "generated_at": document["generated_at"],
        "account": first and first["account"],
        "label": first and first["label"],
        "name": first and first["name"],
        "email": first and first["email"],
        "reason": first["reason"] if first else _no_account(ranking),
        "ranking": ranking,
    }


def is_known(document: NextDocument) -> bool:
    """Return True if anything is known of any ranked account."""
    return any(each["usage"] != "unknown" for each in document["ranking"])


def _no_account(ranking: Sequence[RankingEntry]) -> str:
    return "no account can be used now" if ranking else "nothing has been seen yet"


def _rank(entry: RankingEntry) -> tuple[int, float, float, float]:
    room, until = entry["room"], entry["blocked_until"]
    return (
        _ORDER.index(entry["usage"]),
        (float("inf") if until is None else until) if entry["usage"] == "blocked" else 0.0,
        0.0 if room is None else -room * entry["size"],
        float(entry["age_seconds"] or 0),
    )


def _rank_entry(
    account: AccountStatus, size: AccountSize, credits_for: Collection[str] | None, now: float, zone: dt.tzinfo | None
) -> RankingEntry:
    limit = main_limit(account)
    tight = tightest_window(limit) if limit else None
    usage = _usage(account, limit, tight, may_spend=credits_for is None or account["account"] in credits_for)
    age = limit["age_seconds"] if limit else None
    until = limit["state_until"] if limit and usage == "blocked" else None
    return {
        "account": account["account"],
        "label": account["label"],
        "name": account["name"],
        "email": account["email"],
        "plan_type": account["plan_type"],
        "usage": usage,
        "room": round(tight.headroom, 4) if tight else None,
        "size": round(size.size, 4),
        "size_from": size.source,
        "window": tight.slot if tight else None,
        "length": tight.window["length"] if tight else None,
        "remaining_percent": tight.window["remaining_percent"] if tight else None,
        "resets_at": tight.window["resets_at"] if tight else None,
        "blocked_by": limit["blocked_by"] if limit else None,
        "blocked_until": until,
        "credits_balance": account["credits"] and account["credits"]["balance"],
        "age_seconds": age,
        "stale": age is None or age >= STALE_SECONDS,
        "reason": _reason(account, limit, tight, usage)
        + _available_again(usage, until, zone)
        + _age(limit)
        + _models(account, now, zone),
    }


def _usage(
    account: AccountStatus, limit: LimitStatus | None, tight: TightestWindow | None, *, may_spend: bool
) -> Usage:
    if limit is None:
        return "unknown"
    if limit["state"] == "refused":
        return "blocked"
    if limit["state"] == "on_credits":
        return "credits" if may_spend and has_credits_left(account["credits"]) else "blocked"
    return "unknown" if tight is None or limit["state"] == "unknown" else "included"


# Reasons


def _reason(account: AccountStatus, limit: LimitStatus | None, tight: TightestWindow | None, usage: Usage) -> str:
    if limit is None or usage == "unknown":
        return "nothing is known of it"
    if usage == "included" and tight:
        return window_left(tight.slot, tight.window)
    return f"included usage is used up, {_credits(account)}" if usage == "credits" else block_reason(limit)


def _available_again(usage: Usage, until: int | None, zone: dt.tzinfo | None) -> str:
    if usage != "blocked":
        return ""
    return "; the reset time is unknown" if until is None else f" until {clock_time(until, zone)}"


def _models(account: AccountStatus, now: float, zone: dt.tzinfo | None) -> str:
    """Return the models that cannot be used, as an addition to a statement."""
    return "".join(f"; {unavailable_text(each, now, zone)}" for each in account["unavailable_models"])


def _age(limit: LimitStatus | None) -> str:
    """Return the age of a limit's reading, as an addition to a statement; empty for a fresh reading."""
    age = limit["age_seconds"] if limit else 0
    return f" (seen {duration(age)} ago)" if age >= STALE_SECONDS else ""


def _credits(account: AccountStatus) -> str:
    found = account["credits"]
    if found is None:
        return "has credits"
    if found["unlimited"]:
        return "unlimited credits"
    return "has credits" if found["balance"] is None else f"{decimal_amount(found['balance'])} credits left"
