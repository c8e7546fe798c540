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
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from addon import coerce
from addon.coerce import MAX_FAMILIES
from addon.memory import LONGEST, Memory
from addon.raw_fields import clean_raw
from addon.windows import normalize
from store.constants import MAIN_LIMIT
from store.models import Credits, Limit, RateLimits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


PREFIX = "x-codex-"

MAX_NAME_LENGTH = 100
"""Characters of a header's name; no known one comes near it."""

_WINDOW_PARTS = ("used-percent", "window-minutes", "reset-at", "reset-after-seconds")
_POSITIONS = ("primary", "secondary")
_FAMILY_PARTS = (
    *(f"{position}-{part}" for position in _POSITIONS for part in _WINDOW_PARTS),
    "primary-over-secondary-limit-percent",
    "limit-name",
)
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
_REMEMBERED_PLANS = 64
_REMEMBERED_SHAPES = 16
_REMEMBERED_RESETS = 16
"""How many sets of headers are remembered, kinds of answers of each, and resets of each kind."""

_BODY_PARTS = ("content-type", "content-encoding")
_BODY = "(body)"
"""Stands where a field's family would: the header tells what the body is."""

# Not `zip`: it makes an object for each header, and what brings the garbage collector to run is objects at once.
NAME, VALUE = itemgetter(0), itemgetter(1)
"""Name and value of a header as mitmproxy keeps it."""

_FAMILY = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}", re.ASCII)


class Field(NamedTuple):
    """What a header's name says: its family (``""`` for the plain one, None for the answer as a whole) and part.

    A family is written with ``_``, as in limit ids. A field that `moves` tells when a window resets: it counts down, or
    slides on, while all others are those of the answer before.
    """

    name: str
    family: str | None
    part: str
    moves: bool = False


class HeaderFields(NamedTuple):
    """What is wanted of an answer's headers, as it came and as the `plan` picks it."""

    plan: Plan
    told: tuple[Any, ...]

    @property
    def content_type(self) -> bytes:
        """What the body is, ``b""`` where that is not told."""
        return self.told[-2]  # type: ignore[no-any-return]

    @property
    def content_encoding(self) -> bytes:
        """How the body is compressed, ``b""`` where that is not told."""
        return self.told[-1]  # type: ignore[no-any-return]


def collect(fields: Sequence[tuple[bytes, bytes]]) -> HeaderFields:
    """Pick what is wanted out of an answer's headers; of a repeated one the first stands, as for Codex."""
    plan = _plans.find(tuple(map(NAME, fields)))
    return HeaderFields(plan, plan.pick((*map(VALUE, fields), b"")))


def collect_mapping(mapping: Mapping[str, object]) -> HeaderFields:
    """Pick them out of the ``headers`` of a websocket error, whose values may be numbers and booleans."""
    plan = Plan(tuple(name.encode("utf-8", "replace") for name in mapping))
    told = (value if isinstance(value, str | int | float) else None for value in mapping.values())
    return HeaderFields(plan, plan.pick((*told, b"")))


def billed_limit_id(found: HeaderFields) -> str:
    """Return the id of the limit that the request was charged to."""
    shape = found.plan.shape(found.told)
    return shape.charged if shape else MAIN_LIMIT


def read(found: HeaderFields, observed_at: float) -> RateLimits | None:
    """Return what collected headers say, or None where they say nothing of limits.

    `observed_at` is when the answer was seen, in Unix seconds.
    """
    shape = found.plan.shape(found.told)
    if shape is None:
        return None
    latest, moving = shape.latest, found.plan.moving(found.told)
    if latest and latest.moving == moving and latest.since <= observed_at <= latest.until:
        return latest.reading
    texts = dict(zip(found.plan.moving_names, map(_text, moving), strict=True))
    resets = [
        coerce.reset(texts.get(position.at), texts.get(position.after), observed_at)
        for family in shape.families
        for position in family.positions
    ]
    reading, is_timeless = shape.reading([reset.resets_at for reset in resets], observed_at)
    if reading is None:
        return None
    raw = {**shape.raw, **{name: clean_raw(value) for name, value in texts.items() if name in shape.raw}}
    server_time = coerce.server_time((reset.server_time for reset in resets), observed_at)
    reading = reading.model_copy(update={"server_time": server_time, "raw": raw})
    shape.latest = _latest(moving, reading, resets, observed_at) if is_timeless else None
    return reading


def _latest(
    moving: tuple[object, ...], reading: RateLimits, resets: Sequence[coerce.Reset], observed_at: float
) -> _Latest | None:
    """Remember a reading for as long as the very same headers say the same; None where that depends on the moment."""
    times = [reset.server_time for reset in resets if reset.resets_at is not None]
    known = [time for time in times if time is not None]
    if not known or len(known) < len(times):
        return None
    since, until = max(known) - coerce.SKEW_SECONDS, min(known) + coerce.SKEW_SECONDS
    return _Latest(moving, reading, since, until) if since <= observed_at <= until else None


def _is_timeless(reading: RateLimits) -> bool:
    """Tell whether all windows are of known length: the slot of another depends on the moment."""
    return all(window.window_minutes for limit in reading.limits for window in (limit.windows or {}).values())


def has_content(limit: Limit) -> bool:
    """Tell whether a limit is more than its id."""
    told = (limit.windows, limit.limit_name, limit.allowed, limit.limit_reached, limit.reached_type)
    return any(value is not None for value in told)


def is_not_empty(reading: RateLimits) -> bool:
    """Tell whether a reading holds a limit or a fact of the account."""
    facts = (reading.plan_type, reading.credits, reading.reset_credits, reading.spend_control_reached)
    return bool(reading.limits or reading.promo) or any(fact is not None for fact in facts)


def limit_id(family: str) -> str:
    """Return the limit id of a family: ``codex`` for the plain one, ``codex_bengalfox`` for ``bengalfox``."""
    return f"{MAIN_LIMIT}_{family}" if family else MAIN_LIMIT


@lru_cache(maxsize=1024)
def _known(name: bytes) -> Field | None:
    """Return what a header's name says, or None for one that is not wanted."""
    lower = name[: MAX_NAME_LENGTH + 1].decode("latin-1").lower()
    if lower in _BODY_PARTS:
        return Field(lower, _BODY, lower)
    if len(lower) > MAX_NAME_LENGTH or not lower.startswith(PREFIX):
        return None
    return _rate_limit_field(lower, lower[len(PREFIX) :])


def _rate_limit_field(name: str, rest: str) -> Field | None:
    if rest in _ANSWER_PARTS:
        return Field(name, None, rest)
    for part in _FAMILY_PARTS:
        moves = part.endswith(("reset-at", "reset-after-seconds"))
        if rest == part:
            return Field(name, "", part, moves)
        family = rest.removesuffix(f"-{part}")
        if family != rest and _FAMILY.fullmatch(family):
            return Field(name, family.replace("-", "_"), part, moves)
    return None


class _Position(NamedTuple):
    """A window of a family: its figures, and the names of the headers that tell when it resets."""

    figures: coerce.ParsedFigures
    at: str
    after: str


class _Family(NamedTuple):
    """A limit but for when its windows reset."""

    limit_id: str
    limit_name: str | None
    positions: tuple[_Position, ...]


class _Latest(NamedTuple):
    """The reading of the answer before, and between which moments the same headers give the same one."""

    moving: tuple[object, ...]
    reading: RateLimits
    since: float
    until: float


@dataclass
class _Shape:
    """What an answer's headers say but for when the windows reset."""

    families: list[_Family]
    charged: str
    verdict: dict[str, object]
    plan_type: str | None
    credits: Credits | None
    reset_credits: int | None
    promo: str | None
    left_out: int
    raw: dict[str, object]
    latest: _Latest | None = None
    _readings: dict[tuple[int | None, ...], RateLimits | None] = field(default_factory=dict)

    def reading(self, resets: list[int | None], observed_at: float) -> tuple[RateLimits | None, bool]:
        """Return the reading for when its windows reset, position by position, and whether it is so at any moment.

        None is for one that says nothing. Nearly always it is the one of before.
        """
        key = tuple(resets)
        if key in self._readings:
            return self._readings[key], True
        made = self._make(resets, observed_at)
        reading = made if is_not_empty(made) else None
        is_timeless = _is_timeless(made)
        if is_timeless:
            if len(self._readings) >= _REMEMBERED_RESETS:
                self._readings.clear()
            self._readings[key] = reading
        return reading, is_timeless

    def _make(self, resets: list[int | None], observed_at: float) -> RateLimits:
        return RateLimits(
            limits=self._limits(iter(resets), observed_at),
            active_limit=self.charged,
            plan_type=self.plan_type,
            credits=self.credits,
            reset_credits=self.reset_credits,
            promo=self.promo,
            left_out=self.left_out,
        )

    def _limits(self, resets: Iterator[int | None], observed_at: float) -> tuple[Limit, ...]:
        limits: list[Limit] = []
        for family in self.families:
            windows = [position.figures.window(next(resets)) for position in family.positions]
            readable = any(windows) or any(position.figures.readable for position in family.positions)
            limit = Limit(
                limit_id=family.limit_id,
                limit_name=family.limit_name,
                windows=normalize(windows[0], windows[1], observed_at) if readable else None,
            )
            if has_content(limit):
                limits.append(limit)
        return self._with_verdict(limits)

    def _with_verdict(self, limits: list[Limit]) -> tuple[Limit, ...]:
        """Say of the charged limit what the answer says of being allowed or refused."""
        if not any(value is not None for value in self.verdict.values()):
            return tuple(limits)
        if all(limit.limit_id != self.charged for limit in limits):
            limits = [Limit(limit_id=self.charged), *limits]
        return tuple(
            limit.model_copy(update=self.verdict) if limit.limit_id == self.charged else limit for limit in limits
        )


class Plan:
    """Where in an answer's headers the wanted ones stand; nearly all answers of a server have the same names.

    The values are picked without a loop of ours, and what the steady ones say is remembered.
    """

    def __init__(self, names: tuple[bytes, ...]) -> None:
        """Take the names of all headers, in their order."""
        places: dict[Field, int] = {}
        for place, name in enumerate(names):
            known = _known(name)
            if known:
                places.setdefault(known, place)
        body = {known.part: places.pop(known) for known in list(places) if known.family is _BODY}
        self._fields = tuple(places)
        self._steady = [known for known in places if not known.moves]
        moving = [known for known in places if known.moves]
        self.moving_names = [known.name for known in moving]
        self.has_limits = bool(places)
        bodies = (body.get(part, len(names)) for part in _BODY_PARTS)
        self.pick = itemgetter(*(places[known] for known in (*self._steady, *moving)), *bodies)
        """Picks the wanted values: those that stay, those that move, and what the body is.

        It takes the values of all headers and, behind the last, what stands for "not there".
        """
        self._shapes: Memory[_Shape] = Memory(self._shape, _REMEMBERED_SHAPES)

    def shape(self, told: tuple[object, ...]) -> _Shape | None:
        """Return what the values say that stay, or None where there is no rate-limit field at all."""
        return self._shapes.find(told[: len(self._steady)]) if self.has_limits else None

    def moving(self, told: tuple[object, ...]) -> tuple[object, ...]:
        """Return the values that tell when a window resets."""
        return told[len(self._steady) : -len(_BODY_PARTS)]

    def _shape(self, steady: tuple[object, ...]) -> _Shape:
        # Those that move stand in their places, too: the order of the families is that of all fields.
        return _shape({**dict.fromkeys(self._fields), **dict(zip(self._steady, steady, strict=True))})


_plans: Memory[Plan] = Memory(Plan, _REMEMBERED_PLANS)


def _text(value: object) -> Any:
    """Return the text of a header's value; what JSON told stays as it is."""
    return value[:LONGEST].decode("utf-8", "replace") if isinstance(value, bytes) else value


def _shape(found: Mapping[Field, object]) -> _Shape:
    """Read the headers but for the values of those that move."""
    told = {known: _text(value) for known, value in found.items()}
    answer = {known.part: value for known, value in told.items() if known.family is None}
    families = _by_family(told)
    active = _active_family(coerce.limit_id(answer.get("active-limit")), families)
    # The limit that was charged comes first: it is the last to be left out.
    charged = active or ""
    kept = sorted(families, key=lambda family: family != charged)[:MAX_FAMILIES]
    shown = {None, "", *kept}
    return _Shape(
        families=[_family(family, families[family]) for family in kept],
        charged=limit_id(charged),
        verdict={
            "allowed": coerce.flag(answer.get("allowed")),
            "limit_reached": coerce.flag(answer.get("limit-reached")),
            "reached_type": coerce.text(answer.get("rate-limit-reached-type")),
        },
        plan_type=coerce.text(answer.get("plan-type")),
        credits=_credits(answer),
        reset_credits=coerce.count(answer.get("rate-limit-reset-credits-available")),
        promo=coerce.text(answer.get("promo-message")),
        left_out=len(families) - len(kept),
        raw={known.name: clean_raw(value) for known, value in told.items() if known.family in shown},
    )


def _by_family(found: Mapping[Field, object]) -> dict[str, dict[str, tuple[str, object]]]:
    """Return name and value of each part by family; of a family that is written in two ways the first stands."""
    families: dict[str, dict[str, tuple[str, object]]] = {}
    for known, value in found.items():
        if known.family is not None:
            families.setdefault(known.family, {}).setdefault(known.part, (known.name, value))
    return families


def _active_family(named: str | None, families: dict[str, dict[str, tuple[str, object]]]) -> str | None:
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


def _family(family: str, parts: Mapping[str, tuple[str, object]]) -> _Family:
    def position(place: str) -> _Position:
        used, length, at, after = (parts.get(f"{place}-{part}", ("", None)) for part in _WINDOW_PARTS)
        return _Position(coerce.figures(used[1], length[1]), at[0], after[0])

    name = coerce.text(parts.get("limit-name", ("", None))[1])
    return _Family(limit_id(family), name, tuple(map(position, _POSITIONS)))


def _credits(answer: Mapping[str, object]) -> Credits | None:
    has_credits = coerce.flag(answer.get("credits-has-credits"))
    unlimited = coerce.flag(answer.get("credits-unlimited"))
    balance = coerce.decimal(answer.get("credits-balance"))
    if has_credits is None and unlimited is None and balance is None:
        return None
    return Credits(has_credits=has_credits, unlimited=unlimited, balance=balance)
