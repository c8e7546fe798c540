"""The history for other programs, row by row: a JSON array or CSV of any length is never held as a whole."""

from __future__ import annotations

import csv
import datetime as dt
import json
from typing import TYPE_CHECKING, Any, TextIO

from scripts.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

COLUMNS = (
    "id",
    "first_seen",
    "last_seen",
    "first_seen_at",
    "last_seen_at",
    "observations",
    "late",
    "account",
    "name",
    "email",
    "plan_type",
    "limit_id",
    "limit_name",
    "used_5h_percent",
    "window_5h_minutes",
    "resets_5h",
    "resets_5h_at",
    "used_7d_percent",
    "window_7d_minutes",
    "resets_7d",
    "resets_7d_at",
    "other_windows",
    "allowed",
    "limit_reached",
    "reached_type",
    "reached_until",
    "has_credits",
    "credits_unlimited",
    "credits_balance",
    "source",
    "status",
    "model",
    "thread",
    "token_key",
)
"""The columns of the CSV: ``…_at`` is in Unix seconds, the same name without it is that moment in ISO 8601 (UTC)."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take text for a formula."""


def write_json(entries: Iterable[Mapping[str, Any]], out: TextIO) -> None:
    """Write entries as a JSON array, one to a line, in plain ASCII."""
    before = "[\n"
    for entry in entries:
        out.write(before + json.dumps(entry))
        before = ",\n"
    out.write("[]\n" if before == "[\n" else "\n]\n")


def write_csv(entries: Iterable[Mapping[str, Any]], out: TextIO) -> None:
    """Write entries of `store.queries.history` as CSV with `COLUMNS`; their ``raw`` is left to the JSON."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for entry in entries:
        row = dict(_columns(entry))
        writer.writerow([_cell(row[name]) for name in COLUMNS])


def _columns(entry: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from entry.items()
    credits_told = entry["credits"] or {}
    yield "has_credits", credits_told.get("has_credits")
    yield "credits_unlimited", credits_told.get("unlimited")
    yield "credits_balance", credits_told.get("balance")
    yield "first_seen", _iso(entry["first_seen_at"])
    yield "last_seen", _iso(entry["last_seen_at"])
    others = dict(entry["windows"])
    for slot in ("5h", "7d"):
        window = others.pop(slot, {})
        yield f"used_{slot}_percent", window.get("used_percent")
        yield f"window_{slot}_minutes", window.get("window_minutes")
        yield f"resets_{slot}_at", window.get("resets_at")
        yield f"resets_{slot}", _iso(window.get("resets_at"))
    yield "other_windows", json.dumps(others) if others else None


def _cell(value: object) -> object:
    """Return what a cell holds: booleans as 0 and 1, text without control characters and without formulas."""
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if value.startswith(_FORMULA_STARTS) and not _is_number(value) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _iso(at: float | None) -> str | None:
    if at is None:
        return None
    try:
        return dt.datetime.fromtimestamp(at, dt.UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return None
