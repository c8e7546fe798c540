"""Values that all kinds of metrics have in common: the label of an account, and numbers that are stored as texts."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.documents import CreditsStatus
    from store.queries.accounts import Account


def account_labels(known: Sequence[Account], *, with_emails: bool) -> dict[int, str]:
    """Return the label of each account by its id; where it would be the e-mail, the key may be wanted instead."""
    return {each.id: each.label if with_emails or each.label == each.name else each.key for each in known}


def credits_balance(found: CreditsStatus) -> float | None:
    """Return the balance of credits, 0 for an account without credits, None where it is unknown."""
    if not found["has_credits"]:
        return None if found["has_credits"] is None else 0.0
    return finite_number(found["balance"])


def finite_number(written: str | None) -> float | None:
    """Return the number of a decimal text; None for any other."""
    with contextlib.suppress(ValueError):
        value = None if written is None else float(written)
        return value if value is None or math.isfinite(value) else None
    return None
