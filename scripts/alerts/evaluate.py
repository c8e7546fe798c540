"""One look at the database: what is due now, by the user's file and what is remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from store.analysis.alerting import Alert, AlertState, Rule, firing, track
from store.queries.accounts import AccountError, find_account, load_accounts
from store.queries.alert_input import load_alert_input
from store.queries.limits import load_limit_ids

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from scripts.alerts.settings import Settings
    from store.queries.accounts import Account


class Evaluation(NamedTuple):
    """What a look found.

    ``memory`` is that of before, brought to now; what is due is not remembered in it yet. ``quiet_until`` is when the
    quiet hours end that hold it back. ``problems`` say which rules stand for nothing. ``accounts`` are the keys of
    those that are known.
    """

    alerts: list[Alert]
    memory: AlertState
    quiet_until: float | None
    problems: list[str]
    accounts: frozenset[str]


def evaluate(
    connection: sqlite3.Connection, settings: Settings, memory: AlertState, now: float, *, forecast: bool = True
) -> Evaluation:
    """Answer "what is to be told now?"; without a `forecast`, of all but that."""
    known = load_accounts(connection)
    rules, problems = _rules(settings.rules, known)
    problems += _unseen_limits(settings.rules, load_limit_ids(connection))
    found = load_alert_input(connection, now, rules, accounts=known, forecast=forecast)
    memory = track(memory, rules, found, now)
    quiet_until = settings.quiet_hours.until(now) if settings.quiet_hours else None
    keys = frozenset(account.key for account in known)
    return Evaluation(firing(rules, found, memory, now), memory, quiet_until, problems, keys)


def _rules(rules: Sequence[Rule], known: Sequence[Account]) -> tuple[list[Rule], list[str]]:
    """Return the rules with the keys of the accounts that they name, and why some are left out."""
    found: list[Rule] = []
    problems: list[str] = []
    for number, rule in enumerate(rules, 1):
        if rule.account is None:
            found.append(rule)
            continue
        try:
            found.append(rule._replace(account=find_account(known, rule.account).key))
        except AccountError as error:
            why = str(error).splitlines()[0].removesuffix("; there are:").rstrip(":")
            problems.append(f"rule {number} stands for nothing: {why}")
    return found, problems


def _unseen_limits(rules: Sequence[Rule], seen: Sequence[str]) -> list[str]:
    """Say which rules are about limits that were never seen: they may come yet, or be misspelt."""
    return [
        f"rule {number} stands for nothing yet: no limit {rule.limit!r} was seen; there are: {', '.join(seen)}"
        for number, rule in enumerate(rules, 1)
        if rule.limit is not None and seen and rule.limit not in seen
    ]
