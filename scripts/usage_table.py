"""How ``usage`` and ``threads`` look in a terminal: documents of `store.queries` in, styled text out.

Names, models and threads came over the wire or from people: they go through `printable`, never through markup.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.text import Text

from scripts import render
from scripts.printable import printable
from store import choice, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scripts.render import Look
    from store.queries.threads import Thread

FEW_RISES = 10
"""Fewer rises than this say little of who used what."""

SHORT_ID = 8
"""Characters that a thread without a name is shown by, where no other shown begins so."""

ELSEWHERE = "used elsewhere"

_LABEL_MOST, _LABEL_LEAST = 36, 12
_BAR_LEAST, _BAR_MOST = 6, 30
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


def usage(document: Mapping[str, Any], look: Look) -> Text:
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


def _title(document: Mapping[str, Any], look: Look) -> Text:
    accounts = document["accounts"]
    who = printable(choice.label(accounts[0])) if len(accounts) == 1 else f"{len(accounts)} accounts"
    length = render.window_length(document["window"], document["window_minutes"])
    since, until = (words.moment(document[name], look.zone) for name in ("since", "until"))
    about = [f"{length} window of {printable(document['limit_id'])}", f"{since} to {until}", who]
    return Text(about[0], "bold").append(look.glyphs.dot.join(["", *about[1:]]), "not bold")


def _labels(document: Mapping[str, Any]) -> list[str]:
    by, rows = document["by"], document["rows"]
    short = short_ids(row["key"] for row in rows if row["key"] is not None) if by == "thread" else {}
    return [_label(row, short, _NOT_TOLD.get(by, words.UNKNOWN)) for row in rows]


def _label(row: Mapping[str, Any], short: Mapping[str, str], not_told: str) -> str:
    if row["elsewhere"]:
        return ELSEWHERE
    if row["key"] is None:
        return not_told
    return printable(row["name"] or short.get(row["key"], row["key"]))


def _row(label: str, row: Mapping[str, Any], style: str) -> _Row:
    figures = (str(row["turns"]), *(tokens(row[f"{kind}_tokens"]) for kind in ("input", "cached", "output")))
    return _Row(label, row["points"], ("",) * len(figures) if row.get("elsewhere") else figures, style)


def _table(by: str, rows: Sequence[_Row], total: _Row, look: Look) -> list[Text]:
    columns = _columns(by, (*rows, total), look)
    most = max((row.points for row in rows), default=0)
    head = _line(by.capitalize(), "Points", Text(), _HEADINGS, columns)
    head.stylize("bold")
    return [
        head,
        *(
            _line(render.cut(row.label, columns.label, look.glyphs), *_points(row, most, columns.bar, look), columns)
            for row in rows
        ),
        _line(total.label, *_points(total, 0, 0, look), columns),
    ]


def _columns(by: str, rows: Sequence[_Row], look: Look) -> _Columns:
    figures = tuple(max(len(heading), *(len(row.figures[i]) for row in rows)) for i, heading in enumerate(_HEADINGS))
    fixed = len("  Points") + sum(width + len("  ") for width in figures)
    wanted = min(_LABEL_MOST, max(len(by), *(len(row.label) for row in rows)))
    label = wanted if look.whole else max(_LABEL_LEAST, min(wanted, look.width - fixed - _BAR_LEAST - len("  ")))
    room = look.width - label - fixed - len("  ")
    return _Columns(label, min(room, _BAR_MOST) if room >= _BAR_LEAST else 0, figures)


def _points(row: _Row, most: float, width: int, look: Look) -> tuple[str, Text, Sequence[str]]:
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
    if rises < FEW_RISES:
        notes.append(
            f"Few readings: the window rose {render.count(rises, 'time')} in {render.count(readings, 'reading')}."
        )
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
    model = printable(fit["model"] or _NOT_TOLD["model"])
    return f"{model}: a token weighs {weights}, fitted from {render.count(fit['rises'], 'rise')}."


def _wrapped(text: str, look: Look) -> list[str]:
    return [text] if look.whole else textwrap.wrap(text, max(20, look.width), break_on_hyphens=False)


# Threads


def threads(found: Sequence[Thread], now: float, look: Look) -> Text:
    """Show threads, the newest first: what each is called, whose it is, its turns and when it was last seen."""
    short = short_ids(thread.thread for thread in found)
    cells = [
        (
            printable(thread.name or ""),
            printable(thread.thread if look.whole else short[thread.thread]),
            str(thread.turns),
            render.moment(thread.last_seen_at, now, look.zone),
            ", ".join(printable(account.label) for account in thread.accounts),
        )
        for thread in found
    ]
    heading = ("Name", "Thread", "Turns", "Last seen", "Account")
    widths = [max(len(row[i]) for row in (heading, *cells)) for i in range(len(heading))]
    if not any(row[0] for row in cells):
        widths[0] = 0
    lines = [Text(_cells(heading, widths), "bold"), *(Text(_cells(row, widths)) for row in cells)]
    return Text("\n").join(lines)


def _cells(row: Sequence[str], widths: Sequence[int]) -> str:
    name, thread, turns, last, account = widths
    parts = [f"{row[0]:<{name}}"] if name else []
    parts += [f"{row[1]:<{thread}}", f"{row[2]:>{turns}}", f"{row[3]:<{last}}", f"{row[4]:<{account}}"]
    return "  ".join(parts).rstrip()
