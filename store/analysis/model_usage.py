"""Models that an account cannot use now: pure functions over what the server last said of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from store.analysis.formatting import short_moment

if TYPE_CHECKING:
    import datetime as dt

    from store.documents import UnavailableModel


def unavailable_models(written: str | None, now: float) -> list[UnavailableModel]:
    """Return the models that are not available at `now` (Unix seconds).

    `written` is the column ``model_usage``. A model whose time has come counts as available.
    """
    models = json.loads(written) if written else {}
    return [
        {"model": model, "available_at": at, "credits_would_enable": by_credits}
        for model, (available, at, by_credits) in models.items()
        if available is False and (at is None or at > now)
    ]


def unavailable_text(found: UnavailableModel, now: float, zone: dt.tzinfo | None = None) -> str:
    """Return a phrase: ``gpt-6-astra is not available until Mon 14:38, or with credits``."""
    at = found["available_at"]
    until = "" if at is None else f" until {short_moment(at, now, zone)}"
    by_credits = found["credits_would_enable"]
    return f"{found['model']} is not available{until}" + (", or with credits" if by_credits else "")
