"""One evaluation: the alerts that are due now, by the alerts file and the state of earlier evaluations."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from store.analysis.alerting import About, Alert, AlertState, Rule, firing, track
from store.queries.accounts import AccountError, find_account, load_accounts
from store.queries.alert_input import load_alert_input
from store.queries.limits import load_limit_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scripts.alerts.settings import Settings
    from store.connection import Connection
    from store.queries.accounts import Account


class Evaluation(NamedTuple):
    """The result of an evaluation.

    ``state`` is updated to now; the returned alerts are not yet recorded in it. ``quiet_until`` is when the current
    quiet hours end, or None outside of them. ``problems`` are sentences about rules that match nothing. ``accounts``
    are the keys of all known accounts, and of those that were merged into them.
    """

    alerts: list[Alert]
    state: AlertState
    quiet_until: float | None
    problems: list[str]
    accounts: frozenset[str]


def evaluate(
    connection: Connection, settings: Settings, state: AlertState, now: float, *, forecast: bool = True
) -> Evaluation:
    """Return what is due at `now`; without `forecast`, rules about forecasts are skipped."""
    known = load_accounts(connection)
    rules, problems = _rules(settings.rules, known)
    problems += _unseen_limits(settings.rules, load_limit_ids(connection))
    found = load_alert_input(connection, now, rules, accounts=known, forecast=forecast)
    state = track(_after_merges(state, known), rules, found, now)
    quiet_until = settings.quiet_hours.until(now) if settings.quiet_hours else None
    keys = frozenset(key for account in known for key in (account.key, *account.merged))
    return Evaluation(firing(rules, found, state, now), state, quiet_until, problems, keys)


def _after_merges(state: AlertState, known: Sequence[Account]) -> AlertState:
    """Return the state with what is about merged accounts as it is about the accounts that they belong to now."""
    keys = {merged: account.key for account in known for merged in account.merged}

    def renamed(about: About) -> About:
        return about._replace(account=keys.get(about.account, about.account))

    runs = {renamed(about): period for about, period in state.runs.items()} | {
        about: period for about, period in state.runs.items() if about.account not in keys
    }
    return state._replace(runs=runs, told=tuple(mark._replace(about=renamed(mark.about)) for mark in state.told))


def _rules(rules: Sequence[Rule], known: Sequence[Account]) -> tuple[list[Rule], list[str]]:
    """Return the rules with accounts resolved to keys, and a problem for each rule whose account is not found."""
    found: list[Rule] = []
    problems: list[str] = []
    for number, rule in enumerate(rules, 1):
        if rule.account is None:
            found.append(rule)
            continue
        try:
            found.append(rule._replace(account=find_account(known, rule.account).key))
        except AccountError as error:
            problems.append(f"rule {number} is not in force: {error.summary}")
    return found, problems


def _unseen_limits(rules: Sequence[Rule], seen: Sequence[str]) -> list[str]:
    """Return a problem for each rule about an unknown limit, which may appear later, or be misspelt."""
    return [
        f"rule {number} is not in force yet: unknown limit {rule.limit!r}; known: {', '.join(seen)}"
        for number, rule in enumerate(rules, 1)
        if rule.limit is not None and seen and rule.limit not in seen
    ]
