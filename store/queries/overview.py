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
    from store.queries.recent import Recent


def load_overview(
    connection: Connection, now: float, accounts: Sequence[Account], *, recent: Recent | None = None
) -> OverviewDocument:
    """Return how the accounts stand at `now` (Unix seconds); forecasts and token rates of a `recent` are used again."""
    with read_transaction(connection):
        status = load_status(connection, now, accounts)
        ranking = rank_accounts(status, load_token_rates(connection, now, accounts, recent=recent))
        return overview(status, load_forecasts(connection, now, accounts, recent=recent), ranking)


def empty_overview(now: float) -> OverviewDocument:
    """Return the document of a database that does not exist yet."""
    status = empty_status(now)
    return overview(status, empty_forecasts(now), rank_accounts(status, {}))
