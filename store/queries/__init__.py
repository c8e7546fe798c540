"""Every question that is asked of the database, and the documents that answer it: a module for each.

All functions take a connection of `store.database.open_reader` and import nothing heavy. Each answers from one view of
the database, so that none sees half of what a proxy writes meanwhile.
"""

from __future__ import annotations

from store.queries.accounts import Account, AccountError, Extent, account_extent, accounts, find_account
from store.queries.health import Losses, Summary, losses, summary
from store.queries.history import history
from store.queries.limits import limit_ids
from store.queries.status import status

__all__ = [
    "Account",
    "AccountError",
    "Extent",
    "Losses",
    "Summary",
    "account_extent",
    "accounts",
    "find_account",
    "history",
    "limit_ids",
    "losses",
    "status",
    "summary",
]
