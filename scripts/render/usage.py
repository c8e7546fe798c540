"""Terminal output of ``usage``."""

from __future__ import annotations

import datetime as dt
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from rich.text import Text

from scripts.render.console import MAX_ROWS, count, label_width, rows_left_out, truncate, window_length, wrapped
from scripts.render.imports import imported_note
from scripts.render.thread_labels import LabelledThread, kind_label, thread_labels
from scripts.support.sanitize import sanitize
from store.analysis import account_limits, formatting
from store.analysis.formatting import amount

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scripts.render.console import TerminalProfile
    from store.documents import NotPricedTurns, TokenWeights, UsageDocument, UsageEntry, UsageFigures, UsageRow

FEW_INCREASES = 10
"""With fewer increases the attribution is unreliable."""

ELSEWHERE = "used elsewhere"
PENDING = "not yet attributed"

_MAX_LABEL, _MIN_LABEL = 36, 12
_MIN_BAR, _MAX_BAR = 6, 30
_WIDE_ENOUGH = 18
"""A bar is left out where labels would be narrower beside it."""

_HEADS = {"subagent": "Sub-agent", "week": "Week of"}
_NOT_REPORTED = {
    "thread": "thread not reported",
    "project": "no project known",
    "model": "model not reported",
    "effort": "effort not reported",
    "subagent": "no sub-agent",
    "tier": "standard",
    "client": "client not reported",
    "machine": "this file",
}


_Value = TypeVar("_Value")


class _Row(NamedTuple):
    """The texts of a row, before the layout."""

    label: str
    points: float
    used: str
    figures: tuple[str, ...]
    style: str
    is_sum: bool = False
    """It stands for several rows, and has no bar."""


class _Columns(NamedTuple):
    """The common widths of all rows; `bar` is 0 where there is no room."""

    label: int
    used: int
    bar: int
    figures: tuple[int, ...]


_HEADINGS = ("Turns", "Input", "Cached", "Output", "API value")
_DISPENSABLE = ("Cached", "Input")
"""Columns that a narrow terminal does without, the first one first."""

_FIGURES = ("turns", "input_tokens", "cached_tokens", "output_tokens")
_TIMES = ("day", "week", "month", "hour")
_MIN_USED = 6
"""The least width of the column of points."""

_MAX_REASONS = 4
"""Reasons for turns without a value that are listed one by one."""


def render_usage(
    document: UsageDocument, profile: TerminalProfile, *, all_rows: bool = False, explain: bool = False
) -> Text:
    """Show the document of ``usage --json``: a line with a bar for each row, and notes on the figures below.

    Args:
        document: the document.
        profile: the terminal; it shows `MAX_ROWS` rows with turns, and the others as one.
        all_rows: show each row.
        explain: also show the token weights.
    """
    left_out = (
        _left_out(document, MAX_ROWS) if not (all_rows or profile.unlimited) else _left_out(document, sys.maxsize)
    )
    lines = [_title(document, profile), *_table(document, left_out, profile)]
    sentences = [*_notes(document), *_value_notes(document), *(_weights(document) if explain else [])]
    summary = [Text(line) for line in wrapped(_summary(document), profile)]
    notes = [Text(line, "dim") for note in sentences for line in wrapped(note, profile)]
    return Text("\n").join([*lines, Text(""), *summary, *notes])


def _left_out(document: UsageDocument, most: int) -> slice:
    """Return which rows are too many: the last ones with turns, or the earliest times. Others are left out as well."""
    number = sum(not _is_without_turns(row) for row in document["rows"])
    many = max(0, number - most)
    return slice(0, many) if document["by"] in _TIMES else slice(number - many, number)


def _title(document: UsageDocument, profile: TerminalProfile) -> Text:
    accounts = document["accounts"]
    who = sanitize(account_limits.label(accounts[0])) if len(accounts) == 1 else f"{len(accounts)} accounts"
    since, until = (formatting.clock_time(each, profile.zone) for each in (document["since"], document["until"]))
    about = [f"{_windows(document)} of {sanitize(document['limit_id'])}", f"{since} to {until}", who]
    return Text(about[0], "bold").append(profile.glyphs.dot.join(["", *about[1:]]), "not bold")


def _windows(document: UsageDocument) -> str:
    """Return the words for the windows of all accounts: one length only if all have that one."""
    if len({window["length"] for window in document["windows"]}) > 1:
        return "windows"
    length = window_length(document["window"] or "", document["window_minutes"])
    return f"{length} window"


def _lengths(document: UsageDocument) -> str:
    """Return the length of each account's window, for accounts with different ones."""
    labels = {account["account"]: sanitize(account_limits.label(account)) for account in document["accounts"]}
    return ", ".join(
        f"{window_length(window['window'], window['window_minutes'])} of {labels[window['account']]}"
        for window in document["windows"]
    )


def _labels(by: str, entries: Sequence[UsageEntry], width: int, profile: TerminalProfile) -> list[str]:
    """Return the labels of rows and branches; those of threads are at most so wide."""
    threads = [
        LabelledThread(each["key"], each["name"], each["title"], each["kind"], each["depth"])
        for each in entries
        if by == "thread" and each["key"] is not None
    ]
    of_threads = thread_labels(threads, width, profile.glyphs)
    return [of_threads.get(each["key"] or "") or _label(by, each) for each in entries]


def _label(by: str, row: UsageEntry) -> str:
    if _is_without_turns(row):
        return ELSEWHERE if row["elsewhere"] else PENDING
    if by in _TIMES and row["depth"]:
        return _model_label(row["key"])
    if row["key"] is None:
        return _NOT_REPORTED.get(by, formatting.UNKNOWN)
    if by == "week":
        return _monday(row["key"])
    return kind_label(row["key"]) if by == "subagent" else sanitize(row["name"] or row["key"])


def _monday(week: str) -> str:
    """Return the first day of an ISO week by its key."""
    year, _, number = week.partition("-W")
    return dt.date.fromisocalendar(int(year), int(number), 1).isoformat()


def _is_without_turns(row: UsageEntry) -> bool:
    return row["elsewhere"] or row["pending"]


def _style(row: UsageEntry) -> str:
    return "dim" if _is_without_turns(row) or row["depth"] else "cyan"


def _row(label: str, row: UsageFigures, style: str, *, has_turns: bool = True) -> _Row:
    figures = _figures([row])
    return _Row(label, row["points"], _used([row]), figures if has_turns else ("",) * len(figures), style)


def _sum(document: UsageDocument, left_out: slice, profile: TerminalProfile) -> _Row:
    """Return one row for those that are not shown, or not listed."""
    rows: list[UsageFigures] = [*document["rows"][left_out], *filter(None, [document["others"]])]
    number = left_out.stop - left_out.start + document["other_rows"]
    points = sum(row["points"] for row in rows)
    return _Row(rows_left_out(number, profile), points, _used(rows), _figures(rows), "dim", is_sum=True)


def _used(rows: Sequence[UsageFigures]) -> str:
    """Return how much rows used: points of the window, or the amount of a budget."""
    amounts = [row["amount"] for row in rows if row["amount"] is not None]
    return f"{sum(amounts):,.1f}" if amounts else f"{sum(row['points'] for row in rows):.1f}"


def _figures(rows: Sequence[UsageFigures]) -> tuple[str, ...]:
    """Return the texts of the columns behind the bar: counts, and the value of what has a price."""
    counts = (sum(row[name] for row in rows) for name in _FIGURES)  # type: ignore[literal-required]
    return (*map(amount, counts), _value(rows))


def _value(rows: Sequence[UsageFigures]) -> str:
    """Return the value of what has a price: with a plus if something has none, and a question mark if nothing has."""
    values = [row["api_value_usd"] for row in rows if row["api_value_usd"] is not None]
    not_priced = sum(row["not_priced_turns"] for row in rows)
    if not values:
        return formatting.UNKNOWN if not_priced else ""
    return formatting.dollars(sum(values)) + ("+" if not_priced else "")


def _opened(document: UsageDocument, rows: Sequence[UsageRow]) -> list[UsageEntry]:
    """Return the rows, each followed by the entries of its tree, or by its models if there are several."""
    with_models = len(document["by_model"]) > 1
    return [entry for row in rows for entry in (row, *row["tree"], *(_model_entries(row) if with_models else ()))]


def _model_entries(row: UsageRow) -> Iterator[UsageEntry]:
    """Yield the models of a day, week or month as entries below it."""
    for each in row["by_model"]:
        entry: Any = {**row, **each, "key": each["model"], "name": None, "parent": row["key"], "depth": 1}
        yield entry


def _table(document: UsageDocument, left_out: slice, profile: TerminalProfile) -> list[Text]:
    """Return the lines of the table: rows, one for those that are left out, and the total with its models."""
    by = document["by"]
    before = _opened(document, document["rows"][: left_out.start])
    entries = [*before, *_opened(document, document["rows"][left_out.stop :])]
    rows = [_row("", each, _style(each), has_turns=not _is_without_turns(each)) for each in entries]
    sums = [_sum(document, left_out, profile)] if document["rows"][left_out] or document["others"] else []
    totals = _totals(document)
    every = (*rows, *sums, *totals)
    unit = (document["unit"] or "points").capitalize()
    widths = _widths(every)
    used = max(_MIN_USED, len(unit), *(len(row.used) for row in every))
    fitting = _fitting(used, widths, profile)
    figures = _selected(widths, fitting)
    room = _label_room((used, *figures), profile)
    labels = _labels(by, entries, room, profile)
    rows = [row._replace(label=label) for row, label in zip(rows, labels, strict=True)]
    rows[len(before) : len(before)] = sums
    columns = _columns([_head(by), *(row.label for row in (*rows, *totals))], room, (used, *figures), profile)
    max_points = max((row.points for row in rows if not row.is_sum), default=0)
    head = _line(_head(by), unit, Text(), _selected(_HEADINGS, fitting), columns)
    head.stylize("bold")
    lines = [head]
    for row in (*rows, *totals):
        label = truncate(row.label, columns.label, profile.glyphs)
        bar = _bar(row, max_points, 0 if row.is_sum else columns.bar, profile)
        lines.append(_line(label, row.used, bar, _selected(row.figures, fitting), columns))
    return lines


def _totals(document: UsageDocument) -> list[_Row]:
    """Return the row of the total, and below it its models if there are several."""
    models = document["by_model"] if len(document["by_model"]) > 1 else []
    rows = [
        _row("total", document["total"], "bold"),
        *(_row(_model_label(each["model"]), each, "dim") for each in models),
    ]
    return [row._replace(is_sum=True) for row in rows]


def _model_label(model: str | None) -> str:
    return f"  {sanitize(model or _NOT_REPORTED['model'])}"


def _widths(rows: Sequence[_Row]) -> tuple[int, ...]:
    return tuple(max(len(heading), *(len(row.figures[i]) for row in rows)) for i, heading in enumerate(_HEADINGS))


def _fitting(used: int, figures: Sequence[int], profile: TerminalProfile) -> list[int]:
    """Return the places of the columns that leave room for labels: the first ones of `_DISPENSABLE` go first."""
    kept = list(range(len(figures)))
    for heading in _DISPENSABLE:
        room = profile.width - _fixed_width((used, *(figures[place] for place in kept)))
        if not profile.unlimited and room < _WIDE_ENOUGH:
            kept.remove(_HEADINGS.index(heading))
    return kept


def _selected(values: Sequence[_Value], places: Sequence[int]) -> tuple[_Value, ...]:
    return tuple(values[place] for place in places)


def _head(by: str) -> str:
    return _HEADS.get(by, by.capitalize())


def _label_room(figures: Sequence[int], profile: TerminalProfile) -> int:
    """Return the greatest width of labels: beside a bar, if they are wide enough there."""
    if profile.unlimited:
        return sys.maxsize
    room = profile.width - _fixed_width(figures)
    beside_bar = room - _MIN_BAR - len("  ")
    return min(_MAX_LABEL, max(_MIN_LABEL, beside_bar if beside_bar >= _WIDE_ENOUGH else room))


def _fixed_width(figures: Sequence[int]) -> int:
    return sum(width + len("  ") for width in figures)


def _columns(labels: Sequence[str], room: int, figures: tuple[int, ...], profile: TerminalProfile) -> _Columns:
    """Return the widths; the first of `figures` is that of the points."""
    wanted = min(room, max(map(len, labels)))
    label = max(wanted, label_width(labels, wanted, profile.glyphs))
    left = profile.width - label - _fixed_width(figures) - len("  ")
    return _Columns(label, figures[0], min(left, _MAX_BAR) if left >= _MIN_BAR else 0, figures[1:])


def _bar(row: _Row, max_points: float, width: int, profile: TerminalProfile) -> Text:
    """Return a row's bar; `max_points` fill the width."""
    full = max(1, round(width * row.points / max_points)) if max_points and row.points and width else 0
    return Text(profile.glyphs.full * full, row.style)


def _line(label: str, points: str, bar: Text, figures: Sequence[str], columns: _Columns) -> Text:
    line = Text(f"{label:<{columns.label}}  {points:>{columns.used}}")
    if columns.bar:
        line.append("  ").append_text(bar).append(" " * (columns.bar - len(bar)))
    for figure, width in zip(figures, columns.figures, strict=True):
        line.append(f"  {figure:>{width}}")
    line.rstrip()
    return line


def _summary(document: UsageDocument) -> str:
    """Return the whole use in a sentence: of the window, in tokens, and its value."""
    total = document["total"]
    tokens = amount(total["input_tokens"] + total["output_tokens"])
    parts = [f"In all {_used_of_window(document)}", f"{tokens} tokens"]
    value, not_priced = total["api_value_usd"], total["not_priced_turns"]
    if value is not None:
        parts.append(f"{formatting.dollars(value)} at public API prices")
    turns = count(not_priced, "turn")
    return ", ".join(parts) + (f" + {turns} not priced." if not_priced and value is not None else ".")


def _used_of_window(document: UsageDocument) -> str:
    total, unit = document["total"], document["unit"]
    if unit and total["amount"] is not None:
        return f"{total['amount']:,.1f} {sanitize(unit)}"
    if len(document["windows"]) == 1:
        return f"{formatting.percent(total['points'])} of a {_windows(document)}"
    return formatting.in_points(total["points"])


def _value_notes(document: UsageDocument) -> Iterator[str]:
    """Yield sentences on the value at public API prices: what it is, and what it leaves out."""
    if document["total"]["api_value_usd"] is not None:
        source = f" ({sanitize(document['price_source'])})" if document["price_source"] else ""
        yield f"API value: what the tokens are sold for on the public API{source}. On a plan nothing was paid for it."
    elif document["not_priced"] and not document["price_source"]:
        yield (
            "No public prices: genai-prices is not installed (it needs Python 3.12 or newer) or cannot be read. "
            "--prices FILE takes your own."
        )
    if document["own_prices"]:
        yield f"Your own prices: {', '.join(map(sanitize, document['own_prices']))}."
    if document["not_priced"]:
        shown = [f"{count(each['turns'], 'turn')} {_reason(each)}" for each in document["not_priced"][:_MAX_REASONS]]
        others = sum(each["turns"] for each in document["not_priced"][_MAX_REASONS:])
        yield f"Not priced: {', '.join([*shown, *([f'{others:,} others'] if others else [])])}."


def _reason(turns: NotPricedTurns) -> str:
    model = sanitize(turns["model"] or "an unknown model")
    match turns["reason"]:
        case "model":
            return f"of {model} (no price known)"
        case "tier":
            return f"of {model} at tier {sanitize(turns['tier'] or '')} (no price known)"
        case "model_not_reported":
            return "without a reported model"
        case "tokens_not_reported":
            return f"of {model} (cut off, no token counts)"


def _notes(document: UsageDocument) -> list[str]:
    """Return notes on the figures: how reliable they are, and what they mean."""
    increases, readings = document["rises"], document["readings"]
    notes = []
    imported = imported_note(document["total"]["imported_turns"], document["total"]["turns"])
    if imported:
        notes.append(imported)
    if document["imported_readings"]:
        notes.append(
            f"{document['imported_readings']:,} of {count(readings, 'reading')} are from session files as well."
        )
    if increases < FEW_INCREASES:
        notes.append(f"Few changes: {count(increases, 'increase')} in {count(readings, 'change')}.")
    if document["rows"] and document["rows"][-1]["elsewhere"]:
        notes.append(
            f"{ELSEWHERE}: increases without a turn through the tap, or far larger than the turns' tokens explain. "
            "Possible causes: another machine, the web, or Codex without the tap."
        )
    if document["by"] == "project" and not any(row["key"] for row in document["rows"]):
        notes.append("None of these threads is known to Codex in the folder CODEX_HOME (~/.codex by default).")
    if any(row["pending"] for row in document["rows"]):
        notes.append(
            f"{PENDING}: increases of the last hour without a turn so far. A turn under way may explain them when it "
            f"ends; otherwise they are {ELSEWHERE}."
        )
    if len({window["length"] for window in document["windows"]}) > 1:
        notes.append(f"Windows: {_lengths(document)}.")
    if len(document["accounts"]) > 1 and document["by"] != "account":
        notes.append("Points refer to each account's own window.")
    return notes


def _weights(document: UsageDocument) -> Iterator[str]:
    """Yield a sentence on the token weights of each model."""
    accounts = {account["account"]: sanitize(account_limits.label(account)) for account in document["accounts"]}
    for fit in document["weights"]:
        whose = f"{accounts[fit['account']]}, " if len(accounts) > 1 else ""
        yield f"{whose}{_weight(fit)}"
    if any(fit["fitted"] for fit in document["weights"]):
        yield "Earlier increases keep the weights of their time; --refit divides all of them anew."


def _weight(fit: TokenWeights) -> str:
    kinds = ((fit["uncached_input"], "uncached input"), (fit["cached_input"], "cached"), (fit["output"], "output"))
    weights = ", ".join(f"{weight:.2g} ({kind})" for weight, kind in kinds)
    model = sanitize(fit["model"] or _NOT_REPORTED["model"])
    source = f"fitted from {count(fit['rises'], 'increase')}" if fit["fitted"] else "from public prices"
    return f"{model}: token weights {weights}, {source}."
