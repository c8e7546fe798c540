"""What a thread, a project or an account has used of a budget, by the attribution that ``usage`` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from store.analysis.guard_budget import period_span
from store.queries.usage import load_usage

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from store.analysis.guard_budget import BudgetScope, BudgetWindow, GuardBudget
    from store.connection import Connection
    from store.documents import BudgetUse
    from store.queries.accounts import Account


class BudgetUser(NamedTuple):
    """Whose use counts for a budget.

    ``keys`` are the keys that its row may have in ``usage``, the likeliest first: the thread of a session and that of a
    sub-agent in it, or a project.
    """

    scope: BudgetScope
    keys: tuple[str, ...] = ()


def load_budget_use(
    connection: Connection,
    now: float,
    account: Account,
    *,
    budget: GuardBudget,
    window: BudgetWindow,
    user: BudgetUser,
    projects_of: Callable[[Collection[str]], Mapping[str, str]],
) -> BudgetUse | None:
    """Return what was used of a budget in the period that `now` is in; None where its beginning is not known.

    Args:
        connection: The database.
        now: When it is asked, in Unix seconds.
        account: The account whose window it is.
        budget: The budget.
        window: The window.
        user: Whose use counts; that of sub-agents counts for the session that started them.
        projects_of: Returns the projects of threads by their ids, as far as they are known.

    """
    span = period_span(budget.period, window.status, now)
    if span is None:
        return None
    projects: set[str] = set()

    def noted_projects(ids: Collection[str]) -> Mapping[str, str]:
        found = projects_of(ids)
        projects.update(found.values())
        return found

    document = load_usage(
        connection,
        now,
        accounts=[account],
        by=user.scope,
        since=span.since,
        window=window.slot,
        limit_id=window.limit_id,
        projects_of=noted_projects,
    )
    rows = {row["key"]: row for row in document["rows"]}
    key = account.key if user.scope == "account" else next((each for each in user.keys if each in rows), user.keys[0])
    row = document["total"] if user.scope == "account" else rows.get(key)
    return {
        "points": budget.points,
        "used": row["points"] if row else 0.0,
        "period": budget.period,
        "since": span.since,
        "until": span.until,
        "window": window.slot,
        "window_minutes": window.status["window_minutes"],
        "length": window.status["length"],
        "scope": user.scope,
        "key": key,
        "name": rows[key]["name"] if key in rows and user.scope != "account" else None,
        "seen": _is_seen(connection, user.keys) if user.scope == "thread" else bool(row) or key in projects,
    }


def _is_seen(connection: Connection, threads: Sequence[str]) -> bool:
    """Return True if a turn of any of the threads was ever recorded."""
    query = "SELECT 1 FROM threads WHERE thread = ?"
    return any(connection.execute(query, (thread,)).fetchone() for thread in threads)
