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
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from addon import values
from addon.windows import normalize
from store.models import MAIN_LIMIT, Credits, Limit, Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX = "x-codex-"

LONGEST_NAME = 100
"""Characters of a header's name; no known one comes near it."""

LONGEST_VALUE = 256
"""Bytes of a header's value that are looked at; no known one comes near it."""

MOST_FAMILIES = 16
"""Families kept from one answer; real ones carry one to three."""

_WINDOW_PARTS = ("used-percent", "window-minutes", "reset-at", "reset-after-seconds")
_POSITIONS = ("primary", "secondary")
_FAMILY_PARTS = (
    *(f"{position}-{part}" for position in _POSITIONS for part in _WINDOW_PARTS),
    "primary-over-secondary-limit-percent",
    "limit-name",
)
_STABLE_PARTS = tuple(part for part in _FAMILY_PARTS if not part.endswith("reset-after-seconds"))
_AFTER_PARTS = tuple(f"{position}-reset-after-seconds" for position in _POSITIONS)
_ANSWER_PARTS = (
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
)
_BODY = "(body)"
"""Stands where a field's family would: the header tells what the body is."""

_FAMILY = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}", re.ASCII)


class Field(NamedTuple):
    """What a header's name says: its family (``""`` for the plain one, None for the answer as a whole) and part.

    A family is written with ``_``, as in limit ids.
    """

    name: str
    family: str | None
    part: str


@dataclass(slots=True)
class Found:
    """What is wanted of an answer's headers: the rate-limit fields, and what its body is.

    ``answer`` holds the parts that speak of the answer as a whole, ``families`` those of each family, ``raw`` all of
    them by their names.
    """

    answer: dict[str, object] = field(default_factory=dict)
    families: dict[str, dict[str, object]] = field(default_factory=dict)
    raw: dict[str, object] = field(default_factory=dict)
    content_type: str = ""
    content_encoding: str = ""

    def add(self, known: Field, value: object) -> None:
        """Take a field in; of a repeated one, or a family written in two ways, the first stands."""
        if known.name not in self.raw:
            self.raw[known.name] = value
            parts = self.answer if known.family is None else self.families.setdefault(known.family, {})
            parts.setdefault(known.part, value)


def collect(fields: Iterable[tuple[bytes, bytes]]) -> Found:
    """Pick what is wanted out of an answer's headers, in one pass; of a repeated one the first stands, as for Codex."""
    found = Found()
    for name, value in fields:
        known = _known(name)
        if known is None:
            continue
        text = value[:LONGEST_VALUE].decode("utf-8", "replace")
        if known.family is not _BODY:
            found.add(known, text)
        elif known.part == "content-type":
            found.content_type = found.content_type or text
        else:
            found.content_encoding = found.content_encoding or text
    return found


def collect_mapping(mapping: Mapping[str, object]) -> Found:
    """Pick them out of the ``headers`` of a websocket error, whose values may be numbers and booleans."""
    found = Found()
    for name, value in mapping.items():
        known = _known(name.encode("utf-8", "replace"))
        if known and known.family is not _BODY and isinstance(value, str | int | float):
            found.add(known, value)
    return found


def read(found: Found, observed_at: float) -> Reading | None:
    """Return what collected headers say, or None where they say nothing of limits.

    `observed_at` is when the answer was seen, in Unix seconds.
    """
    if not found.raw:
        return None
    facts = _facts(*map(found.answer.get, _ANSWER_PARTS))
    families = dict(found.families)
    active = _active_family(facts.active_limit, families)
    # The limit that was charged comes first: it is the last to be left out.
    charged = active or ""
    kept = sorted(families, key=lambda family: family != charged)[:MOST_FAMILIES]
    told = [_limit(family, families[family], observed_at) for family in kept]
    reading = Reading(
        limits=_with_verdict([limit for limit, _ in told if tells(limit)], limit_id(charged), facts.verdict),
        active_limit=limit_id(charged),
        plan_type=facts.plan_type,
        credits=facts.credits,
        reset_credits=facts.reset_credits,
        promo=facts.promo,
        server_time=next((server_time for _, server_time in told if server_time), None),
        left_out=len(families) - len(kept),
        raw=_raw(found.raw, None if len(families) == len(kept) else {"", *kept}),
    )
    return reading if says_anything(reading) else None


def tells(limit: Limit) -> bool:
    """Tell whether a limit is more than its id."""
    told = (limit.windows, limit.limit_name, limit.allowed, limit.limit_reached, limit.reached_type)
    return any(value is not None for value in told)


def says_anything(reading: Reading) -> bool:
    """Tell whether a reading holds a limit or a fact of the account."""
    facts = (reading.plan_type, reading.credits, reading.reset_credits, reading.spend_control_reached)
    return bool(reading.limits or reading.promo) or any(fact is not None for fact in facts)


def limit_id(family: str) -> str:
    """Return the limit id of a family: ``codex`` for the plain one, ``codex_bengalfox`` for ``bengalfox``."""
    return f"{MAIN_LIMIT}_{family}" if family else MAIN_LIMIT


@lru_cache(maxsize=1024)
def _known(name: bytes) -> Field | None:
    """Return what a header's name says, or None for one that is not wanted."""
    lower = name[: LONGEST_NAME + 1].decode("latin-1").lower()
    if lower in {"content-type", "content-encoding"}:
        return Field(lower, _BODY, lower)
    if len(lower) > LONGEST_NAME or not lower.startswith(PREFIX):
        return None
    return _rate_limit_field(lower, lower[len(PREFIX) :])


def _rate_limit_field(name: str, rest: str) -> Field | None:
    if rest in _ANSWER_PARTS:
        return Field(name, None, rest)
    for part in _FAMILY_PARTS:
        if rest == part:
            return Field(name, "", part)
        family = rest.removesuffix(f"-{part}")
        if family != rest and _FAMILY.fullmatch(family):
            return Field(name, family.replace("-", "_"), part)
    return None


def _active_family(named: str | None, families: dict[str, dict[str, object]]) -> str | None:
    """Return the family of which the plain one is a copy, and drop the copy.

    An active family that brings no windows of its own gets the plain ones.
    """
    for family, parts in families.items():
        if family and named in (limit_id(family), family):
            plain = families.pop("", {})
            if not any(part.startswith(_POSITIONS) for part in parts):
                families[family] = {**plain, **parts}
            return family
    return None


def _limit(family: str, parts: Mapping[str, object], observed_at: float) -> tuple[Limit, float | None]:
    """Return a family's limit and the server's own time, where one of its windows tells it."""
    stable = _stable(family, *map(parts.get, _STABLE_PARTS))
    if stable.limit:
        resets = [
            values.reset(at, parts.get(part), observed_at)
            for at, part in zip(stable.resets_at, _AFTER_PARTS, strict=True)
        ]
        if [reset.resets_at for reset in resets] == stable.resets_at:
            return stable.limit, resets[0].server_time or resets[1].server_time
    primary, secondary = (_window(position, parts, observed_at) for position in _POSITIONS)
    windows = normalize(primary.window, secondary.window, observed_at)
    limit = Limit(
        limit_id=limit_id(family),
        limit_name=values.text(parts.get("limit-name")),
        windows=windows if primary.readable or secondary.readable else None,
    )
    return limit, primary.server_time or secondary.server_time


def _window(position: str, parts: Mapping[str, object], observed_at: float) -> values.Told:
    used, length, at, after = (parts.get(f"{position}-{part}") for part in _WINDOW_PARTS)
    return values.window(used, length, at, after, observed_at)


class _Stable(NamedTuple):
    """A family as it stands from answer to answer: its limit, and when each position resets.

    The limit is None where it depends on the moment: a reset that is told as a span alone, a length that is not told.
    """

    limit: Limit | None
    resets_at: list[int | None]


@lru_cache(maxsize=values.CACHE_SIZE, typed=True)
def _stable(family: str, *told: object) -> _Stable:
    """Read the parts of a family that stay while reset-after counts down: nearly every answer has them again."""
    parts = dict(zip(_STABLE_PARTS, told, strict=True))
    windows = [_window(position, parts, 0.0).window for position in _POSITIONS]
    there = [window for window in windows if window]
    if not there or any(window.window_minutes is None or window.resets_at is None for window in there):
        return _Stable(None, [])
    limit = Limit(
        limit_id=limit_id(family),
        limit_name=values.text(parts["limit-name"]),
        windows=normalize(windows[0], windows[1]),
    )
    return _Stable(limit, [window.resets_at if window else None for window in windows])


class _Facts(NamedTuple):
    """What the headers say of the answer as a whole."""

    active_limit: str | None
    verdict: dict[str, object]
    credits: Credits | None
    plan_type: str | None
    promo: str | None
    reset_credits: int | None


@lru_cache(maxsize=values.CACHE_SIZE, typed=True)
def _facts(*told: object) -> _Facts:
    """Read the parts that speak of the answer as a whole."""
    active, allowed, balance, has_credits, unlimited, limit_reached, plan, promo, reached_type, reset_credits = told
    verdict: dict[str, object] = {
        "allowed": values.flag(allowed),
        "limit_reached": values.flag(limit_reached),
        "reached_type": values.text(reached_type),
    }
    return _Facts(
        active_limit=values.limit_id(active),
        verdict=verdict if any(value is not None for value in verdict.values()) else {},
        credits=_credits(values.flag(has_credits), values.flag(unlimited), values.decimal(balance)),
        plan_type=values.text(plan),
        promo=values.text(promo),
        reset_credits=values.count(reset_credits),
    )


def _with_verdict(limits: list[Limit], charged: str, verdict: dict[str, object]) -> tuple[Limit, ...]:
    """Say of the active limit what the answer says of being allowed or refused."""
    if not verdict:
        return tuple(limits)
    if all(limit.limit_id != charged for limit in limits):
        limits = [Limit(limit_id=charged), *limits]
    return tuple(limit.model_copy(update=verdict) if limit.limit_id == charged else limit for limit in limits)


def _credits(has_credits: bool | None, unlimited: bool | None, balance: str | None) -> Credits | None:
    if has_credits is None and unlimited is None and balance is None:
        return None
    return Credits(has_credits=has_credits, unlimited=unlimited, balance=balance)


def _raw(found: Mapping[str, object], kept: set[str] | None) -> dict[str, object]:
    """Return what may be kept of the headers; of the families, those of `kept` or all."""
    if kept is not None:
        fields = {name: _known(name.encode("latin-1")) for name in found}
        found = {
            name: found[name]
            for name, field in fields.items()
            if field and (field.family is None or field.family in kept)
        }
    return dict(zip(found, map(values.raw, found.values()), strict=True))
