"""How ``usage`` and ``threads`` look in a terminal: documents of `store.queries` in, styled text out.

Names, models and threads came over the wire or from people: they go through `printable`, never through markup.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.text import Text

from scripts.render.console import count, truncate, window_length
from scripts.support.sanitize import sanitize
from store.analysis import formatting, ranking

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scripts.render.console import TerminalProfile


FEW_INCREASES = 10
"""Fewer rises than this say little of who used what."""

SHORT_ID = 8
"""Characters that a thread without a name is shown by, where no other shown begins so."""

ELSEWHERE = "used elsewhere"

_MAX_LABEL, _MIN_LABEL = 36, 12
_MIN_BAR, _MAX_BAR = 6, 30
_NOT_TOLD = {"thread": "thread not told", "model": "model not told"}
_SCALES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


class _Row(NamedTuple):
    """A row, written but not yet laid out."""

    label: str
    points: float
    figures: tuple[str, ...]
    style: str


class _Columns(NamedTuple):
    """The widths that all rows share; no bar where there is no room for it."""

    label: int
    bar: int
    figures: tuple[int, ...]


_HEADINGS = ("Turns", "Input", "Cached", "Output")


def render_usage(document: Mapping[str, Any], look: TerminalProfile) -> Text:
    """Show the document of ``usage --json``: a line for each row with its share as a bar, and what to know below."""
    names = iter(_labels(document))
    rows = [_row(next(names), row, "dim" if row["elsewhere"] else "cyan") for row in document["rows"]]
    total = _row("total", document["total"], "bold")
    lines = [_title(document, look), *_table(document["by"], rows, total, look)]
    notes = [Text(line, "dim") for note in _notes(document) for line in _wrapped(note, look)]
    return Text("\n").join([*lines, *([Text("")] if notes else []), *notes])


def tokens(number: int) -> str:
    """Write a number of tokens short: ``950``, ``12.3k``, ``1.2M``."""
    for scale, letter in _SCALES:
        if number >= 0.9995 * scale:
            return f"{number / scale:.3g}{letter}" if number < 999.5 * scale else f"{number / scale:.0f}{letter}"
    return str(number)


def short_ids(ids: Iterable[str]) -> dict[str, str]:
    """Return for each id the shortest start of at least `SHORT_ID` characters that no other of them has."""
    ordered = sorted(set(ids))
    found = {}
    for before, each, after in zip(["", *ordered], ordered, [*ordered[1:], ""], strict=False):
        length = max(SHORT_ID, 1 + max(_common(before, each), _common(each, after)))
        found[each] = each[:length]
    return found


def _common(one: str, other: str) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _title(document: Mapping[str, Any], look: TerminalProfile) -> Text:
    accounts = document["accounts"]
    who = sanitize(ranking.label(accounts[0])) if len(accounts) == 1 else f"{len(accounts)} accounts"
    length = window_length(document["window"], document["window_minutes"])
    since, until = (formatting.clock_time(document[name], look.zone) for name in ("since", "until"))
    about = [f"{length} window of {sanitize(document['limit_id'])}", f"{since} to {until}", who]
    return Text(about[0], "bold").append(look.glyphs.dot.join(["", *about[1:]]), "not bold")


def _labels(document: Mapping[str, Any]) -> list[str]:
    by, rows = document["by"], document["rows"]
    short = short_ids(row["key"] for row in rows if row["key"] is not None) if by == "thread" else {}
    return [_label(row, short, _NOT_TOLD.get(by, formatting.UNKNOWN)) for row in rows]


def _label(row: Mapping[str, Any], short: Mapping[str, str], not_told: str) -> str:
    if row["elsewhere"]:
        return ELSEWHERE
    if row["key"] is None:
        return not_told
    return sanitize(row["name"] or short.get(row["key"], row["key"]))


def _row(label: str, row: Mapping[str, Any], style: str) -> _Row:
    figures = (str(row["turns"]), *(tokens(row[f"{kind}_tokens"]) for kind in ("input", "cached", "output")))
    return _Row(label, row["points"], ("",) * len(figures) if row.get("elsewhere") else figures, style)


def _table(by: str, rows: Sequence[_Row], total: _Row, look: TerminalProfile) -> list[Text]:
    columns = _columns(by, (*rows, total), look)
    most = max((row.points for row in rows), default=0)
    head = _line(by.capitalize(), "Points", Text(), _HEADINGS, columns)
    head.stylize("bold")
    return [
        head,
        *(
            _line(truncate(row.label, columns.label, look.glyphs), *_points(row, most, columns.bar, look), columns)
            for row in rows
        ),
        _line(total.label, *_points(total, 0, 0, look), columns),
    ]


def _columns(by: str, rows: Sequence[_Row], look: TerminalProfile) -> _Columns:
    figures = tuple(max(len(heading), *(len(row.figures[i]) for row in rows)) for i, heading in enumerate(_HEADINGS))
    fixed = len("  Points") + sum(width + len("  ") for width in figures)
    wanted = min(_MAX_LABEL, max(len(by), *(len(row.label) for row in rows)))
    label = wanted if look.whole else max(_MIN_LABEL, min(wanted, look.width - fixed - _MIN_BAR - len("  ")))
    room = look.width - label - fixed - len("  ")
    return _Columns(label, min(room, _MAX_BAR) if room >= _MIN_BAR else 0, figures)


def _points(row: _Row, most: float, width: int, look: TerminalProfile) -> tuple[str, Text, Sequence[str]]:
    """Return a row's points, its bar and its figures; the longest bar is that of `most` points."""
    full = max(1, round(width * row.points / most)) if most and row.points and width else 0
    return f"{row.points:.1f}", Text(look.glyphs.full * full, row.style), row.figures


def _line(label: str, points: str, bar: Text, figures: Sequence[str], columns: _Columns) -> Text:
    line = Text(f"{label:<{columns.label}}  {points:>6}")
    if columns.bar:
        line.append("  ").append_text(bar).append(" " * (columns.bar - len(bar)))
    for figure, width in zip(figures, columns.figures, strict=True):
        line.append(f"  {figure:>{width}}")
    line.rstrip()
    return line


def _notes(document: Mapping[str, Any]) -> list[str]:
    """Return what is to be known with the figures: how sure they are, and what they mean."""
    rises, readings = document["rises"], document["readings"]
    notes = []
    if rises < FEW_INCREASES:
        notes.append(f"Few readings: the window rose {count(rises, 'time')} in {count(readings, 'reading')}.")
    if document["rows"] and document["rows"][-1]["elsewhere"]:
        notes.append(
            f"{ELSEWHERE}: the window rose while no turn went through the tap, or by far more than the turns' tokens "
            "explain. Another machine, the web, or Codex without the tap."
        )
    if len(document["accounts"]) > 1 and document["by"] != "account":
        notes.append("Points are of each account's own window.")
    fits = [fit for fit in document["weights"] if fit["fitted"]]
    if len(document["accounts"]) > 1 and fits:
        return [*notes, f"What a token weighs is fitted for {len(fits)} of {len(document['weights'])} models."]
    return [*notes, *map(_fitted, fits)]


def _fitted(fit: Mapping[str, Any]) -> str:
    kinds = (("uncached_input", "uncached input"), ("cached_input", "cached"), ("output", "output"))
    weights = ", ".join(f"{fit[name]:.2g} ({kind})" for name, kind in kinds)
    model = sanitize(fit["model"] or _NOT_TOLD["model"])
    return f"{model}: a token weighs {weights}, fitted from {count(fit['rises'], 'rise')}."


def _wrapped(text: str, look: TerminalProfile) -> list[str]:
    return [text] if look.whole else textwrap.wrap(text, max(20, look.width), break_on_hyphens=False)
