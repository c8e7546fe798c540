"""Limits that count credits or money: their amounts, as documents have them and as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.analysis.formatting import decimal_amount

if TYPE_CHECKING:
    from store.analysis.limit_status import Row
    from store.documents import BudgetStatus

BUDGET_COLUMNS = "budget_limit, budget_used, budget_remaining, budget_unit, budget_source"
"""All columns that `budget_status` reads."""

BUDGET_WINDOW_MINUTES = 31 * 24 * 60
"""The length that a budget's window is taken to have: the server tells none, and Codex calls it monthly."""

_CREDITS = "credits"


def budget_status(row: Row) -> BudgetStatus | None:
    """Return the amounts of a snapshot; None for a limit without amounts."""
    found: BudgetStatus = {
        "limit": row["budget_limit"],
        "used": row["budget_used"],
        "remaining": row["budget_remaining"],
        "unit": row["budget_unit"],
        "source": row["budget_source"],
    }
    return found if any(found.values()) else None


def budget_text(budget: BudgetStatus) -> str | None:
    """Return the amounts in words: ``24,000 of 25,000 credits``; None if there are none."""
    unit = budget["unit"] or _CREDITS
    limit, used, remaining = (
        None if amount is None else decimal_amount(amount)
        for amount in (budget["limit"], budget["used"], budget["remaining"])
    )
    if used is not None:
        return f"{used} of {limit} {unit}" if limit is not None else f"{used} {unit} used"
    if remaining is not None:
        return f"{remaining} of {limit} {unit} left" if limit is not None else f"{remaining} {unit} left"
    return None if limit is None else f"{limit} {unit}"
