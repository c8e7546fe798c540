"""``spend_control.individual_limit`` of a usage document: what a member of a workspace may spend until a reset.

Codex calls it "Monthly credit limit". On Business and Enterprise plans it can be the only limit there is. It becomes a
limit with one window, whose length the server does not tell, and with the amounts beside it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from store import coerce
from store.coerce import mapping
from store.constants import BUDGET_LIMIT, BUDGET_SLOT, FULL_PERCENT
from store.models import Budget, Limit, Window

if TYPE_CHECKING:
    from collections.abc import Mapping

BUDGET_NAME = "Monthly credit limit"


def budget_limit(document: Mapping[str, Any], observed_at: float) -> tuple[Limit | None, float | None]:
    """Return the budget of a usage document, None if it has none, and the server's own clock in Unix seconds."""
    spend_control = mapping(document.get("spend_control"))
    fields = mapping(spend_control.get("individual_limit"))
    amounts = {name: coerce.decimal(fields.get(name)) for name in ("limit", "used", "remaining")}
    budget = Budget(**amounts, unit=coerce.text(fields.get("unit")), source=coerce.text(fields.get("source")))
    used = _used_percent(fields, budget)
    found = coerce.window(used, None, fields.get("reset_at"), fields.get("reset_after_seconds"), observed_at)
    # A budget of which nothing is used has a window as well.
    window = found.window or (None if used is None else Window(used_percent=used))
    if window is None and not any(amounts.values()):
        return None, None
    limit = Limit(
        limit_id=BUDGET_LIMIT,
        limit_name=BUDGET_NAME,
        windows={} if window is None else {BUDGET_SLOT: window},
        limit_reached=coerce.flag(spend_control.get("reached")),
        budget=budget,
    )
    return limit, found.server_time


def says_no_budget(document: Mapping[str, Any]) -> bool:
    """Return True if a usage document says that there is no budget."""
    spend_control = mapping(document.get("spend_control"))
    return "individual_limit" in spend_control and spend_control["individual_limit"] is None


def _used_percent(fields: Mapping[str, Any], budget: Budget) -> float | None:
    """Return the used percent as sent, else what follows from the remaining percent or from the amounts."""
    used, remaining = coerce.percent(fields.get("used_percent")), coerce.percent(fields.get("remaining_percent"))
    if used is not None:
        return used
    if remaining is not None:
        return max(0.0, FULL_PERCENT - remaining)
    if budget.used is None or budget.limit is None or not Decimal(budget.limit):
        return None
    return coerce.percent(float(Decimal(budget.used) / Decimal(budget.limit)) * FULL_PERCENT)
