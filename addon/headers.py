"""``x-codex-*`` response headers → a `Reading`.

Facts that live answers force (all seen or reported on 200, 101 and 429 alike):

- Fields of one limit share a family: ``x-codex-primary-…`` is the plain family, ``x-codex-bengalfox-primary-…`` the
  family of the limit ``codex_bengalfox``, whose name is in ``x-codex-bengalfox-limit-name``.
- The plain family is whatever limit is active. Where ``x-codex-active-limit`` names a family that is present, the plain
  one is its copy and says nothing of the main limit; where it names none of them (``premium``), the plain family is the
  main limit. The name decides, never equal numbers.
- "No such window" is written as used 0, minutes 0 and an empty or missing reset.
- The ``x-codex-`` prefix also carries session state: only the fields named here are looked at or kept.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from addon import values
from addon.windows import normalize
from store.models import MAIN_LIMIT, Credits, Limit, Reading, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX = b"x-codex-"

MOST_FAMILIES = 16
"""Families kept from one answer; real ones carry one to three."""

_WINDOW_PARTS = ("used-percent", "window-minutes", "reset-at", "reset-after-seconds")
_FAMILY_PARTS = (
    *(f"{position}-{part}" for position in ("primary", "secondary") for part in _WINDOW_PARTS),
    "primary-over-secondary-limit-percent",
    "limit-name",
)
_ANSWER_PARTS = frozenset(
    {
        "active-limit",
        "allowed",
        "credits-balance",
        "credits-has-credits",
        "credits-unlimited",
        "limit-reached",
        "plan-type",
        "promo-message",
        "rate-limit-reached-type",
        "rate-limit-reset-credits-available",
    }
)
_FAMILY = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}", re.ASCII)


class Field(NamedTuple):
    """What a header's name says: its family (``""`` for the plain one, None for the answer as a whole) and part."""

    name: str
    family: str | None
    part: str


def collect(fields: Iterable[tuple[bytes, bytes]]) -> dict[Field, object]:
    """Pick the known rate-limit headers out of raw ones; of a repeated header the first stands, as for Codex."""
    found: dict[Field, object] = {}
    for name, value in fields:
        if name[:8].lower() == PREFIX:
            field = _classify(name)
            if field and field not in found:
                found[field] = value.decode("latin-1")
    return found


def collect_mapping(mapping: Mapping[str, object]) -> dict[Field, object]:
    """Pick them out of the ``headers`` of a websocket error, whose values may be numbers and booleans."""
    found: dict[Field, object] = {}
    for name, value in mapping.items():
        field = _classify(name.encode("utf-8", "replace"))
        if field and field not in found:
            found[field] = value
    return found


def read(found: Mapping[Field, object], observed_at: float) -> Reading | None:
    """Return what collected headers say, or None where they say nothing of limits.

    `observed_at` is when the answer was seen, in Unix seconds.
    """
    if not found:
        return None
    answer = {field.part: value for field, value in found.items() if field.family is None}
    families = _families(found)
    active = _active_family(answer.get("active-limit"), families)
    limits: list[Limit] = []
    server_time: float | None = None
    for family, parts in list(families.items())[:MOST_FAMILIES]:
        if family or active is None:
            limit, told_time = _limit(family, parts, observed_at)
            server_time = server_time or told_time
            limits.append(limit)
    return Reading(
        limits=_with_verdict(limits, limit_id(active or ""), answer),
        active_limit=limit_id(active or ""),
        plan_type=values.text(answer.get("plan-type")),
        credits=_credits(answer),
        reset_credits=values.count(answer.get("rate-limit-reset-credits-available")),
        promo=values.text(answer.get("promo-message")),
        server_time=server_time,
        left_out=max(0, len(families) - MOST_FAMILIES),
        raw=_raw(found, families),
    )


def limit_id(family: str) -> str:
    """Return the limit id of a family: ``codex`` for the plain one, ``codex_bengalfox`` for ``bengalfox``."""
    return f"{MAIN_LIMIT}_{family.replace('-', '_')}" if family else MAIN_LIMIT


@lru_cache(maxsize=1024)
def _classify(name: bytes) -> Field | None:
    if len(name) > 100 or name[:8].lower() != PREFIX:
        return None
    lower = name.decode("latin-1").lower()
    rest = lower[len(PREFIX) :]
    if rest in _ANSWER_PARTS:
        return Field(lower, None, rest)
    for part in _FAMILY_PARTS:
        if rest == part:
            return Field(lower, "", part)
        family = rest.removesuffix(f"-{part}")
        if family != rest and _FAMILY.fullmatch(family):
            return Field(lower, family, part)
    return None


def _families(found: Mapping[Field, object]) -> dict[str, dict[str, object]]:
    """Return the parts of each family, the plain one first."""
    families: dict[str, dict[str, object]] = {}
    for field, value in sorted(found.items(), key=lambda item: bool(item[0].family)):
        if field.family is not None:
            families.setdefault(field.family, {})[field.part] = value
    return families


def _active_family(active: object, families: dict[str, dict[str, object]]) -> str | None:
    """Return the family of which the plain one is a copy, and let it have the plain windows if it brings none."""
    named = values.limit_id(active)
    for family, parts in families.items():
        if family and named in (limit_id(family), family.replace("-", "_")):
            if not any(part.startswith(("primary-", "secondary-")) for part in parts):
                parts.update({part: value for part, value in families.get("", {}).items() if part not in parts})
            return family
    return None


def _limit(family: str, parts: Mapping[str, object], observed_at: float) -> tuple[Limit, float | None]:
    windows: list[Window | None] = []
    server_time: float | None = None
    for position in ("primary", "secondary"):
        used, length, at, after = (parts.get(f"{position}-{part}") for part in _WINDOW_PARTS)
        window, told_time = values.window(used, length, at, after, observed_at)
        windows.append(window)
        server_time = server_time or told_time
    told = any(part in parts for part in _FAMILY_PARTS[:8])
    limit = Limit(
        limit_id=limit_id(family),
        limit_name=values.text(parts.get("limit-name")),
        windows=normalize(windows[0], windows[1], observed_at) if told else None,
    )
    return limit, server_time


def _with_verdict(limits: list[Limit], charged: str, answer: Mapping[str, object]) -> tuple[Limit, ...]:
    """Say of the active limit what the answer says of being allowed or refused."""
    verdict = {
        "allowed": values.flag(answer.get("allowed")),
        "limit_reached": values.flag(answer.get("limit-reached")),
        "reached_type": values.text(answer.get("rate-limit-reached-type")),
    }
    if not any(value is not None for value in verdict.values()):
        return tuple(limits)
    if all(limit.limit_id != charged for limit in limits):
        limits = [Limit(limit_id=charged), *limits]
    return tuple(limit.model_copy(update=verdict) if limit.limit_id == charged else limit for limit in limits)


def _credits(answer: Mapping[str, object]) -> Credits | None:
    has_credits = values.flag(answer.get("credits-has-credits"))
    unlimited = values.flag(answer.get("credits-unlimited"))
    balance = values.decimal(answer.get("credits-balance"))
    if has_credits is None and unlimited is None and balance is None:
        return None
    return Credits(has_credits=has_credits, unlimited=unlimited, balance=balance)


def _raw(found: Mapping[Field, object], families: dict[str, dict[str, object]]) -> dict[str, object]:
    kept = set(list(families)[:MOST_FAMILIES])
    return {
        field.name: values.raw(value) for field, value in found.items() if field.family is None or field.family in kept
    }
