"""Terminal output of ``history``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rich.text import Text

from scripts.render.console import TerminalProfile, clock_time, colour, truncate, window_length
from scripts.support.sanitize import sanitize
from store.analysis import formatting
from store.analysis.formatting import percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


_ROOMY = 100
"""Columns from which on the history has all of its own."""

_MAX_LABEL, _LABEL_NARROW = 28, 17
_LAST_WIDTH, _TIMES_WIDTH = 12, 5


# History


class HistoryColumns(NamedTuple):
    """The widths of the columns that not every history has: 0 for want of room, or where all rows say the same."""

    last: int
    times: int
    account: int
    limit: int

    @classmethod
    def fitting(cls, labels: Iterable[str], limit_ids: Iterable[str], look: TerminalProfile) -> HistoryColumns:
        """Make the columns that hold these accounts and limits."""
        roomy = look.whole or look.width >= _ROOMY
        most = _MAX_LABEL if roomy else _LABEL_NARROW
        last, times = (_LAST_WIDTH, _TIMES_WIDTH) if roomy else (0, 0)
        return cls(last, times, _column_width(labels, most), _column_width(limit_ids, most))


def _column_width(values: Iterable[str], most: int) -> int:
    widths = [len(sanitize(value)) for value in values]
    return min(most, max(widths)) if len(widths) > 1 else 0


def render_history_header(columns: HistoryColumns) -> Text:
    """Return the line above the rows."""
    cells = _Cells("First seen", "Last seen", "Times", "Account", "Limit")
    return Text(_history_line(cells, columns) + "Used", "bold")


def render_history_row(entry: Mapping[str, Any], columns: HistoryColumns, look: TerminalProfile) -> Text:
    """Show one snapshot in a line; nothing depends on the rows before or after."""
    first, last = entry["first_seen_at"], entry["last_seen_at"]
    cells = _Cells(
        formatting.clock_time(first, look.zone),
        clock_time(last, first, look.zone) if last > first else "",
        str(entry["observations"]),
        truncate(sanitize(entry["name"] or entry["email"] or entry["account"]), columns.account, look.glyphs),
        truncate(sanitize(entry["limit_id"]), columns.limit, look.glyphs),
    )
    text = Text(_history_line(cells, columns))
    for slot, window in entry["windows"].items():
        used = window["used_percent"]
        text.append(f"{window_length(slot, window['window_minutes'])} ")
        text.append(f"{percent(used):<6}", colour(used)).append("  ")
    if not entry["windows"]:
        text.append("no figures  ", "dim")
    if entry["limit_reached"] or entry["reached_type"]:
        text.append("limit reached  ", "red")
    if entry["late"]:
        text.append("arrived late", "dim")
    text.rstrip()
    return text


class _Cells(NamedTuple):
    first: str
    last: str
    times: str
    account: str
    limit: str


def _history_line(cells: _Cells, columns: HistoryColumns) -> str:
    parts = [f"{cells.first:<16}"]
    parts += [f"{cells.last:<{columns.last}}"] if columns.last else []
    parts += [f"{cells.times:>{columns.times}}"] if columns.times else []
    parts += [f"{cells.account:<{columns.account}}"] if columns.account else []
    parts += [f"{cells.limit:<{columns.limit}}"] if columns.limit else []
    return "  ".join([*parts, ""])
