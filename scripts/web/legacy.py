"""The older shape of the answers, which existing dashboards ask for: one flat record for each token.

It is about the main limit. ``codex_5h_…`` and ``codex_7d_…`` are its slots. ``primary_…`` and ``secondary_…`` are the
same windows by their positions on the wire, as far as the message that opened the newest row tells them; null else.
"""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any

from store.analysis.ranking import main_limit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.documents import AccountStatus

_POSITIONS = ("primary", "secondary")
_HEADER = "x-codex-"


def older_record(account: AccountStatus, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of an account of a document of ``status``; `raw` is of its main limit's newest row."""
    limit = main_limit(account)
    windows = limit["windows"] if limit else {}
    record: dict[str, Any] = {}
    for slot in ("5h", "7d"):
        record |= _figures(f"codex_{slot}", windows.get(slot))
    for position in _POSITIONS:
        record |= _figures(position, _at_position(windows, raw, position))
    return {
        **record,
        "primary_over_secondary_percent": _number(raw.get(f"{_HEADER}primary-over-secondary-limit-percent")),
        "updated_at": _written(limit["observed_at"]) if limit else None,
        "token_name": account["name"] or account["email"],
        "token_key": account["token_key"],
    }


def _figures(prefix: str, window: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        f"{prefix}_used_percent": window["used_percent"] if window else None,
        f"{prefix}_reset_after_seconds": window["resets_in_seconds"] if window else None,
        f"{prefix}_window_minutes": window["window_minutes"] if window else None,
    }


def _at_position(
    windows: Mapping[str, Mapping[str, Any]], raw: Mapping[str, Any], position: str
) -> Mapping[str, Any] | None:
    """Return the window that stood at a position, as it stands now: the one of its length."""
    minutes = _minutes(raw, position)
    if minutes is None:
        return None
    return next((window for window in windows.values() if window["window_minutes"] == minutes), None)


def _minutes(raw: Mapping[str, Any], position: str) -> int | None:
    """Return the length of the window at a position, in the shape of headers, events or usage documents."""
    told = _number(raw.get(f"{_HEADER}{position}-window-minutes"))
    if told is None:
        event = _mapping(_mapping(raw.get("rate_limits")).get(position))
        told = _number(event.get("window_minutes"))
    if told is None:
        usage = _mapping(_mapping(raw.get("rate_limit")).get(f"{position}_window"))
        seconds = _number(usage.get("limit_window_seconds"))
        told = None if seconds is None else seconds / 60
    return round(told) if told else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _written(at: float) -> str | None:
    try:
        return dt.datetime.fromtimestamp(at, dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return None
