"""Rows for other programs: JSON, NDJSON or CSV, written row by row, so that an output of any length fits in memory."""

from __future__ import annotations

import csv
import datetime as dt
import json
from typing import TYPE_CHECKING, Any, Literal, TextIO

from scripts.support.sanitize import sanitize
from store.analysis.formatting import local_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from store.documents import EventEntry, HistoryEntry, SpeedRow, UsageEntry, UsageRow


Form = Literal["json", "csv", "ndjson"]
"""The form of an output: one JSON document, CSV, or one JSON object per line."""

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
    "budget_limit",
    "budget_used",
    "budget_remaining",
    "budget_unit",
)
"""The columns of ``history --csv``: ``…_at`` is in Unix seconds, the same name without it is in ISO 8601 (UTC)."""

_EVENT_READING = (
    "id",
    "seen_at",
    "used_percent",
    "resets_at",
    "reached_type",
    "plan_type",
    "credits_balance",
    "source",
)

EVENT_COLUMNS = (
    "at",
    "moment",
    "kind",
    "account",
    "name",
    "email",
    "limit_id",
    "limit_name",
    "slot",
    "window_minutes",
    "text",
    "note",
    "seconds",
    "points",
    "credits",
    *(f"{side}_{name}" for side in ("before", "after") for name in (*_EVENT_READING, "token_key")),
    "before_reached_until",
    "after_reached_until",
    "length",
)
"""The columns of ``events --csv``: ``at`` is in Unix seconds, ``moment`` the same in ISO 8601 (UTC)."""

USAGE_COLUMNS = (
    "key",
    "name",
    "elsewhere",
    "points",
    "share",
    "turns",
    "refused",
    "warm_ups",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "models",
    "threads",
    "last_at",
    "pending",
    "title",
    "folder",
    "project",
    "kind",
    "parent",
    "depth",
    "api_value_usd",
    "not_priced_turns",
    "amount",
    "start",
    "end",
    "by_model",
    "imported_turns",
)
"""The columns of ``usage --csv``: the names in a row of the document, and in a branch of its tree."""

_SPEED_FIGURES = ("first_byte_seconds", "seconds", "tokens_per_second")

SPEED_COLUMNS = (
    "key",
    "turns",
    "answered",
    "failed",
    "refused",
    "interrupted",
    "rerouted",
    *(f"{figure}_{part}" for figure in _SPEED_FIGURES for part in ("median", "slow", "turns", "usual", "usual_slow")),
    "input_tokens",
    "usual_turns",
    "usual_failed_share",
    "errors",
)
"""The columns of ``speed --csv``: ``…_slow`` is the 95th percentile of seconds and the 5th of a speed."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""Characters at the start of text that a spreadsheet reads as a formula."""


def write_rows(rows: Iterable[Mapping[str, Any]], out: TextIO, form: Form, columns: Sequence[str]) -> None:
    """Write rows in a form; `columns` are the CSV's, and a cell is empty where its row lacks the column.

    In a CSV cell a list is joined by spaces, a nested value is JSON, and a formula is marked as text.
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
    """Write rows as CSV, with a header."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in columns])


def history_row(entry: HistoryEntry) -> dict[str, Any]:
    """Return an entry of ``history`` with a value for each of `HISTORY_COLUMNS`."""
    return dict(_history_values(entry))


def usage_rows(rows: Iterable[UsageRow]) -> Iterator[UsageEntry]:
    """Yield each row of ``usage``, followed by the entries of its tree."""
    for row in rows:
        yield row
        yield from row["tree"]


def event_row(event: EventEntry) -> dict[str, Any]:
    """Return an event with a value for each of `EVENT_COLUMNS`."""
    sides = {f"{side}_{name}": value for side in ("before", "after") for name, value in event[side].items()}
    return {**event, "moment": iso(event["at"]), **sides}


def speed_row(row: SpeedRow) -> dict[str, Any]:
    """Return a row of ``speed`` with a value for each of `SPEED_COLUMNS`."""
    return dict(_speed_values(row))


def iso(timestamp: float | None) -> str | None:
    """Write a timestamp in ISO 8601 (UTC); None for None, and for a timestamp outside the calendar."""
    time = None if timestamp is None else local_time(timestamp, dt.UTC)
    return None if time is None else time.isoformat(timespec="seconds")


def _history_values(entry: HistoryEntry) -> Iterator[tuple[str, Any]]:
    yield from entry.items()
    credits_status: Mapping[str, Any] = entry["credits"] or {}
    yield "has_credits", credits_status.get("has_credits")
    yield "credits_unlimited", credits_status.get("unlimited")
    yield "credits_balance", credits_status.get("balance")
    for name, amount in (entry["budget"] or {}).items():
        yield f"budget_{name}", amount
    yield "first_seen", iso(entry["first_seen_at"])
    yield "last_seen", iso(entry["last_seen_at"])
    others: dict[str, Any] = dict(entry["windows"])
    for slot in ("5h", "7d"):
        window = others.pop(slot, {})
        yield f"used_{slot}_percent", window.get("used_percent")
        yield f"window_{slot}_minutes", window.get("window_minutes")
        yield f"resets_{slot}_at", window.get("resets_at")
        yield f"resets_{slot}", iso(window.get("resets_at"))
    yield "other_windows", others or None


def _speed_values(row: SpeedRow) -> Iterator[tuple[str, Any]]:
    yield from row.items()
    now: Mapping[str, Any] = row
    usual: Mapping[str, Any] = row["usual"]
    for figure in _SPEED_FIGURES:
        yield from ((f"{figure}_{part}", value) for part, value in now[figure].items())
        yield f"{figure}_usual", usual[figure]["median"]
        yield f"{figure}_usual_slow", usual[figure]["slow"]
    yield "usual_turns", usual["turns"]
    yield "usual_failed_share", usual["failed_share"]
    yield "errors", row["errors"] or None


def _cell(value: object) -> object:
    """Return the content of a cell: booleans as 0 and 1, text without control characters and formulas."""
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
