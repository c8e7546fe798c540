"""How a great many accounts stand: a summary of all, and the documents of those that need attention first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from store.analysis.limit_status import FACT_COLUMNS
from store.analysis.many_accounts import (
    QUIET_COLUMNS,
    AccountUse,
    LimitUse,
    deciding_limit,
    limit_use,
    most_pressed,
    quiet_use,
    summarize,
)
from store.constants import MANY_ACCOUNTS, MOST_PRESSED
from store.queries.accounts import count_accounts, load_accounts, load_some_accounts, search_accounts
from store.queries.cursors import tuple_cursor
from store.queries.limits import MAX_LIMITS
from store.queries.status import load_status

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from store.connection import Connection
    from store.documents import AccountsSummary, StatusDocument
    from store.queries.accounts import Account


def are_many(connection: Connection) -> bool:
    """Return True if there are more accounts than are shown one by one."""
    return count_accounts(connection) > MANY_ACCOUNTS


class Shown(NamedTuple):
    """The accounts that are shown, and the summary of all where these are not all of a great many."""

    accounts: list[Account]
    summary: AccountsSummary | None


def load_shown(
    connection: Connection, now: float, *, first: Collection[int] = (), search: str | None = None, every: bool = False
) -> Shown:
    """Return the accounts that are shown: all, or of a great many the most pressed ones at `now`.

    Args:
        connection: The database.
        now: When it is asked, in Unix seconds.
        first: Row ids of accounts that are shown in any case, ahead of the most pressed ones.
        search: Words that occur in the names of the accounts to show.
        every: Show all of them, however many there are.

    """
    found = None if search is None else search_accounts(connection, search)
    if every or not are_many(connection):
        return Shown(load_accounts(connection) if found is None else load_some_accounts(connection, found), None)
    uses = load_uses(connection, now)
    wanted = None if found is None else set(found)
    among = [each for each in uses if wanted is None or each.account in wanted]
    chosen = list(dict.fromkeys([*first, *(each.account for each in most_pressed(among, MOST_PRESSED))]))
    accounts = {account.id: account for account in load_some_accounts(connection, chosen)}
    return Shown([accounts[number] for number in chosen if number in accounts], summarize(uses))


def load_shown_status(connection: Connection, now: float, shown: Shown) -> StatusDocument:
    """Return the state of the accounts that are shown at `now`, and the summary of all."""
    document = load_status(connection, now, shown.accounts)
    return document if shown.summary is None else {**document, "summary": shown.summary}


def load_uses(connection: Connection, now: float) -> list[AccountUse]:
    """Return how each account stands at `now`."""
    limits: dict[int, list[LimitUse]] = {}
    plans: dict[int, str | None] = {}
    for row in tuple_cursor(connection).execute(_USES):
        account, plans[row[0]], limit_id = row[0], row[1], row[2]
        of_account = limits.setdefault(account, [])
        if limit_id is None or len(of_account) >= MAX_LIMITS:
            continue
        used = quiet_use(row[_QUIET], now)
        if used is None:
            of_account.append(_closer_look(row, now))
        else:
            of_account.append(LimitUse(limit_id, "open", used, is_told=True))
    return [AccountUse(account, plans[account], deciding_limit(found)) for account, found in limits.items()]


def _closer_look(row: Sequence[Any], now: float) -> LimitUse:
    named = dict(zip(_LIMIT_COLUMNS, row[2:], strict=False))
    has_facts, *facts = row[-1 - len(_FACTS) :]
    return limit_use(named, now, dict(zip(_FACTS, facts, strict=True)) if has_facts else named)


_FACTS = FACT_COLUMNS.split(", ")
_LIMIT_COLUMNS = (
    *("limit_id", *QUIET_COLUMNS),
    *("first_seen_at", "reached_window_minutes", "server_time", *_FACTS),
)
_QUIET = slice(3, 3 + len(QUIET_COLUMNS))

_USES = (
    "SELECT a.id, f.plan_type, l.limit_id,"  # noqa: S608 (constants)
    f" {', '.join(f's.{name}' for name in _LIMIT_COLUMNS[1:])},"
    f" CASE WHEN f.id IS NULL THEN 0 ELSE 1 END, {', '.join(f'f.{name}' for name in _FACTS)}"
    " FROM accounts a"
    " LEFT JOIN limits l ON l.account = a.id"
    " LEFT JOIN snapshots s ON s.account = l.account AND s.id = l.snapshot_id"
    " LEFT JOIN snapshots f ON f.account = a.id AND f.id = a.snapshot_id"
    " ORDER BY a.first_seen_at, a.id"
)
