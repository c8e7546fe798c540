"""The present state of accounts: the document of ``status --json``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.analysis.limit_status import credits_status, limit_status
from store.analysis.model_usage import unavailable_models
from store.constants import MAX_TIMESTAMP, flag
from store.queries.cursors import is_among, read_transaction
from store.queries.limits import current_snapshots
from store.queries.machines import with_silent_machines
from store.stored_json import is_number, read_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.connection import Connection, StoredRow
    from store.documents import AccountStatus, StatusDocument
    from store.queries.accounts import Account


def load_status(connection: Connection, now: float, accounts: Sequence[Account]) -> StatusDocument:
    """Return the state of the accounts at `now` (Unix seconds)."""
    with read_transaction(connection):
        snapshots = current_snapshots(connection, accounts)
        facts = _facts_rows(connection, accounts)
    document: StatusDocument = {
        "generated_at": int(now),
        "accounts": [
            _account_status(account, facts.get(account.id), snapshots.get(account.id, []), now) for account in accounts
        ],
    }
    return with_silent_machines(document, connection, now, accounts)


def empty_status(now: float) -> StatusDocument:
    """Return the document of a database that does not exist yet."""
    return {"generated_at": int(now), "accounts": []}


def _facts_rows(connection: Connection, accounts: Sequence[Account]) -> dict[int, StoredRow]:
    """Return by account the snapshot with the newest facts that are the account's own, such as its credits."""
    accounts_in, ids = is_among("a.id", [account.id for account in accounts])
    rows = connection.execute(
        "SELECT s.* FROM accounts a JOIN snapshots s ON s.account = a.id AND s.id = a.snapshot_id"  # noqa: S608 (marks)
        f" WHERE {accounts_in}",
        ids,
    )
    return {row["account"]: row for row in rows}


def _loaded(written: str | None) -> list[int] | None:
    found = read_json(written)
    return [int(each) for each in found if is_number(each, 0, MAX_TIMESTAMP)] if isinstance(found, list) else None


def _account_status(
    account: Account, facts: StoredRow | None, snapshots: Sequence[StoredRow], now: float
) -> AccountStatus:
    return {
        **account.reference,
        "plan_type": account.plan_type,
        "token_key": account.token_keys[0] if account.token_keys else None,
        "credits": credits_status(facts),
        "spend_control_reached": flag(facts["spend_control_reached"]) if facts else None,
        "reset_credits": facts["reset_credits"] if facts else None,
        "reset_credits_applicable": facts["reset_credits_applicable"] if facts else None,
        "reset_credits_expire": _loaded(facts["reset_credits_expire"]) if facts else None,
        "unavailable_models": unavailable_models(facts["model_usage"], now) if facts else [],
        "promo": facts["promo"] if facts else None,
        "limits": [limit_status(row, now, facts) for row in snapshots],
    }
