"""The amounts of limits that count credits or money."""

from __future__ import annotations

import pytest

from store.analysis.budgets import budget_text
from store.analysis.limit_status import budget_status

_COLUMNS = ("budget_limit", "budget_used", "budget_remaining", "budget_unit", "budget_source")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (("25000", "24000", "1000", None, "group"), "24,000 of 25,000 credits"),
        (("25000", "24000.50", None, "usd", None), "24,000.50 of 25,000 usd"),
        ((None, "24000", "1000", None, None), "24,000 credits used"),
        (("25000", None, "1000", None, None), "1,000 of 25,000 credits left"),
        ((None, None, "1000", "usd", None), "1,000 usd left"),
        (("999999999999999", None, None, None, None), "999,999,999,999,999 credits"),
        ((None, None, None, None, "group"), None),
    ],
)
def test_amounts(values: tuple[str | None, ...], text: str | None) -> None:
    """They are kept as sent, and shown with separators as far as they are known."""
    found = budget_status(dict(zip(_COLUMNS, values, strict=True)))
    assert found is not None
    assert tuple(found.values()) == values
    assert budget_text(found) == text


def test_a_limit_without_amounts() -> None:
    """Other limits have none."""
    assert budget_status(dict.fromkeys(_COLUMNS)) is None
