"""The facts of an account as a whole, in events and usage documents: credits, banked resets, models, promo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from store import coerce
from store.coerce import mapping
from store.models import Credits, ModelUsage

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_MODELS = 16
"""Models whose usage is read of one document."""

MAX_BANKED = 32
"""Banked resets whose expiry is read of one document."""


def read(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `RateLimits` that are facts of the account, but for its plan."""
    # The document of the banked resets has at its top what a usage document has in an object.
    is_list_of_resets = "available_count" in document
    resets = document if is_list_of_resets else mapping(document.get("rate_limit_reset_credits"))
    return {
        "credits": _credits(mapping(document.get("credits"))),
        "spend_control_reached": coerce.flag(mapping(document.get("spend_control")).get("reached")),
        "reset_credits": coerce.count(resets.get("available_count")),
        "reset_credits_applicable": coerce.count(resets.get("applicable_available_count")),
        "reset_credits_expire": _expiry(document.get("credits")) if is_list_of_resets else None,
        "model_usage": _model_usage(document.get("model_usage")),
        "promo": _promo(document),
    }


def _credits(fields: Mapping[str, Any]) -> Credits | None:
    found = Credits(
        has_credits=coerce.flag(fields.get("has_credits")),
        unlimited=coerce.flag(fields.get("unlimited")),
        balance=coerce.decimal(fields.get("balance")),
        overage_limit_reached=coerce.flag(fields.get("overage_limit_reached")),
    )
    return None if found == Credits() else found


def _expiry(banked: object) -> tuple[int, ...] | None:
    """Return when the available ones of a list of banked resets expire, earliest first; None if there is no list."""
    if not isinstance(banked, list):
        return None
    available = [fields for fields in map(mapping, banked) if fields.get("status") == "available"]
    found = (coerce.date(fields.get("expires_at")) for fields in available[:MAX_BANKED])
    return tuple(sorted(at for at in found if at is not None))


def _model_usage(models: object) -> dict[str, ModelUsage] | None:
    if not isinstance(models, dict):
        return None
    found: dict[str, ModelUsage] = {}
    for key, value in list(models.items())[:MAX_MODELS]:
        name, fields = coerce.text(key), mapping(value)
        if name and fields:
            found[name] = ModelUsage(
                available=coerce.flag(fields.get("available")),
                available_at=coerce.date(fields.get("available_at")),
                credits_would_enable=coerce.flag(fields.get("credits_would_enable")),
            )
    return found


def _promo(document: Mapping[str, Any]) -> str | None:
    """Return the text of the promo; ``""`` if the document says that there is none."""
    if "promo" not in document:
        return None
    promo = document["promo"]
    return coerce.text(mapping(promo).get("message") if isinstance(promo, dict) else promo) or ""
