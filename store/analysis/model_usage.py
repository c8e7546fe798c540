"""Models that an account cannot use now: pure functions over what the server last said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.analysis.formatting import short_moment
from store.constants import MAX_TIMESTAMP
from store.stored_json import is_number, read_mapping

if TYPE_CHECKING:
    import datetime as dt

    from store.documents import UnavailableModel


def unavailable_models(written: str | None, now: float) -> list[UnavailableModel]:
    """Return the models that are not available at `now` (Unix seconds).

    `written` is the column ``model_usage``. A model whose time has come counts as available.
    """
    models = [(model, *usage) for model, usage in read_mapping(written).items() if _is_usage(usage)]
    return [
        {"model": model, "available_at": at, "credits_would_enable": by_credits}
        for model, available, at, by_credits in models
        if available is False and (at is None or at > now)
    ]


def _is_usage(found: object) -> bool:
    """Return True if a JSON value says whether a model is available, from when on, and whether by credits."""
    if not isinstance(found, list) or len(found) != 3:
        return False
    _, at, by_credits = found
    return (at is None or is_number(at, 0, MAX_TIMESTAMP)) and isinstance(by_credits, bool | None)


def unavailable_text(found: UnavailableModel, now: float, zone: dt.tzinfo | None = None) -> str:
    """Return a phrase: ``gpt-6-astra is not available until Mon 14:38, or with credits``."""
    at = found["available_at"]
    until = "" if at is None else f" until {short_moment(at, now, zone)}"
    by_credits = found["credits_would_enable"]
    return f"{found['model']} is not available{until}" + (", or with credits" if by_credits else "")
