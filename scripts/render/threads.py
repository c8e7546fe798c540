"""Terminal output of ``threads``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from scripts.render.console import clock_time
from scripts.render.imports import imported_note
from scripts.render.usage import short_ids
from scripts.support.sanitize import sanitize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scripts.render.console import TerminalProfile
    from store.queries.threads import Thread


def render_threads(found: Sequence[Thread], now: float, profile: TerminalProfile) -> Text:
    """Show threads with their names, turns, last use and accounts."""
    short = short_ids(thread.thread for thread in found)
    cells = [
        (
            sanitize(thread.name or ""),
            sanitize(thread.thread if profile.unlimited else short[thread.thread]),
            str(thread.turns),
            clock_time(thread.last_seen_at, now, profile.zone),
            ", ".join(sanitize(account.label) for account in thread.accounts),
        )
        for thread in found
    ]
    heading = ("Name", "Thread", "Turns", "Last seen", "Account")
    widths = [max(len(row[i]) for row in (heading, *cells)) for i in range(len(heading))]
    if not any(row[0] for row in cells):
        widths[0] = 0
    lines = [Text(_cells(heading, widths), "bold"), *(Text(_cells(row, widths)) for row in cells)]
    note = imported_note(sum(each.imported_turns for each in found), sum(each.turns for each in found))
    return Text("\n").join([*lines, *([Text(note, "dim")] if note else [])])


def _cells(row: Sequence[str], widths: Sequence[int]) -> str:
    name, thread, turns, last, account = widths
    parts = [f"{row[0]:<{name}}"] if name else []
    parts += [f"{row[1]:<{thread}}", f"{row[2]:>{turns}}", f"{row[3]:<{last}}", f"{row[4]:<{account}}"]
    return "  ".join(parts).rstrip()
