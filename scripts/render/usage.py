"""Terminal output of ``usage``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.text import Text

from scripts.render.console import count, label_width, truncate, window_length, wrapped
from scripts.render.imports import imported_note
from scripts.support.sanitize import sanitize
from store.analysis import formatting, ranking
from store.analysis.formatting import amount

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scripts.render.console import TerminalProfile
    from store.documents import TokenWeights, UsageDocument, UsageFigures, UsageRow

FEW_INCREASES = 10
"""With fewer increases the attribution is unreliable."""

SHORT_ID = 8
"""Characters of a thread's id that are shown, unless another id has the same prefix."""

ELSEWHERE = "used elsewhere"
PENDING = "not yet attributed"

_MAX_LABEL, _MIN_LABEL = 36, 12
_MIN_BAR, _MAX_BAR = 6, 30
_NOT_REPORTED = {"thread": "thread not reported", "model": "model not reported"}


class _Row(NamedTuple):
    """The texts of a row, before the layout."""

    label: str
    points: float
    figures: tuple[str, ...]
    style: str


class _Columns(NamedTuple):
    """The common widths of all rows; `bar` is 0 where there is no room."""

    label: int
    bar: int
    figures: tuple[int, ...]


_HEADINGS = ("Turns", "Input", "Cached", "Output")


def render_usage(document: UsageDocument, profile: TerminalProfile) -> Text:
    """Show the document of ``usage --json``: a line with a bar for each row, and notes on the figures below."""
    names = iter(_labels(document))
    rows = [
        _row(next(names), row, "dim" if _is_without_turns(row) else "cyan", has_turns=not _is_without_turns(row))
        for row in document["rows"]
    ]
    total = _row("total", document["total"], "bold")
    lines = [_title(document, profile), *_table(document["by"], rows, total, profile)]
    notes = [Text(line, "dim") for note in _notes(document) for line in wrapped(note, profile)]
    return Text("\n").join([*lines, *([Text("")] if notes else []), *notes])


def short_ids(ids: Iterable[str]) -> dict[str, str]:
    """Return for each id its shortest unique prefix of at least `SHORT_ID` characters."""
    ordered = sorted(set(ids))
    found = {}
    for before, each, after in zip(["", *ordered], ordered, [*ordered[1:], ""], strict=False):
        length = max(SHORT_ID, 1 + max(_common(before, each), _common(each, after)))
        found[each] = each[:length]
    return found


def _common(one: str, other: str) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _title(document: UsageDocument, profile: TerminalProfile) -> Text:
    accounts = document["accounts"]
    who = sanitize(ranking.label(accounts[0])) if len(accounts) == 1 else f"{len(accounts)} accounts"
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
    labels = {account["account"]: sanitize(ranking.label(account)) for account in document["accounts"]}
    return ", ".join(
        f"{window_length(window['window'], window['window_minutes'])} of {labels[window['account']]}"
        for window in document["windows"]
    )


def _labels(document: UsageDocument) -> list[str]:
    by, rows = document["by"], document["rows"]
    short = short_ids(row["key"] for row in rows if row["key"] is not None) if by == "thread" else {}
    return [_label(row, short, _NOT_REPORTED.get(by, formatting.UNKNOWN)) for row in rows]


def _label(row: UsageRow, short: Mapping[str, str], not_reported: str) -> str:
    if _is_without_turns(row):
        return ELSEWHERE if row["elsewhere"] else PENDING
    if row["key"] is None:
        return not_reported
    return sanitize(row["name"] or short.get(row["key"], row["key"]))


def _is_without_turns(row: UsageRow) -> bool:
    return row["elsewhere"] or row["pending"]


def _row(label: str, row: UsageFigures, style: str, *, has_turns: bool = True) -> _Row:
    figures = tuple(map(amount, (row["turns"], row["input_tokens"], row["cached_tokens"], row["output_tokens"])))
    return _Row(label, row["points"], figures if has_turns else ("",) * len(figures), style)


def _table(by: str, rows: Sequence[_Row], total: _Row, profile: TerminalProfile) -> list[Text]:
    columns = _columns(by, (*rows, total), profile)
    max_points = max((row.points for row in rows), default=0)
    head = _line(by.capitalize(), "Points", Text(), _HEADINGS, columns)
    head.stylize("bold")
    return [
        head,
        *(
            _line(
                truncate(row.label, columns.label, profile.glyphs),
                *_points(row, max_points, columns.bar, profile),
                columns,
            )
            for row in rows
        ),
        _line(total.label, *_points(total, 0, 0, profile), columns),
    ]


def _columns(by: str, rows: Sequence[_Row], profile: TerminalProfile) -> _Columns:
    figures = tuple(max(len(heading), *(len(row.figures[i]) for row in rows)) for i, heading in enumerate(_HEADINGS))
    fixed = len("  Points") + sum(width + len("  ") for width in figures)
    labels = [row.label for row in rows]
    wanted = min(_MAX_LABEL, max(len(by), *map(len, labels)))
    if not profile.unlimited:
        wanted = max(_MIN_LABEL, min(wanted, profile.width - fixed - _MIN_BAR - len("  ")))
    label = max(wanted, label_width(labels, wanted, profile.glyphs))
    room = profile.width - label - fixed - len("  ")
    return _Columns(label, min(room, _MAX_BAR) if room >= _MIN_BAR else 0, figures)


def _points(row: _Row, max_points: float, width: int, profile: TerminalProfile) -> tuple[str, Text, Sequence[str]]:
    """Return a row's points, its bar and its figures; `max_points` fill the bar."""
    full = max(1, round(width * row.points / max_points)) if max_points and row.points and width else 0
    return f"{row.points:.1f}", Text(profile.glyphs.full * full, row.style), row.figures


def _line(label: str, points: str, bar: Text, figures: Sequence[str], columns: _Columns) -> Text:
    line = Text(f"{label:<{columns.label}}  {points:>6}")
    if columns.bar:
        line.append("  ").append_text(bar).append(" " * (columns.bar - len(bar)))
    for figure, width in zip(figures, columns.figures, strict=True):
        line.append(f"  {figure:>{width}}")
    line.rstrip()
    return line


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
        notes.append(f"Few readings: {count(increases, 'increase')} in {count(readings, 'reading')}.")
    if document["rows"] and document["rows"][-1]["elsewhere"]:
        notes.append(
            f"{ELSEWHERE}: increases without a turn through the tap, or far larger than the turns' tokens explain. "
            "Possible causes: another machine, the web, or Codex without the tap."
        )
    if any(row["pending"] for row in document["rows"]):
        notes.append(
            f"{PENDING}: increases of the last hour without a turn so far. A turn under way may explain them when it "
            f"ends; otherwise they are {ELSEWHERE}."
        )
    if len({window["length"] for window in document["windows"]}) > 1:
        notes.append(f"Windows: {_lengths(document)}.")
    if len(document["accounts"]) > 1 and document["by"] != "account":
        notes.append("Points refer to each account's own window.")
    fits = [fit for fit in document["weights"] if fit["fitted"]]
    if len(document["accounts"]) > 1 and fits:
        return [*notes, f"Token weights are fitted for {len(fits)} of {len(document['weights'])} models."]
    return [*notes, *map(_fitted, fits)]


def _fitted(fit: TokenWeights) -> str:
    kinds = ((fit["uncached_input"], "uncached input"), (fit["cached_input"], "cached"), (fit["output"], "output"))
    weights = ", ".join(f"{weight:.2g} ({kind})" for weight, kind in kinds)
    model = sanitize(fit["model"] or _NOT_REPORTED["model"])
    return f"{model}: token weights {weights}, fitted from {count(fit['rises'], 'increase')}."
