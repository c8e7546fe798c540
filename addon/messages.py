"""JSON events and bodies → `RateLimits`, each with its source.

Messages (shapes as seen on the wire):

- the event ``codex.rate_limits``, on the websocket and inside SSE bodies alike;
- the event ``error`` of the websocket, which is a status, an error and a map of headers in one message;
- the event ``response.failed``, whose response may have such an error as well;
- the JSON body of a refused HTTP response, ``{"error": {"type": "usage_limit_reached", "resets_at": …, …}}``;
- the document of ``GET …/wham/usage`` and ``/api/codex/usage``, with lengths in seconds where events have minutes;
- that of ``GET …/rate-limit-reset-credits``, which lists the banked resets.

A limit is named by its id, by its display name, or not at all. What the two others stand for depends on names that
other messages tell, so it is marked (`Limit.by_name`, `RateLimits.unnamed`), and the store decides.

Anything else, anything that is not JSON, and anything of another shape is None: not an error, not ours.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from addon import account_facts, headers
from addon.budgets import budget_limit, says_no_budget
from addon.raw_fields import allowed_fields
from addon.unknown_fields import unknown_keys
from store import coerce
from store.coerce import MAX_FAMILIES
from store.constants import MAIN_LIMIT, MAIN_NAMES, limit_slug
from store.limit_state import ANY_REFUSAL
from store.models import Limit, RateLimits, Source
from store.windows import normalize

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


_EVENT_TYPE = "codex.rate_limits"
# Searched for before any JSON is parsed: none of thousands of text deltas contains either.
_EVENT_MARK = _EVENT_TYPE.encode()
EVENT_MARKS = (_EVENT_MARK, b'"error"')
"""Each event with limits contains one of these."""

MAX_EVENT_LENGTH = 1024 * 1024
"""Bytes of an event that is parsed for limits; a real one has about 500."""

_ERROR_MARK = re.compile(rb'"type"\s*:\s*"error"')
_WRITTEN_ID = re.compile(rf"{MAIN_LIMIT}[_-][a-z0-9_-]+", re.ASCII)
_FAILED_TYPE = "response.failed"
_FAILED_MARK = b'"response.failed"'
_REFUSALS = (ANY_REFUSAL, "rate_limit_reached", "usage_limit_exceeded", "_credits_depleted")
_POSITIONS = ("primary", "secondary")
_WINDOWS = ("primary", "secondary", "primary_window", "secondary_window")

OUTPUT_EVENT_PREFIXES = tuple(
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
"""Beginnings of the events that carry the response's text, nearly all of a stream; none has limits or ends a turn.

An event that begins otherwise is searched, which costs a little more.
"""


class ParsedMessage(NamedTuple):
    """The rate limits of a message, its source, and the HTTP status that it carries or None."""

    source: Source
    reading: RateLimits
    status: int | None = None


class _Name(NamedTuple):
    """What a message calls a limit; ``by_name`` is true if the id was made from a display name."""

    limit_id: str
    limit_name: str | None = None
    by_name: bool = False


def may_contain_limits(content: bytes) -> bool:
    """Return True if an event may contain limits; none of thousands of text deltas does."""
    if len(content) > MAX_EVENT_LENGTH:
        return False
    if _EVENT_MARK in content:
        return True
    return b'"error"' in content and (_FAILED_MARK in content or _ERROR_MARK.search(content) is not None)


def read_event(
    content: bytes, observed_at: float, carrier: Source = Source.WEBSOCKET, billed: str = MAIN_LIMIT
) -> ParsedMessage | None:
    """Parse the limits of an event.

    Args:
        content: The event.
        observed_at: When the event arrived, in Unix seconds.
        carrier: `Source.WEBSOCKET` or `Source.SSE`.
        billed: The limit that the request was charged to: an error that names no limit is about this one.

    """
    if not may_contain_limits(content):
        return None
    event = coerce.json_object(content)
    kind = event.get("type")
    if kind == _EVENT_TYPE:
        return _parsed(carrier, _with_doubt(_read_limits(event, observed_at), event))
    if kind == "error":
        return _read_error_event(event, observed_at, billed)
    if kind == _FAILED_TYPE:
        return _read_error(coerce.mapping(event.get("response")), observed_at, billed)
    return None


def read_usage(content: bytes, observed_at: float) -> ParsedMessage | None:
    """Parse a usage document, or the document of the banked resets."""
    return _parsed(Source.USAGE, _read_limits(coerce.json_object(content), observed_at))


def read_error_body(content: bytes, observed_at: float, billed: str = MAIN_LIMIT) -> ParsedMessage | None:
    """Parse the body of a refused response; `billed` is the limit that the request was charged to."""
    return _read_error(coerce.json_object(content), observed_at, billed)


def _read_error(body: Mapping[str, Any], observed_at: float, billed: str = MAIN_LIMIT) -> ParsedMessage | None:
    """Parse an object whose ``error`` may say that a request was refused; `billed` is the limit it was charged to."""
    return _parsed(Source.ERROR, _refused(body, RateLimits(active_limit=billed), observed_at))


def _parsed(source: Source, reading: RateLimits | None, status: int | None = None) -> ParsedMessage | None:
    if reading is None:
        return None
    return None if headers.is_empty(reading) else ParsedMessage(source, reading, status)


def _first_present(fields: Mapping[str, Any], *names: str) -> Any:
    """Return the first field that is present and not null."""
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def _read_error_event(event: Mapping[str, Any], observed_at: float, billed: str) -> ParsedMessage | None:
    """Parse an error of the websocket: its headers have the figures, its error says that the request was refused."""
    limits = headers.read_mapping(coerce.mapping(event.get("headers")), observed_at)
    status = coerce.number(_first_present(event, "status", "status_code"), 999)
    unknown = RateLimits(active_limit=billed, unnamed=billed == MAIN_LIMIT)
    refused = _refused(event, limits or unknown, observed_at)
    return _parsed(Source.ERROR, refused or limits, round(status) if status else None)


def _refused(body: Mapping[str, Any], known: RateLimits, observed_at: float) -> RateLimits | None:
    """Mark the billed limit of `known` as reached; None if the body is not a refusal."""
    error = coerce.mapping(body.get("error"))
    kinds = [kind for kind in map(coerce.text, (error.get("type"), error.get("code"))) if kind]
    kind = next((kind for kind in kinds if kind.endswith(_REFUSALS)), None)
    if kind is None:
        return None
    reset = coerce.reset(error.get("resets_at"), error.get("resets_in_seconds"), observed_at)
    limits = {limit.limit_id: limit for limit in known.limits}
    billed = limits.pop(known.active_limit, Limit(limit_id=known.active_limit))
    verdict = {
        "limit_reached": True,
        "reached_until": reset.resets_at,
        "reached_window_minutes": coerce.minutes(error.get("limit_window_minutes")),
        # "usage_limit_reached" is the name of any refusal; the others name the reason.
        "reached_type": billed.reached_type or (None if kind == ANY_REFUSAL else kind),
    }
    return known.model_copy(
        update={
            "limits": (billed.model_copy(update=verdict), *limits.values()),
            "plan_type": known.plan_type or coerce.text(error.get("plan_type")),
            "server_time": coerce.server_time((known.server_time, reset.server_time), observed_at),
            "raw": {**known.raw, **allowed_fields(body)},
        }
    )


def _with_doubt(reading: RateLimits, event: Mapping[str, Any]) -> RateLimits:
    """Mark the main figures of an event that does not name their limit."""
    is_unnamed = _named(event, None) is None and any(limit.limit_id == MAIN_LIMIT for limit in reading.limits)
    return reading.model_copy(update={"unnamed": True}) if is_unnamed else reading


def _read_limits(document: Mapping[str, Any], observed_at: float) -> RateLimits:
    """Parse the shape that events and usage documents share under slightly different names."""
    main = _named(document, None) or _Name(MAIN_LIMIT)
    entries = list(_entries(document, main))
    limits: dict[str, Limit] = {}
    times: list[float | None] = []
    for name, figures in entries[:MAX_FAMILIES]:
        limit, window_times = _limit(name, figures, observed_at)
        times.extend(window_times)
        if headers.has_content(limit):
            limits.setdefault(limit.limit_id, limit)
    reached_type = _kind(document.get("rate_limit_reached_type"))
    if reached_type:
        limit = limits.get(main.limit_id) or Limit(**main._asdict())
        limits[main.limit_id] = limit.model_copy(update={"reached_type": reached_type})
    budget, budget_time = budget_limit(document, observed_at)
    if budget:
        limits[budget.limit_id] = budget
    return RateLimits(
        limits=tuple(limits.values()),
        active_limit=main.limit_id,
        no_budget=says_no_budget(document),
        plan_type=coerce.text(document.get("plan_type")),
        server_time=coerce.server_time([*times, budget_time], observed_at),
        left_out=max(0, len(entries) - MAX_FAMILIES),
        unknown_fields=unknown_keys(document),
        raw=allowed_fields(document),
        **account_facts.read(document),
    )


def _entries(document: Mapping[str, Any], main: _Name) -> Iterator[tuple[_Name, Mapping[str, Any]]]:
    """Yield name and figures of each limit in the document."""
    figures = _first_present(document, "rate_limits", "rate_limit")
    if isinstance(figures, dict):
        yield main, figures
    review = _first_present(document, "code_review_rate_limits", "code_review_rate_limit")
    if isinstance(review, dict):
        yield _Name("code_review"), review
    more = document.get("additional_rate_limits")
    pairs = (
        more.items() if isinstance(more, dict) else ((None, item) for item in more) if isinstance(more, list) else ()
    )
    for key, value in pairs:
        item = coerce.mapping(value)
        name = _named(item, key)
        if name:
            yield name, coerce.mapping(item.get("rate_limit", item.get("rate_limits", item)))


def _named(item: Mapping[str, Any], key: str | None) -> _Name | None:
    """Return the name of the limit of an entry, found under `key` in a map; None if nothing names it."""
    display = coerce.text(item.get("limit_name"))
    spelled = coerce.limit_id(key)
    # A key that is written otherwise than an id is a display name.
    shown = display or (None if spelled == key else coerce.text(key))
    for told in (item.get("metered_feature"), item.get("metered_limit_name")):
        found = coerce.limit_id(told)
        if found:
            return _Name(MAIN_LIMIT if found in MAIN_NAMES else found, shown)
    found = spelled or coerce.limit_id(display)
    if found is None:
        return None
    if found in MAIN_NAMES:
        return _Name(MAIN_LIMIT, display)
    is_id = _WRITTEN_ID.fullmatch((spelled and key) or display or "") is not None
    return _Name(found, shown, by_name=not is_id and (display is None or limit_slug(display) == found))


def _limit(
    name: _Name, figures: Mapping[str, Any], observed_at: float
) -> tuple[Limit, tuple[float | None, float | None]]:
    """Return a limit, and the server's own time by each of its windows."""
    primary, secondary = (
        _window(coerce.mapping(_first_present(figures, position, f"{position}_window")), observed_at)
        for position in _POSITIONS
    )
    # Here "no such window" is written as null; beside a window that cannot be read it does not say that there is none.
    found = [figures[field] for field in _WINDOWS if field in figures]
    absent = None in found and not any(found)
    readable = primary.readable or secondary.readable or absent
    limit = Limit(
        **name._asdict(),
        windows=normalize(primary.window, secondary.window, observed_at) if readable else None,
        allowed=coerce.flag(figures.get("allowed")),
        limit_reached=coerce.flag(figures.get("limit_reached")),
    )
    return limit, (primary.server_time, secondary.server_time)


def _window(figures: Mapping[str, Any], observed_at: float) -> coerce.ParsedWindow:
    length = figures.get("window_minutes")
    if length is None:
        span = coerce.seconds(figures.get("limit_window_seconds"))
        length = None if span is None else span / 60
    return coerce.window(
        figures.get("used_percent"),
        length,
        _first_present(figures, "reset_at", "resets_at"),
        _first_present(figures, "reset_after_seconds", "resets_in_seconds"),
        observed_at,
    )


def _kind(value: object) -> str | None:
    """Return a reached type, which is a word or an object with a word as its type."""
    return coerce.text(coerce.mapping(value).get("type") if isinstance(value, dict) else value)
