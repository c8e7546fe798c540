"""Which account needs attention first: blocked ones, then those likely to run dry, then those used most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.analysis.account_limits import main_limit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from store.documents import AccountStatus, ForecastDocument, LimitStatus, WindowForecast

    Forecasts = Mapping[str, Mapping[str, WindowForecast]]
    """The forecasts of an account by limit and slot."""

_STATES = ("open", "unknown", "on_credits", "refused")


def pressure(account: AccountStatus, forecasts: Forecasts) -> tuple[int, float, float]:
    """Return how pressed an account is: a greater tuple comes first.

    Its main limit decides, or else its most used one: whether it is closed, the chance that one of its windows runs
    dry, and the used percent of its fullest window.
    """
    limit = main_limit(account) or max(account["limits"], key=highest_use, default=None)
    if limit is None:
        return (-1, 0.0, 0.0)
    windows = forecasts.get(limit["limit_id"], {}).values()
    chance = max((window["chance_dry"] or 0.0 for window in windows), default=0.0)
    return (_STATES.index(limit["state"]), chance, highest_use(limit))


def by_pressure(
    accounts: Sequence[AccountStatus], forecasts: ForecastDocument | None, first: str | None = None
) -> list[AccountStatus]:
    """Return accounts, the most pressed first; that with the key `first` is ahead of all."""
    found = by_account(forecasts)
    return sorted(
        accounts,
        key=lambda each: (each["account"] == first, pressure(each, found.get(each["account"], {}))),
        reverse=True,
    )


def by_account(forecasts: ForecastDocument | None) -> dict[str, Forecasts]:
    """Return the forecasts of a document by account, limit and slot."""
    accounts = forecasts["accounts"] if forecasts else []
    return {each["account"]: {limit["limit_id"]: limit["windows"] for limit in each["limits"]} for each in accounts}


def highest_use(limit: LimitStatus) -> float:
    """Return the used percent of a limit's fullest window; 0 where none is known."""
    return max((window["used_percent"] or 0.0 for window in limit["windows"].values()), default=0.0)
