"""The names of fields that look like limits and are not known: the server has added something.

A name is counted so that the next new limit is noticed on the day it comes. It is only taken if nothing secret can be
in it: of a plain form, and without a long number, hexadecimal or base64. Values are never looked at.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any

from store.coerce import MAX_FAMILIES, mapping
from store.constants import MAIN_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_UNKNOWN = 16
"""Unknown fields that are named of one message."""

MAX_NAME_LENGTH = 80

_HEADER = re.compile(r"x(?:-[a-z0-9_]+)+", re.ASCII)
_SLOTS = ("primary", "secondary")
_WINDOW_ENDINGS = ("-used-percent", "-window-minutes", "-reset-at", "-reset-after-seconds")
_CODEX_WORDS = frozenset({"budget", "budgets", "credit", "credits", "limit", "limits", "quota", "quotas", "spend"})
_MAX_KEYS = 200
"""Keys of one object that are looked at; real ones have some ten."""

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_WORDS = re.compile(r"[-_.]")
_MAX_WORD_LENGTH = 16
_MAX_WORD_DIGITS = 2
_MAX_WORD_CAPITALS = 4
_HEXADECIMAL = re.compile(r"[0-9a-f]{7,}", re.ASCII | re.IGNORECASE)
_LIKE_A_LIMIT = re.compile(r"limit|window|quota|budget|spend", re.ASCII | re.IGNORECASE)

_WINDOW = frozenset(
    {
        "limit_window_seconds",
        "reset_after_seconds",
        "reset_at",
        "resets_at",
        "resets_in_seconds",
        "used_percent",
        "window_minutes",
    }
)
_POSITIONS = frozenset({"primary", "primary_window", "secondary", "secondary_window"})
_LIMIT = frozenset({"allowed", "limit_reached", *_POSITIONS})
_ENTRY = frozenset({"limit_name", "metered_feature", "metered_limit_name", "rate_limit", "rate_limits"})
_BUDGET = frozenset(
    {
        "limit",
        "remaining",
        "remaining_percent",
        "reset_after_seconds",
        "reset_at",
        "source",
        "unit",
        "used",
        "used_percent",
    }
)
_SPEND_CONTROL = frozenset({"individual_limit", "reached"})
_LIMITS = ("code_review_rate_limit", "code_review_rate_limits", "rate_limit", "rate_limits")
_DOCUMENT = frozenset(
    {
        *_LIMITS,
        "additional_rate_limits",
        "limit_name",
        "metered_limit_name",
        "rate_limit_reached_type",
        "rate_limit_reset_credits",
        "rate_limit_upsell",
        "spend_control",
    }
)


def is_unknown_header(name: str) -> bool:
    """Return True if a header that is not read looks like one of a limit; `name` is in lower case."""
    _, family, *words = [*name.split("-"), ""]
    # The last word is empty; a slot has a family before it, and a figure behind it.
    has_slot = any(slot in words[:-2] for slot in _SLOTS)
    is_window = has_slot or any(name.endswith(end) and len(words) - 1 > end.count("-") for end in _WINDOW_ENDINGS)
    is_codex = family == MAIN_LIMIT and not _CODEX_WORDS.isdisjoint(words)
    return (is_window or is_codex) and _HEADER.fullmatch(name) is not None and _is_harmless(name)


def unknown_keys(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the unknown keys in the limits of an event or a usage document.

    A name has the keys that lead to it: ``rate_limits.primary.burst_percent``. The name of a limit is left out of it.
    """
    names: dict[str, None] = {}
    for name in _unknown(document):
        if len(names) == MAX_UNKNOWN:
            break
        if _is_harmless(name):
            names[name] = None
    return tuple(names)


def _unknown(document: Mapping[str, Any]) -> Iterator[str]:
    yield from (key for key in _beside(document, _DOCUMENT) if _LIKE_A_LIMIT.search(key))
    for name in _LIMITS:
        yield from _in_limit(name, mapping(document.get(name)), _LIMIT)
    more = document.get("additional_rate_limits")
    entries = more.values() if isinstance(more, dict) else more if isinstance(more, list) else ()
    for entry in map(mapping, islice(entries, MAX_FAMILIES)):
        yield from _in_limit("additional_rate_limits", entry, _LIMIT | _ENTRY)
        for name in ("rate_limit", "rate_limits"):
            yield from _in_limit(f"additional_rate_limits.{name}", mapping(entry.get(name)), _LIMIT)
    spend_control = mapping(document.get("spend_control"))
    yield from _named("spend_control", _beside(spend_control, _SPEND_CONTROL))
    yield from _named("spend_control.individual_limit", _beside(spend_control.get("individual_limit"), _BUDGET))


def _in_limit(path: str, limit: Mapping[str, Any], known: frozenset[str]) -> Iterator[str]:
    yield from _named(path, _beside(limit, known))
    for position in sorted(_POSITIONS & limit.keys()):
        yield from _named(f"{path}.{position}", _beside(limit[position], _WINDOW))


def _named(path: str, keys: Iterator[str]) -> Iterator[str]:
    return (f"{path}.{key}" for key in keys)


def _beside(fields: object, known: frozenset[str]) -> Iterator[str]:
    keys = islice(mapping(fields), _MAX_KEYS)
    return (key for key in keys if key not in known and len(key) <= MAX_NAME_LENGTH and _KEY.fullmatch(key))


def _is_harmless(name: str) -> bool:
    """Return True if no part of a name can be a secret: an id, a token, a number."""
    if len(name) > MAX_NAME_LENGTH:
        return False
    return all(
        len(word) <= _MAX_WORD_LENGTH
        and sum(character.isdigit() for character in word) <= _MAX_WORD_DIGITS
        and sum(character.isupper() for character in word) <= _MAX_WORD_CAPITALS
        and not _HEXADECIMAL.fullmatch(word)
        for word in _WORDS.split(name)
    )
