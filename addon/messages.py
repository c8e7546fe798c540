"""JSON events and bodies → a `Reading`, each with the source that it was read from.

What is read (shapes as seen on the wire):

- the event ``codex.rate_limits``, on the websocket and inside SSE bodies alike;
- the event ``error`` of the websocket, which is a status, an error and a map of headers in one message;
- the JSON body of a refused HTTP answer, ``{"error": {"type": "usage_limit_reached", "resets_at": …, …}}``;
- the document of ``GET …/wham/usage`` and ``/api/codex/usage``, with lengths in seconds where events have minutes.

Anything else, anything that is no JSON, and anything of another shape is None: not an error, not ours.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from addon import headers, values
from addon.windows import normalize
from store.models import Credits, Limit, Reading, Source
from store.standing import MAIN_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAIN_NAMES = frozenset({MAIN_LIMIT, "premium"})
"""Names by which the server calls the main limit."""

_EVENT_TYPE = "codex.rate_limits"
# Looked for before any JSON is parsed: of thousands of text deltas none has either.
_EVENT_MARK = _EVENT_TYPE.encode()
_ERROR_MARK = re.compile(rb'"type"\s*:\s*"error"')
_ANY_REFUSAL = "usage_limit_reached"
_REFUSALS = (_ANY_REFUSAL, "rate_limit_reached", "_credits_depleted")
_POSITIONS = ("primary", "secondary")
_WINDOWS = ("primary", "secondary", "primary_window", "secondary_window")

OF_THE_ANSWER = tuple(
    b'{"type":%s"response.%s' % (blank, part)
    for part in (
        b"output_",
        b"reasoning",
        b"content_part",
        b"function_call",
        b"custom_tool",
        b"refusal",
    )
    for blank in (b"", b" ")
)
"""How an event begins that carries the answer itself, as nearly all do; none of them tells of limits or ends a turn.

One that is written otherwise is looked into, which costs a little more.
"""


class Told(NamedTuple):
    """What a message says, where it was read, and the HTTP status that it carries or None."""

    source: Source
    reading: Reading
    status: int | None = None


def may_tell(content: bytes) -> bool:
    """Tell whether an event may say something of limits; of thousands of text deltas none does."""
    return _EVENT_MARK in content or (b'"error"' in content and _ERROR_MARK.search(content) is not None)


def read_event(
    content: bytes, observed_at: float, carrier: Source = Source.WEBSOCKET, charged: str = MAIN_LIMIT
) -> Told | None:
    """Return what an event says of limits.

    `carrier` is `Source.WEBSOCKET` or `Source.SSE`; an error that does not say so is about the limit that the request
    was `charged` to.
    """
    if not may_tell(content):
        return None
    event = values.json_object(content)
    kind = event.get("type")
    if kind == _EVENT_TYPE:
        return _found(carrier, _read_limits(event, observed_at))
    if kind == "error":
        return _read_error_event(event, observed_at, charged)
    return None


def read_usage(content: bytes, observed_at: float) -> Told | None:
    """Return what a usage document says."""
    return _found(Source.USAGE, _read_limits(values.json_object(content), observed_at))


def read_error_body(content: bytes, observed_at: float, charged: str = MAIN_LIMIT) -> Told | None:
    """Return what the body of a refused answer says of the limit that the request was `charged` to."""
    body = values.json_object(content)
    return _found(Source.ERROR, _refused(body, Reading(active_limit=charged), observed_at))


def _found(source: Source, reading: Reading | None, status: int | None = None) -> Told | None:
    if reading is None:
        return None
    return Told(source, reading, status) if headers.says_anything(reading) else None


def _first(told: Mapping[str, Any], *names: str) -> Any:
    """Return the first field that is there and not null."""
    return next((told[name] for name in names if told.get(name) is not None), None)


def _read_error_event(event: Mapping[str, Any], observed_at: float, charged: str) -> Told | None:
    """Read an error of the websocket: the headers it carries say the figures, the error says that it was refused."""
    found = headers.collect_mapping(values.mapping(event.get("headers")))
    told = headers.read(found, observed_at)
    status = values.number(_first(event, "status", "status_code"), 999)
    reading = _refused(event, told or Reading(active_limit=charged), observed_at) or told
    return _found(Source.ERROR, reading, round(status) if status else None)


def _refused(body: Mapping[str, Any], told: Reading, observed_at: float) -> Reading | None:
    """Add to a reading that the charged limit is reached; None where the body says no such thing."""
    error = values.mapping(body.get("error"))
    kinds = [kind for kind in map(values.text, (error.get("type"), error.get("code"))) if kind]
    kind = next((kind for kind in kinds if kind.endswith(_REFUSALS)), None)
    if kind is None:
        return None
    reset = values.reset(error.get("resets_at"), error.get("resets_in_seconds"), observed_at)
    limits = {limit.limit_id: limit for limit in told.limits}
    charged = limits.pop(told.active_limit, Limit(limit_id=told.active_limit))
    verdict = {
        "limit_reached": True,
        "reached_until": reset.resets_at,
        # "usage_limit_reached" is what all refusals are called; others say what it was.
        "reached_type": charged.reached_type or (None if kind == _ANY_REFUSAL else kind),
    }
    return told.model_copy(
        update={
            "limits": (charged.model_copy(update=verdict), *limits.values()),
            "plan_type": told.plan_type or values.text(error.get("plan_type")),
            "server_time": values.server_time((told.server_time, reset.server_time), observed_at),
            "raw": {**told.raw, **_raw(body)},
        }
    )


def _read_limits(document: Mapping[str, Any], observed_at: float) -> Reading | None:
    """Read the shape that events and usage documents share under slightly different names."""
    charged = _named(document, None) or MAIN_LIMIT
    entries = list(_entries(document, charged))
    limits: dict[str, Limit] = {}
    times: list[float | None] = []
    for limit_id, name, figures in entries[: headers.MOST_FAMILIES]:
        limit, told_times = _limit(limit_id, name, figures, observed_at)
        times.extend(told_times)
        if headers.tells(limit):
            limits.setdefault(limit_id, limit)
    reached_type = _kind(document.get("rate_limit_reached_type"))
    if reached_type:
        limit = limits.get(charged) or Limit(limit_id=charged)
        limits[charged] = limit.model_copy(update={"reached_type": reached_type})
    return Reading(
        limits=tuple(limits.values()),
        active_limit=charged,
        plan_type=values.text(document.get("plan_type")),
        credits=_credits(values.mapping(document.get("credits"))),
        spend_control_reached=values.flag(values.mapping(document.get("spend_control")).get("reached")),
        reset_credits=values.count(values.mapping(document.get("rate_limit_reset_credits")).get("available_count")),
        promo=_promo(document),
        server_time=values.server_time(times, observed_at),
        left_out=max(0, len(entries) - headers.MOST_FAMILIES),
        raw=_raw(document),
    )


def _entries(document: Mapping[str, Any], charged: str) -> Iterator[tuple[str, str | None, Mapping[str, Any]]]:
    """Yield id, name and figures of each limit that the document mentions."""
    main = _first(document, "rate_limits", "rate_limit")
    if isinstance(main, dict):
        yield charged, values.text(document.get("limit_name")), main
    review = _first(document, "code_review_rate_limits", "code_review_rate_limit")
    if isinstance(review, dict):
        yield "code_review", None, review
    more = document.get("additional_rate_limits")
    pairs = (
        more.items() if isinstance(more, dict) else ((None, item) for item in more) if isinstance(more, list) else ()
    )
    for key, value in pairs:
        item = values.mapping(value)
        limit_id = _named(item, key)
        if limit_id:
            figures = item.get("rate_limit", item.get("rate_limits", item))
            yield limit_id, values.text(item.get("limit_name")), values.mapping(figures)


def _named(item: Mapping[str, Any], key: object) -> str | None:
    """Return the id of the limit that an entry, found under `key` in a map, names; an id beats the human name."""
    for name in (item.get("metered_feature"), item.get("metered_limit_name"), key, item.get("limit_name")):
        found = values.limit_id(name)
        if found:
            return MAIN_LIMIT if found in MAIN_NAMES else found
    return None


def _limit(
    limit_id: str, name: str | None, figures: Mapping[str, Any], observed_at: float
) -> tuple[Limit, tuple[float | None, float | None]]:
    """Return a limit, and the server's own time as each of its windows tells it."""
    primary, secondary = (
        _window(values.mapping(_first(figures, position, f"{position}_window")), observed_at) for position in _POSITIONS
    )
    # null is how "no such window" is written here.
    absent = any(field in figures and figures[field] is None for field in _WINDOWS)
    readable = primary.readable or secondary.readable or absent
    limit = Limit(
        limit_id=limit_id,
        limit_name=name,
        windows=normalize(primary.window, secondary.window, observed_at) if readable else None,
        allowed=values.flag(figures.get("allowed")),
        limit_reached=values.flag(figures.get("limit_reached")),
    )
    return limit, (primary.server_time, secondary.server_time)


def _window(figures: Mapping[str, Any], observed_at: float) -> values.Told:
    length = figures.get("window_minutes")
    if length is None:
        span = values.seconds(figures.get("limit_window_seconds"))
        length = None if span is None else span / 60
    return values.window(
        figures.get("used_percent"),
        length,
        _first(figures, "reset_at", "resets_at"),
        _first(figures, "reset_after_seconds", "resets_in_seconds"),
        observed_at,
    )


def _credits(told: Mapping[str, Any]) -> Credits | None:
    found = Credits(
        has_credits=values.flag(told.get("has_credits")),
        unlimited=values.flag(told.get("unlimited")),
        balance=values.decimal(told.get("balance")),
        overage_limit_reached=values.flag(told.get("overage_limit_reached")),
    )
    return None if found == Credits() else found


def _kind(value: object) -> str | None:
    """Return a reached type, which is a word or an object that has one as its type."""
    return values.text(values.mapping(value).get("type") if isinstance(value, dict) else value)


def _promo(document: Mapping[str, Any]) -> str | None:
    """Return the promo's words; ``""`` where the document says that there is none."""
    if "promo" not in document:
        return None
    promo = document["promo"]
    return values.text(values.mapping(promo).get("message") if isinstance(promo, dict) else promo) or ""


# The raw column holds these fields and no others: events and usage documents also carry e-mail, ids and prose.

_KEPT = frozenset(
    {
        "additional_rate_limits",
        "allowed",
        "available_count",
        "balance",
        "code",
        "code_review_rate_limit",
        "code_review_rate_limits",
        "credits",
        "error",
        "has_credits",
        "limit_name",
        "limit_reached",
        "limit_window_seconds",
        "metered_feature",
        "metered_limit_name",
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
        "reset_after_seconds",
        "reset_at",
        "resets_at",
        "resets_in_seconds",
        "secondary",
        "secondary_window",
        "spend_control",
        "status",
        "status_code",
        "type",
        "unlimited",
        "used_percent",
        "window_minutes",
    }
)
_DEEPEST = 6

LONGEST_RAW = 64 * 1024
"""Characters of JSON kept for audit; a real message has about a thousand, and of a longer one nothing is kept."""


def _raw(message: Mapping[str, Any]) -> dict[str, object]:
    kept = _pick(message, 0)
    return kept if len(json.dumps(kept)) <= LONGEST_RAW else {}


def _pick(value: Mapping[str, Any], depth: int) -> dict[str, object]:
    return {key: _raw_value(key, item, depth) for key, item in value.items() if key in _KEPT}


def _raw_value(key: str, value: object, depth: int) -> object:
    if depth == _DEEPEST:
        return None
    if isinstance(value, dict) and key == "additional_rate_limits":
        named = list(value.items())[: headers.MOST_FAMILIES]
        return {values.limit_id(name) or "": _pick(values.mapping(item), depth + 1) for name, item in named}
    if isinstance(value, dict):
        return _pick(value, depth + 1)
    if isinstance(value, list):
        return [_raw_value("", item, depth + 1) for item in value[: headers.MOST_FAMILIES]]
    return values.raw(value)
