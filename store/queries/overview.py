"""How all accounts stand at a glance: the document of ``/api/overview``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.analysis.overview import overview
from store.analysis.ranking import rank_accounts
from store.queries.cursors import read_transaction
from store.queries.forecast import empty_forecasts, load_forecasts
from store.queries.status import empty_status, load_status
from store.queries.usage import load_token_rates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.connection import Connection
    from store.documents import OverviewDocument
    from store.queries.accounts import Account


def load_overview(connection: Connection, now: float, accounts: Sequence[Account]) -> OverviewDocument:
    """Return how the accounts stand at `now` (Unix seconds)."""
    with read_transaction(connection):
        status = load_status(connection, now, accounts)
        ranking = rank_accounts(status, load_token_rates(connection, now, accounts))
        return overview(status, load_forecasts(connection, now, accounts), ranking)


def empty_overview(now: float) -> OverviewDocument:
    """Return the document of a database that does not exist yet."""
    status = empty_status(now)
    return overview(status, empty_forecasts(now), rank_accounts(status, {}))
