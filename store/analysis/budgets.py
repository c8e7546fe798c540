"""Limits that count credits or money: their amounts as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.analysis.formatting import decimal_amount

if TYPE_CHECKING:
    from store.documents import BudgetStatus

BUDGET_WINDOW_MINUTES = 31 * 24 * 60
"""The length that a budget's window is taken to have: the server tells none, and Codex calls it monthly."""

CREDITS = "credits"
"""The unit of a budget of which the server names none."""


def budget_text(budget: BudgetStatus) -> str | None:
    """Return the amounts in words: ``24,000 of 25,000 credits``; None if there are none."""
    unit = budget["unit"] or CREDITS
    limit, used, remaining = (
        None if amount is None else decimal_amount(amount)
        for amount in (budget["limit"], budget["used"], budget["remaining"])
    )
    if used is not None:
        return f"{used} of {limit} {unit}" if limit is not None else f"{used} {unit} used"
    if remaining is not None:
        return f"{remaining} of {limit} {unit} left" if limit is not None else f"{remaining} {unit} left"
    return None if limit is None else f"{limit} {unit}"
