"""How ``events`` look in a terminal: documents of `store.queries.events` in, styled lines out.

What an event says may hold names that came over the wire: it goes through `printable`, never through markup.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from rich.text import Text

from scripts.render.console import truncate
from scripts.support.sanitize import sanitize
from store.analysis import formatting, ranking

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scripts.render.console import TerminalProfile

_STYLES = {
    "limit_reached": "red",
    "limit_freed": "green",
    "window_reset": "green",
    "window_reset_early": "bold yellow",
    "window_moved": "bold yellow",
    "used_percent_fell": "bold yellow",
    "used_elsewhere": "yellow",
}
"""What asks for attention; the rest is plain."""

_MAX_LABEL = 28
_MIN_WIDTH = 30
"""Columns that a sentence has at the least."""


def render_events(document: Mapping[str, Any], look: TerminalProfile) -> Iterator[Text]:
    """Show the document of ``events --json``: when, what, whose, and the sentence; below it what is not sure."""
    labels = {
        each["account"]: truncate(sanitize(ranking.label(each)), _MAX_LABEL, look.glyphs)
        for each in document["accounts"]
    }
    shown = {event["account"] for event in document["events"]}
    who = max((len(labels[key]) for key in shown), default=0) if len(labels) > 1 else 0
    what = max((len(event["kind"]) for event in document["events"]), default=0)
    for event in document["events"]:
        yield from _lines(event, labels[event["account"]] if who else "", who, what, look)


def _lines(event: Mapping[str, Any], label: str, who: int, what: int, look: TerminalProfile) -> Iterator[Text]:
    head = Text(f"{formatting.clock_time(event['at'], look.zone)}  ")
    head.append(f"{event['kind'].replace('_', ' '):<{what}}  ", _STYLES.get(event["kind"], ""))
    if who:
        head.append(f"{label:<{who}}  ")
    indent = " " * len(head)
    first, *more = _wrapped(event["text"], len(indent), look)
    yield head.append(first)
    for line in more:
        yield Text(indent + line)
    for line in _wrapped(event["note"] or "", len(indent), look):
        yield Text(indent).append(line, "dim")


def _wrapped(text: str, taken: int, look: TerminalProfile) -> list[str]:
    width = 10_000 if look.whole else max(_MIN_WIDTH, look.width - taken)
    return textwrap.wrap(sanitize(text), width, break_long_words=False, break_on_hyphens=False)
