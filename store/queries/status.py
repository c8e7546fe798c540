"""How much is left?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from store.analysis.limit_status import flag, limit_status
from store.queries.accounts import refresh
from store.queries.cursors import read_transaction
from store.queries.limits import current_snapshots

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from store.queries.accounts import Account


def load_status(connection: sqlite3.Connection, now: float, only: Sequence[Account] | None = None) -> dict[str, Any]:
    """Answer "how much is left?": the document of ``status --json`` at a moment in Unix seconds."""
    with read_transaction(connection):
        chosen = refresh(connection, only)
        newest = current_snapshots(connection)
        facts = _facts_rows(connection)
    return {
        "generated_at": int(now),
        "accounts": [
            _account_status(account, facts.get(account.id), newest.get(account.id, []), now) for account in chosen
        ],
    }


def _facts_rows(connection: sqlite3.Connection) -> dict[int, sqlite3.Row]:
    rows = connection.execute("SELECT s.* FROM accounts a JOIN snapshots s ON s.id = a.snapshot_id")
    return {row["account"]: row for row in rows}


def _account_status(
    account: Account, facts: sqlite3.Row | None, rows: Sequence[sqlite3.Row], now: float
) -> dict[str, Any]:
    return {
        **account.named,
        "plan_type": account.plan_type,
        "token_key": account.token_keys[0] if account.token_keys else None,
        "credits": account_credits(facts),
        "spend_control_reached": flag(facts["spend_control_reached"]) if facts else None,
        "reset_credits": facts["reset_credits"] if facts else None,
        "promo": facts["promo"] if facts else None,
        "limits": [limit_status({**row, **_account_facts(facts)}, now) for row in map(dict, rows)],
    }


def _account_facts(facts: sqlite3.Row | None) -> dict[str, Any]:
    """Return what is newest of an account's credits, which another limit's row may have told."""
    names = ("has_credits", "credits_unlimited", "credits_balance", "overage_limit_reached", "spend_control_reached")
    return {name: facts[name] for name in names} if facts else {}


def account_credits(facts: sqlite3.Row | None) -> dict[str, Any] | None:
    """Return the credits that a row tells as the JSON contract writes them; None where none were told."""
    if facts is None or (facts["has_credits"] is None and facts["credits_unlimited"] is None):
        return None
    return {
        "has_credits": flag(facts["has_credits"]),
        "unlimited": flag(facts["credits_unlimited"]),
        "balance": facts["credits_balance"],
    }
