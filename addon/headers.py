"""``x-codex-*`` response headers → `RateLimits`.

Facts of live responses (all seen or reported on 200, 101 and 429 alike):

- Fields of one limit share a family: ``x-codex-primary-…`` is the plain family, ``x-codex-bengalfox-primary-…`` the
  family of the limit ``codex_bengalfox``, whose name is in ``x-codex-bengalfox-limit-name``. A family is a limit's id
  with ``-`` for ``_``, and need not begin with ``codex``: ``x-base-model-inference-primary-…``. Codex takes any
  ``x-…-primary-used-percent`` for one.
- The plain family is whatever limit is active. Where ``x-codex-active-limit`` names a family that is present, the plain
  one is its copy and says nothing of the main limit; where it names none of them (``premium``), the plain family is the
  main limit. The name decides, never equal numbers.
- "No such window" is written as used 0, minutes 0 and an empty or missing reset.
- The ``x-codex-`` prefix also carries session state: only the fields named here are read and stored. Of others that
  look like a limit the name is counted (`addon.unknown_fields`).

Consecutive responses carry nearly the same headers: only the countdowns to the resets differ. So two results are
cached, the static part of a header set and its rate limits by the times of their resets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from addon.header_names import HeaderLayouts, HeaderNames
from addon.raw_fields import clean_raw
from addon.unknown_fields import MAX_UNKNOWN, is_unknown_header
from store import coerce
from store.coerce import MAX_FAMILIES
from store.constants import MAIN_LIMIT, MAIN_NAMES
from store.models import Credits, Limit, RateLimits
from store.windows import normalize

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


MAX_VALUE_LENGTH = 256
"""Bytes of a header's value that are read; every known one is much shorter."""

MAX_CACHED_FIELDS = 150
"""Fields of a header set that is cached; real responses have about thirty."""

_CACHED_SETS = 64
_CACHED_RESETS = 256

_WINDOW_PARTS = ("used-percent", "window-minutes", "reset-at", "reset-after-seconds")
_POSITIONS = ("primary", "secondary")
_FAMILY_PARTS = (
    *(f"{position}-{part}" for position in _POSITIONS for part in _WINDOW_PARTS),
    "primary-over-secondary-limit-percent",
    "limit-name",
)
_RESPONSE_PARTS = frozenset(
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
_UNKNOWN_PART = "?"
_PREFIX = "x-"
_RESPONSE_PREFIX = "x-codex-"
_PART_ENDINGS = tuple(f"-{part}" for part in _FAMILY_PARTS)
_FAMILY = re.compile(r"(?=[a-z0-9])[a-z0-9_]+(?:-[a-z0-9_]+)*", re.ASCII)
_CODEX_FAMILIES = f"{MAIN_LIMIT}_"

MAX_FAMILY_LENGTH = 46
"""Characters of a family's name; every known one is much shorter."""


class Field(NamedTuple):
    """A wanted header: its lower-case name, its family (``""``: the plain one; None: the whole response) and its part.

    A family is the id of its limit, written with ``_``. ``is_reset`` is true for the time of a reset, which differs
    from response to response. The part of an unknown field that looks like a limit is `_UNKNOWN_PART`.
    """

    name: str
    family: str | None
    part: str
    is_reset: bool = False


_CONTENT_TYPE = Field("content-type", None, "content-type")
_CONTENT_ENCODING = Field("content-encoding", None, "content-encoding")
_BODY_FIELDS = {field.name: field for field in (_CONTENT_TYPE, _CONTENT_ENCODING)}


@dataclass
class HeaderFields:
    """The wanted headers of a response, as they came: the rate-limit fields, and the type and encoding of the body.

    An unknown field that looks like a limit comes without its value.
    """

    limits: Sequence[tuple[bytes, bytes]]
    content_type: bytes = b""
    content_encoding: bytes = b""

    @cached_property
    def texts(self) -> Mapping[Field, str]:
        """The values of the rate-limit fields; the first of a repeated header counts, as for Codex."""
        texts: dict[Field, str] = {}
        for name, value in self.limits:
            field = _FIELDS[name]
            if field is not None and field not in texts:
                texts[field] = value[:MAX_VALUE_LENGTH].decode("utf-8", "replace")
        return texts

    @cached_property
    def static_part(self) -> _StaticPart:
        """The rate limits without the resets of the windows."""
        fields, values = _static_fields(self.texts)
        return _cached_static(fields, values) if len(fields) <= MAX_CACHED_FIELDS else _parse_static(fields, values)


def collect(fields: Sequence[tuple[bytes, bytes]]) -> HeaderFields:
    """Select the wanted headers of a response.

    This runs on the event loop, with cold CPU caches: it only selects, and touches no value. The values are parsed on
    the recorder's thread.
    """
    limits_at, unknown, type_at, encoding_at = _LAYOUTS[tuple([header[0] for header in fields])]
    limits = [fields[at] for at in limits_at]
    for place, header in unknown:
        limits[place] = header
    return HeaderFields(
        limits,
        b"" if type_at is None else fields[type_at][1],
        b"" if encoding_at is None else fields[encoding_at][1],
    )


def _classify(name: bytes) -> Field | None:
    lower = name.decode("latin-1").lower()
    if not lower.startswith(_PREFIX):
        return _BODY_FIELDS.get(lower)
    if lower.startswith(_RESPONSE_PREFIX) and lower[len(_RESPONSE_PREFIX) :] in _RESPONSE_PARTS:
        return Field(lower, None, lower[len(_RESPONSE_PREFIX) :])
    if lower.endswith(_PART_ENDINGS):
        part = next(part for part in _FAMILY_PARTS if lower.endswith(f"-{part}"))
        family = lower[len(_PREFIX) : -len(part) - 1]
        if len(family) <= MAX_FAMILY_LENGTH and _FAMILY.fullmatch(family):
            family = family.replace("-", "_")
            is_reset = part.endswith(("reset-at", "reset-after-seconds"))
            return Field(lower, "" if family in MAIN_NAMES else family, part, is_reset)
    return Field(lower, None, _UNKNOWN_PART) if is_unknown_header(lower) else None


_FIELDS = HeaderNames(_classify)


class _ResponseLayout(NamedTuple):
    """Where the rate-limit fields and the headers of the body stand among all headers of a response.

    ``unknown`` has the place of each unknown field among the rate-limit fields, with the header as it is shown.
    """

    limits_at: tuple[int, ...]
    unknown: tuple[tuple[int, tuple[bytes, bytes]], ...]
    type_at: int | None
    encoding_at: int | None


def _layout(names: tuple[bytes, ...]) -> _ResponseLayout:
    fields = [_FIELDS[name] for name in names]
    limits = [(at, field) for at, field in enumerate(fields) if field and field.name not in _BODY_FIELDS]
    return _ResponseLayout(
        tuple([at for at, _ in limits]),
        tuple([(place, (names[at], b"")) for place, (at, field) in enumerate(limits) if field.part is _UNKNOWN_PART]),
        _first(_CONTENT_TYPE, fields),
        _first(_CONTENT_ENCODING, fields),
    )


def _first(field: Field, fields: list[Field | None]) -> int | None:
    return fields.index(field) if field in fields else None


_LAYOUTS = HeaderLayouts(_layout)


def read(found: HeaderFields, observed_at: float) -> RateLimits | None:
    """Parse collected headers; None if they contain no rate limits.

    `observed_at` is when the response was seen, in Unix seconds.
    """
    return _rate_limits(found.static_part, found.texts, observed_at) if found.limits else None


def read_mapping(mapping: Mapping[str, object], observed_at: float) -> RateLimits | None:
    """Parse the ``headers`` of a websocket error, whose values may be numbers and truth values."""
    values: dict[Field, object] = {}
    for name, value in mapping.items():
        field = _FIELDS[name.encode("utf-8", "replace")]
        if field is None or field.name in _BODY_FIELDS:
            continue
        is_known = field.part is not _UNKNOWN_PART and isinstance(value, str | int | float)
        values.setdefault(field, value if is_known else None)
    # Not from the cache, whose keys do not tell True from 1.
    return _rate_limits(_parse_static(*_static_fields(values)), values, observed_at) if values else None


def billed_limit_id(found: HeaderFields) -> str:
    """Return the id of the limit that the request was charged to."""
    return found.static_part.billed_limit_id if found.limits else MAIN_LIMIT


def has_content(limit: Limit) -> bool:
    """Return True if a limit is more than its id, or the name that the id was made from."""
    name = None if limit.by_name else limit.limit_name
    parts = (limit.windows, name, limit.allowed, limit.limit_reached, limit.reached_type)
    return any(value is not None for value in parts)


def is_empty(reading: RateLimits) -> bool:
    """Return True if a message has neither a limit nor a fact of the account nor an unknown field."""
    facts = (
        reading.plan_type,
        reading.credits,
        reading.reset_credits,
        reading.spend_control_reached,
        reading.model_usage,
    )
    return not (reading.limits or reading.promo or reading.unknown_fields) and all(fact is None for fact in facts)


def _limit_id(family: str) -> str:
    return family or MAIN_LIMIT


class _Position(NamedTuple):
    """A window of a family without its reset, and the headers with the reset."""

    figures: coerce.ParsedFigures
    at: Field | None
    after: Field | None


class _Family(NamedTuple):
    """A limit without the resets of its windows."""

    limit_id: str
    limit_name: str | None
    positions: tuple[_Position, _Position]


@dataclass(frozen=True, eq=False)
class _StaticPart:
    """The rate limits of a header set without the resets of the windows. Hashed by identity, as a key of the cache."""

    families: tuple[_Family, ...]
    billed_limit_id: str
    verdict: Mapping[str, object]
    plan_type: str | None
    credits: Credits | None
    reset_credits: int | None
    promo: str | None
    left_out: int
    unknown_fields: tuple[str, ...]
    raw: Mapping[Field, object]

    @cached_property
    def positions(self) -> tuple[_Position, ...]:
        """The windows of all families, in order."""
        return tuple(position for family in self.families for position in family.positions)


def _static_fields(values: Mapping[Field, object]) -> tuple[tuple[Field, ...], tuple[object, ...]]:
    """Return all fields and their values, those of resets as None."""
    return tuple(values), tuple([None if field.is_reset else value for field, value in values.items()])


def _rate_limits(static: _StaticPart, values: Mapping[Field, object], observed_at: float) -> RateLimits | None:
    """Complete a static part by the resets of its windows."""
    positions = static.positions
    resets = [
        coerce.reset(position.at and values[position.at], position.after and values[position.after], observed_at)
        for position in positions
    ]
    times = tuple([reset.resets_at for reset in resets])
    # The slot of a window of unknown length depends on the time until its reset.
    depends_on_time = any(
        time is not None and position.figures.window_minutes is None
        for time, position in zip(times, positions, strict=True)
    )
    limits = _limits_by_resets(static, times, observed_at if depends_on_time else None)
    if limits is None:
        return None
    raw = {field.name: clean_raw(values[field]) if field.is_reset else text for field, text in static.raw.items()}
    server_time = coerce.server_time((reset.server_time for reset in resets), observed_at)
    return limits.model_copy(update={"server_time": server_time, "raw": raw})


@lru_cache(maxsize=_CACHED_RESETS)
def _limits_by_resets(
    static: _StaticPart, times: tuple[int | None, ...], observed_at: float | None
) -> RateLimits | None:
    """Return the rate limits for these resets, position by position; None if there are none."""
    made = RateLimits(
        limits=_limits(static, times, observed_at),
        active_limit=static.billed_limit_id,
        plan_type=static.plan_type,
        credits=static.credits,
        reset_credits=static.reset_credits,
        promo=static.promo,
        left_out=static.left_out,
        unknown_fields=static.unknown_fields,
    )
    return None if is_empty(made) else made


def _limits(static: _StaticPart, times: Sequence[int | None], observed_at: float | None) -> tuple[Limit, ...]:
    limits: list[Limit] = []
    resets = iter(times)
    for family in static.families:
        windows = [position.figures.window(next(resets)) for position in family.positions]
        readable = any(windows) or any(position.figures.readable for position in family.positions)
        limit = Limit(
            limit_id=family.limit_id,
            limit_name=family.limit_name,
            windows=normalize(windows[0], windows[1], observed_at) if readable else None,
        )
        if has_content(limit):
            limits.append(limit)
    return _with_verdict(limits, static)


def _with_verdict(limits: list[Limit], static: _StaticPart) -> tuple[Limit, ...]:
    """Add to the billed limit whether the response calls it allowed or reached."""
    if all(value is None for value in static.verdict.values()):
        return tuple(limits)
    billed = static.billed_limit_id
    if all(limit.limit_id != billed for limit in limits):
        limits = [Limit(limit_id=billed), *limits]
    return tuple(limit.model_copy(update=static.verdict) if limit.limit_id == billed else limit for limit in limits)


def _parse_static(fields: tuple[Field, ...], static_values: tuple[object, ...]) -> _StaticPart:
    """Parse the fields but for those of resets, which come without a value."""
    values = dict(zip(fields, static_values, strict=True))
    response = {field.part: value for field, value in values.items() if field.family is None}
    families = _by_family(fields)
    active = _active_family(coerce.limit_id(response.get("active-limit")), families)
    families = {family: parts for family, parts in families.items() if family == active or _is_limit(family, parts)}
    # The limit that was charged comes first: it is the last to be left out.
    billed = active or ""
    chosen = sorted(families, key=lambda family: family != billed)[:MAX_FAMILIES]
    shown = {None, "", *chosen}
    return _StaticPart(
        families=tuple(_family(family, families[family], values) for family in chosen),
        billed_limit_id=_limit_id(billed),
        verdict={
            "allowed": coerce.flag(response.get("allowed")),
            "limit_reached": coerce.flag(response.get("limit-reached")),
            "reached_type": coerce.text(response.get("rate-limit-reached-type")),
        },
        plan_type=coerce.text(response.get("plan-type")),
        credits=_credits(response),
        reset_credits=coerce.count(response.get("rate-limit-reset-credits-available")),
        promo=coerce.text(response.get("promo-message")),
        left_out=len(families) - len(chosen),
        unknown_fields=tuple([field.name for field in values if field.part is _UNKNOWN_PART][:MAX_UNKNOWN]),
        raw={
            field: clean_raw(value)
            for field, value in values.items()
            if field.family in shown and field.part is not _UNKNOWN_PART
        },
    )


_cached_static = lru_cache(maxsize=_CACHED_SETS)(_parse_static)


def _by_family(fields: Iterable[Field]) -> dict[str, dict[str, Field]]:
    """Return the field of each part by family; of a family that is spelled in two ways the first field counts."""
    families: dict[str, dict[str, Field]] = {}
    for field in fields:
        if field.family is not None:
            families.setdefault(field.family, {}).setdefault(field.part, field)
    return families


def _is_limit(family: str, parts: Mapping[str, Field]) -> bool:
    """Return True if a family is a limit; outside of ``x-codex-`` by Codex's own test, for other headers end alike."""
    return not family or family.startswith(_CODEX_FAMILIES) or "primary-used-percent" in parts


def _active_family(named: str | None, families: dict[str, dict[str, Field]]) -> str | None:
    """Return the family of which the plain one is a copy, and drop the copy.

    An active family that brings no windows of its own gets the plain ones.
    """
    for family, parts in families.items():
        if family and named in (family, family.removeprefix(_CODEX_FAMILIES)):
            plain = families.pop("", {})
            if not any(part.startswith(_POSITIONS) for part in parts):
                families[family] = {**plain, **parts}
            return family
    return None


def _family(family: str, parts: Mapping[str, Field], values: Mapping[Field, object]) -> _Family:
    def value(part: str) -> object:
        field = parts.get(part)
        return field and values[field]

    primary, secondary = (
        _Position(
            coerce.figures(value(f"{position}-used-percent"), value(f"{position}-window-minutes")),
            parts.get(f"{position}-reset-at"),
            parts.get(f"{position}-reset-after-seconds"),
        )
        for position in _POSITIONS
    )
    return _Family(_limit_id(family), coerce.text(value("limit-name")), (primary, secondary))


def _credits(response: Mapping[str, object]) -> Credits | None:
    has_credits = coerce.flag(response.get("credits-has-credits"))
    unlimited = coerce.flag(response.get("credits-unlimited"))
    balance = coerce.decimal(response.get("credits-balance"))
    if has_credits is None and unlimited is None and balance is None:
        return None
    return Credits(has_credits=has_credits, unlimited=unlimited, balance=balance)
