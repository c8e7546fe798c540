"""Terminal output of ``history``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.text import Text

from scripts.render.console import TerminalProfile, clock_time, label_width, level_style, truncate, window_length
from scripts.support.sanitize import sanitize
from store.analysis import account_limits, formatting
from store.analysis.budgets import budget_text
from store.analysis.formatting import percent
from store.analysis.levels import level

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from store.documents import HistoryEntry
    from store.queries.accounts import Account

_WIDE = 100
"""Columns of a terminal that has room for every column of the history."""

_MAX_LABEL, _MAX_NARROW_LABEL = 28, 17
_LAST_WIDTH, _TIMES_WIDTH = 12, 5


def render_history(
    entries: Iterator[HistoryEntry], accounts: Sequence[Account], limit_ids: Sequence[str], profile: TerminalProfile
) -> Iterator[Text]:
    """Yield a header and a line for each entry, as the entries come; nothing if there is none."""
    columns = _Columns.fitting([account.label for account in accounts], limit_ids, profile)
    first = next(entries, None)
    if first is None:
        return
    yield _header(columns)
    yield _row(first, columns, profile)
    for entry in entries:
        yield _row(entry, columns, profile)


class _Columns(NamedTuple):
    """The widths of the optional columns: 0 where there is no room, or where all rows have the same value."""

    last: int
    times: int
    account: int
    limit: int

    @classmethod
    def fitting(cls, labels: Iterable[str], limit_ids: Iterable[str], profile: TerminalProfile) -> _Columns:
        """Return the widths for these accounts and limits."""
        wide = profile.unlimited or profile.width >= _WIDE
        max_width = _MAX_LABEL if wide else _MAX_NARROW_LABEL
        last, times = (_LAST_WIDTH, _TIMES_WIDTH) if wide else (0, 0)
        account, limit = (_column_width(values, max_width, profile) for values in (labels, limit_ids))
        return cls(last, times, account, limit)


def _column_width(values: Iterable[str], max_width: int, profile: TerminalProfile) -> int:
    shown = [sanitize(value) for value in values]
    return label_width(shown, max_width, profile.glyphs) if len(shown) > 1 else 0


def _header(columns: _Columns) -> Text:
    """Return the header."""
    cells = _Cells("First seen", "Last seen", "Times", "Account", "Limit")
    return Text(_line(cells, columns) + "Used", "bold")


def _row(entry: HistoryEntry, columns: _Columns, profile: TerminalProfile) -> Text:
    """Show one snapshot in a line, which does not depend on other rows."""
    first, last = entry["first_seen_at"], entry["last_seen_at"]
    cells = _Cells(
        formatting.clock_time(first, profile.zone),
        clock_time(last, first, profile.zone) if last > first else "",
        str(entry["observations"]),
        truncate(sanitize(account_limits.label(entry)), columns.account, profile.glyphs),
        truncate(sanitize(entry["limit_id"]), columns.limit, profile.glyphs),
    )
    text = Text(_line(cells, columns))
    for slot, window in entry["windows"].items():
        used = window["used_percent"]
        text.append(f"{window_length(slot, window['window_minutes'])} ")
        text.append(f"{percent(used):<6}", level_style(level(used))).append("  ")
    amounts = budget_text(entry["budget"]) if entry["budget"] else None
    if amounts:
        text.append(f"{sanitize(amounts)}  ")
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


def _line(cells: _Cells, columns: _Columns) -> str:
    parts = [f"{cells.first:<16}"]
    parts += [f"{cells.last:<{columns.last}}"] if columns.last else []
    parts += [f"{cells.times:>{columns.times}}"] if columns.times else []
    parts += [f"{cells.account:<{columns.account}}"] if columns.account else []
    parts += [f"{cells.limit:<{columns.limit}}"] if columns.limit else []
    return "  ".join([*parts, ""])
