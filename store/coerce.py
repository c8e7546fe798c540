"""Single values off the wire, or out of a session file → clean Python values, or None for an implausible one.

The same field is a string in a header, and a string, a number or a boolean in JSON. A value that is not finite,
negative, absurd or of another type is dropped alone; its neighbours stay.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from store.constants import MAX_MINUTES, SKEW_SECONDS, limit_slug
from store.models import Window

if TYPE_CHECKING:
    from collections.abc import Iterable


MAX_PERCENT = 100_000.0
"""A used percent above this is absurd (100 may well be passed)."""

MAX_SECONDS = MAX_MINUTES * 60

MAX_COUNT = 1_000_000_000

MILLISECONDS_ABOVE = 1e11
"""A timestamp above this is in milliseconds: as seconds it would be in the year 5138 (some gateways send them)."""

CACHE_SIZE = 4096
"""Texts off the wire whose meaning is cached: nearly all headers of a response repeat those of the previous one."""

MAX_TEXT_LENGTH = 120
"""Characters of a name or type, which people see; a longer one is cut."""

_MAX_DATE_LENGTH = 40

# ASCII only and no exponent: float() would also take full-width digits, "1_0", "nan", "inf" and "1e999".
_DECIMAL = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?", re.ASCII)
_TRUE = {"true", "1"}
_FALSE = {"false", "0"}


def number(value: object, most: float) -> float | None:
    """Return a number from 0 to `most`, given as a number or as a plain decimal string."""
    if isinstance(value, str):
        return _decimal(value, most) if len(value) <= MAX_TEXT_LENGTH else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # NaN fails every comparison.
    return float(value) if 0 <= value <= most else None


@lru_cache(maxsize=CACHE_SIZE)
def _decimal(value: str, most: float) -> float | None:
    stripped = value.strip(" \t")
    found = float(stripped) if _DECIMAL.fullmatch(stripped) else None
    return found if found is not None and found <= most else None


def percent(value: object) -> float | None:
    """Return a used percent as sent, which may be above 100."""
    return number(value, MAX_PERCENT)


def minutes(value: object) -> int | None:
    """Return a window's length; 0 and less are unknown."""
    found = number(value, MAX_MINUTES)
    return round(found) or None if found else None


def seconds(value: object) -> float | None:
    """Return a span of time in seconds."""
    return number(value, MAX_SECONDS)


def timestamp(value: object) -> int | None:
    """Return a timestamp in Unix seconds; milliseconds are recognised, 0 is none."""
    found = number(value, MILLISECONDS_ABOVE * 1000)
    if not found:
        return None
    return round(found / 1000 if found > MILLISECONDS_ABOVE else found) or None


def date(value: object) -> int | None:
    """Return the timestamp (Unix seconds) of a date in ISO 8601, or of a number; a date without a zone is in UTC."""
    if not isinstance(value, str) or len(value) > _MAX_DATE_LENGTH:
        return timestamp(value)
    try:
        found = dt.datetime.fromisoformat(value)
    except ValueError:
        return timestamp(value)
    at = (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).timestamp()
    return round(at) if 1 <= at <= MILLISECONDS_ABOVE else None


def count(value: object) -> int | None:
    """Return a count of things."""
    found = number(value, MAX_COUNT)
    return None if found is None else round(found)


def flag(value: object) -> bool | None:
    """Return a truth value: ``True``, ``False``, ``true``, ``1``, ``0``, … (all seen in headers)."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        value = str(value)
    if not isinstance(value, str):
        return None
    word = value.strip(" \t").lower()
    return True if word in _TRUE else False if word in _FALSE else None


def text(value: object) -> str | None:
    """Return a text for people: one line of bounded length without control characters; None if empty."""
    return printable_text(value[:MAX_TEXT_LENGTH]) or None if isinstance(value, str) else None


@lru_cache(maxsize=CACHE_SIZE)
def printable_text(value: str) -> str:
    """Return a text on one line, with each control character replaced."""
    head = value.strip()
    if head.isprintable():
        return head
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in head)


def decimal(value: object) -> str | None:
    """Return a decimal string such as a credit balance, as sent; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        # repr gives an exponent for large and small figures; a balance that needs one is absurd.
        value = repr(value)
    if not isinstance(value, str):
        return None
    value = value.strip(" \t")
    return value if _DECIMAL.fullmatch(value) else None


def limit_id(value: object) -> str | None:
    """Return a limit's id in its canonical spelling: lower case, ``-`` and blanks as ``_``."""
    name = text(value)
    return limit_slug(name) or None if name else None


def mapping(value: object) -> dict[str, Any]:
    """Return a JSON object as it is, and an empty one for anything else."""
    return value if isinstance(value, dict) else {}


MAX_CONTAINERS = 50_000
"""Objects and lists of one JSON text, brackets in its strings included; a long turn's last event has hundreds."""

MAX_VALUES = 500_000
"""Values of one JSON text, counted by commas, those in its strings included."""


def json_object(content: bytes | str) -> dict[str, Any]:
    """Return the object that JSON holds, or an empty one for anything else.

    That includes absurdly deep nesting, and more values than a real message has, which would take long to parse.
    """
    raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    if raw.count(b"[") + raw.count(b"{") > MAX_CONTAINERS or raw.count(b",") > MAX_VALUES:
        return {}
    try:
        return mapping(json.loads(content))
    except (ValueError, RecursionError):
        return {}


class ResetTime(NamedTuple):
    """When a window resets on the local clock, and the server's own clock if it is known; Unix seconds."""

    resets_at: int | None
    server_time: float | None


def reset(at: object, after: object, observed_at: float) -> ResetTime:
    """Return when a window resets, from its reset-at (a timestamp), its reset-after (seconds), or both.

    With both, reset-at counts if it agrees with the observed time plus reset-after; else the server's clock and ours
    differ, and the span, which needs no clock, decides. Their difference is the server's own time.
    """
    resets_at, span = timestamp(at), seconds(after)
    # A span of 0 also stands for "none"; if a window really resets now, reset-at says so as well.
    if not span:
        return ResetTime(resets_at, None)
    if resets_at is None:
        return ResetTime(round(observed_at + span) or None, None)
    expected = observed_at + span
    close = abs(resets_at - expected) <= SKEW_SECONDS
    return ResetTime(resets_at if close else round(expected) or None, max(resets_at - span, 0.0))


def server_time(times: Iterable[float | None], observed_at: float) -> float | None:
    """Return the server's own clock of a message out of those of its windows; None if it is unknown.

    The first that agrees with the arrival counts. If none does, our clock is wrong if all agree with each other;
    otherwise the reset figures contradict each other.
    """
    known = [time for time in times if time is not None]
    close = next((time for time in known if abs(time - observed_at) <= SKEW_SECONDS), None)
    if close is not None or not known:
        return close
    return known[0] if max(known) - min(known) <= SKEW_SECONDS else None


class ParsedFigures(NamedTuple):
    """A window without its reset; `readable` is false if neither figure could be read."""

    used_percent: float | None
    window_minutes: int | None
    readable: bool

    def window(self, resets_at: int | None) -> Window | None:
        """Return the window, or None if there is none.

        "No such window" is written as used 0, minutes 0 and an empty or missing reset; Codex's own test is that one of
        the three is there.
        """
        if not (self.used_percent or self.window_minutes or resets_at):
            return None
        return Window(used_percent=self.used_percent, window_minutes=self.window_minutes, resets_at=resets_at)


def figures(used: object, length: object) -> ParsedFigures:
    """Return a window's figures from its used percent and its minutes."""
    used_percent = percent(used)
    return ParsedFigures(
        used_percent, minutes(length), used_percent is not None or number(length, MAX_MINUTES) is not None
    )


class ParsedWindow(NamedTuple):
    """A window as reported, or None if there is none, and the server's own clock in Unix seconds.

    `readable` is false if no figure could be read: then it is unknown whether there is a window.
    """

    window: Window | None
    server_time: float | None
    readable: bool


def window(used: object, length: object, at: object, after: object, observed_at: float) -> ParsedWindow:
    """Return a window from its used percent, its minutes, its reset-at (a timestamp) and its reset-after (seconds)."""
    found = figures(used, length)
    resets_at, server_time = reset(at, after, observed_at)
    made = found.window(resets_at)
    return ParsedWindow(made, server_time if made else None, readable=found.readable or made is not None)


MAX_FAMILIES = 16
"""Families that are read of one response; real ones carry one to three."""
