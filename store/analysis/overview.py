"""How all accounts stand at a glance, for views that have no rule of their own: pure functions over documents.

The headline says which account to use, which ones are closed, and whether the windows of the one to use will last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from store.analysis.account_limits import main_limit
from store.analysis.levels import HIGH_PERCENT, MEDIUM_PERCENT, forecast_level, window_level, worst_level
from store.analysis.pressure import by_account, by_pressure
from store.constants import is_full

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from store.analysis.pressure import Forecasts
    from store.documents import (
        AccountOutlook,
        AccountReference,
        AccountStatus,
        ClosedAccount,
        ForecastDocument,
        Headline,
        HeadlineWindow,
        Level,
        LimitOutlook,
        LimitStatus,
        NextDocument,
        OverviewDocument,
        RankingEntry,
        StatusDocument,
        WindowForecast,
        WindowOutlook,
        WindowStatus,
    )


def overview(status: StatusDocument, forecasts: ForecastDocument, ranking: NextDocument) -> OverviewDocument:
    """Return how the accounts of these documents stand; the documents are of one moment."""
    found = by_account(forecasts)
    return {
        "generated_at": status["generated_at"],
        "headline": _headline(status["accounts"], found, ranking["ranking"]),
        "accounts": [
            _account(each, found.get(each["account"], {})) for each in by_pressure(status["accounts"], forecasts)
        ],
        "thresholds": {"medium": MEDIUM_PERCENT, "high": HIGH_PERCENT},
    }


def _account(account: AccountStatus, forecasts: Forecasts) -> AccountOutlook:
    return {
        **_reference(account),
        "level": _account_level(account, forecasts),
        "limits": [_limit(each, forecasts.get(each["limit_id"], {})) for each in account["limits"]],
    }


def _reference(account: AccountReference) -> AccountReference:
    return {
        "account": account["account"],
        "label": account["label"],
        "name": account["name"],
        "email": account["email"],
    }


def _account_level(account: AccountStatus, forecasts: Forecasts) -> Level | None:
    limit = main_limit(account)
    if limit is None:
        return None
    if limit["state"] != "open":
        return None if limit["state"] == "unknown" else "high"
    found = forecasts.get(limit["limit_id"], {})
    return worst_level(window_level(each["used_percent"], found.get(slot)) for slot, each in limit["windows"].items())


def _limit(limit: LimitStatus, forecasts: Mapping[str, WindowForecast]) -> LimitOutlook:
    windows = {slot: _window(window, forecasts[slot]) for slot, window in limit["windows"].items() if slot in forecasts}
    return {"limit_id": limit["limit_id"], "limit_name": limit["limit_name"], "windows": windows}


def _window(window: WindowStatus, forecast: WindowForecast) -> WindowOutlook:
    dry = None if is_full(window["used_percent"]) else forecast["chance_dry"]
    return {
        **forecast,
        "level": window_level(window["used_percent"], forecast),
        "forecast_level": forecast_level(forecast),
        "chance_lasts": None if dry is None else round(1 - dry, 2),
        "elapsed_percent": _elapsed_percent(window),
    }


def _elapsed_percent(window: WindowStatus) -> float | None:
    """Return how much of a window's time has passed; None where its length or its next reset is unknown."""
    left, minutes = window["resets_in_seconds"], window["window_minutes"]
    if left is None or not minutes or window["reset_unseen"] or window["reset_overdue"]:
        return None
    return round(100 * (1 - min(1.0, left / (minutes * 60))), 2)


# The headline

_STATES: dict[str, Literal["use", "wait", "unknown"]] = {
    "included": "use",
    "credits": "use",
    "unknown": "unknown",
    "blocked": "wait",
}
"""What to do by how the best account can be used."""


def _headline(
    accounts: Sequence[AccountStatus], forecasts: Mapping[str, Forecasts], ranking: Sequence[RankingEntry]
) -> Headline | None:
    if not ranking:
        return None
    best = ranking[0]
    account = next(each for each in accounts if each["account"] == best["account"])
    known = forecasts.get(best["account"], {})
    waits = best["usage"] == "blocked"
    return {
        "state": _STATES[best["usage"]],
        "account": None if waits else _reference(best),
        "on_credits": best["usage"] == "credits",
        "level": "high" if waits else _account_level(account, known),
        "windows": [] if best["usage"] != "included" else _headline_windows(account, known),
        "closed": [_closed(each, accounts) for each in ranking if each["usage"] == "blocked"],
    }


def _closed(entry: RankingEntry, accounts: Sequence[AccountStatus]) -> ClosedAccount:
    account = next(each for each in accounts if each["account"] == entry["account"])
    limit = main_limit(account)
    window = limit["windows"].get(limit["blocked_by"] or "") if limit else None
    return {**_reference(entry), "length": window["length"] if window else None, "until": entry["blocked_until"]}


def _headline_windows(account: AccountStatus, forecasts: Forecasts) -> list[HeadlineWindow]:
    """Return the windows of an account's main limit that may run dry, and its longest one last."""
    limit = main_limit(account)
    if limit is None or not limit["windows"]:
        return []
    known = forecasts.get(limit["limit_id"], {})
    # A budget, whose length is unknown, is one for a month.
    longest = max(limit["windows"], key=lambda slot: limit["windows"][slot]["window_minutes"] or float("inf"))
    found = [
        _headline_window(slot, window, known.get(slot)) for slot, window in limit["windows"].items() if slot != longest
    ]
    pressing = [each for each in found if each["forecast_level"] in {"medium", "high"}]
    return [*pressing, _headline_window(longest, limit["windows"][longest], known.get(longest))]


def _headline_window(slot: str, window: WindowStatus, forecast: WindowForecast | None) -> HeadlineWindow:
    return {
        "slot": slot,
        "window_minutes": window["window_minutes"],
        "length": window["length"],
        "used_percent": window["used_percent"],
        "remaining_percent": window["remaining_percent"],
        "resets_at": window["resets_at"],
        "reset_unseen": window["reset_unseen"],
        "forecast_level": forecast_level(forecast) if forecast else None,
        "runs_dry_at": forecast["runs_dry_at"] if forecast else None,
    }
