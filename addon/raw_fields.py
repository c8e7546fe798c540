"""The allow-list of the message fields that are stored for audit.

Events and usage documents also carry e-mail, ids and prose: none of that passes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from store import coerce
from store.coerce import MAX_FAMILIES, MAX_TEXT_LENGTH, number, printable_text

if TYPE_CHECKING:
    from collections.abc import Mapping


_ALLOWED_FIELDS = frozenset(
    {
        "additional_rate_limits",
        "allowed",
        "applicable_available_count",
        "available",
        "available_at",
        "available_count",
        "balance",
        "code",
        "code_review_rate_limit",
        "code_review_rate_limits",
        "credits",
        "credits_would_enable",
        "error",
        "expires_at",
        "granted_at",
        "has_credits",
        "individual_limit",
        "limit",
        "limit_name",
        "limit_reached",
        "limit_window_minutes",
        "limit_window_seconds",
        "metered_feature",
        "metered_limit_name",
        "model_usage",
        "overage_limit_reached",
        "plan_type",
        "primary",
        "primary_window",
        "promo",
        "rate_limit",
        "rate_limit_reached_type",
        "rate_limit_reset_credits",
        "rate_limits",
        "reached",
        "remaining",
        "remaining_percent",
        "reset_after_seconds",
        "reset_at",
        "resets_at",
        "resets_in_seconds",
        "secondary",
        "secondary_window",
        "source",
        "spend_control",
        "status",
        "status_code",
        "type",
        "unit",
        "unlimited",
        "used",
        "used_percent",
        "window_minutes",
    }
)
_MAX_DEPTH = 6

MAX_RAW_CHARACTERS = 64 * 1024
"""Characters of JSON stored for audit; a real message has about a thousand, and nothing of a longer one is stored."""


def allowed_fields(message: Mapping[str, Any]) -> dict[str, object]:
    """Return the fields of a message that are stored for audit; none if they are too long."""
    allowed = _pick(message, 0)
    return allowed if len(json.dumps(allowed)) <= MAX_RAW_CHARACTERS else {}


def _pick(value: Mapping[str, Any], depth: int) -> dict[str, object]:
    return {key: _raw_value(key, item, depth) for key, item in value.items() if key in _ALLOWED_FIELDS}


def _raw_value(key: str, value: object, depth: int) -> object:
    if depth == _MAX_DEPTH:
        return None
    if isinstance(value, dict) and key == "additional_rate_limits":
        named = list(value.items())[:MAX_FAMILIES]
        return {coerce.limit_id(name) or "": _pick(coerce.mapping(item), depth + 1) for name, item in named}
    if isinstance(value, dict) and key == "model_usage":
        models = list(value.items())[:MAX_FAMILIES]
        return {coerce.text(name) or "": _pick(coerce.mapping(item), depth + 1) for name, item in models}
    if isinstance(value, dict):
        return _pick(value, depth + 1)
    if isinstance(value, list):
        return [_raw_value("", item, depth + 1) for item in value[:MAX_FAMILIES]]
    return clean_raw(value)


MAX_RAW_NUMBER = 1e15


def clean_raw(value: object) -> object:
    """Return a value as it may be stored for audit: numbers and truth values as they are, texts made harmless."""
    if isinstance(value, str):
        return printable_text(value[:MAX_TEXT_LENGTH])
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return None if number(value, MAX_RAW_NUMBER) is None else value
    return ""
