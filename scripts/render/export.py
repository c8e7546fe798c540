"""Answers for other programs, row by row: JSON, lines of JSON or CSV of any length is never held as a whole.

A command takes `export_options` and gets one `Form`, or None where a person is to be answered; `write_rows` does the
rest.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
from typing import TYPE_CHECKING, Any, Literal, TextIO

from scripts.support.sanitize import sanitize

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


Form = Literal["json", "csv", "ndjson"]
"""What an answer is written as: one JSON document, a table for spreadsheets, or a line of JSON for each row."""

HISTORY_COLUMNS = (
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
"""The columns of the history's CSV: ``…_at`` is in Unix seconds, the same name without it is in ISO 8601 (UTC)."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take text for a formula."""


def write_rows(rows: Iterable[Mapping[str, Any]], out: TextIO, form: Form, columns: Sequence[str]) -> None:
    """Write rows in a form; the CSV has these columns, each a name of a row or empty where a row has it not.

    A list in a cell is joined by spaces, anything nested is JSON, what a spreadsheet would run is made text.
    """
    if form == "csv":
        write_csv(rows, out, columns)
    elif form == "ndjson":
        write_ndjson(rows, out)
    else:
        write_json(rows, out)


def write_json(rows: Iterable[Mapping[str, Any]], out: TextIO) -> None:
    """Write rows as a JSON array, one to a line, in plain ASCII."""
    before = "[\n"
    for row in rows:
        out.write(before + json.dumps(row))
        before = ",\n"
    out.write("[]\n" if before == "[\n" else "\n]\n")


def write_ndjson(rows: Iterable[Mapping[str, Any]], out: TextIO) -> None:
    """Write each row as one line of JSON, in plain ASCII."""
    out.writelines(json.dumps(row) + "\n" for row in rows)


def write_csv(rows: Iterable[Mapping[str, Any]], out: TextIO, columns: Sequence[str]) -> None:
    """Write rows as CSV with these columns, and a header above them."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in columns])


def history_row(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry of `store.queries.history` with a value for each of `HISTORY_COLUMNS`."""
    return dict(_history_values(entry))


def iso(at: float | None) -> str | None:
    """Write a moment in ISO 8601 (UTC); None for none, and for what lies beyond all calendars."""
    if at is None:
        return None
    try:
        return dt.datetime.fromtimestamp(at, dt.UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return None


def _history_values(entry: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from entry.items()
    credits_told = entry["credits"] or {}
    yield "has_credits", credits_told.get("has_credits")
    yield "credits_unlimited", credits_told.get("unlimited")
    yield "credits_balance", credits_told.get("balance")
    yield "first_seen", iso(entry["first_seen_at"])
    yield "last_seen", iso(entry["last_seen_at"])
    others = dict(entry["windows"])
    for slot in ("5h", "7d"):
        window = others.pop(slot, {})
        yield f"used_{slot}_percent", window.get("used_percent")
        yield f"window_{slot}_minutes", window.get("window_minutes")
        yield f"resets_{slot}_at", window.get("resets_at")
        yield f"resets_{slot}", iso(window.get("resets_at"))
    yield "other_windows", others or None


def _cell(value: object) -> object:
    """Return what a cell holds: booleans as 0 and 1, text without control characters and without formulas."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
        return _text(" ".join(value))
    if isinstance(value, (list, tuple, dict)):
        return _text(json.dumps(value))
    return _text(value) if isinstance(value, str) else value


def _text(value: str) -> str:
    text = sanitize(value)
    return f"'{text}" if value.startswith(_FORMULA_STARTS) and not _is_number(value) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
