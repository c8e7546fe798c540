"""Terminal output of ``events``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from scripts.render.console import truncate, wrapped
from scripts.support.sanitize import sanitize
from store.analysis import formatting, ranking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.render.console import TerminalProfile
    from store.documents import EventEntry, EventsDocument

_STYLES = {
    "limit_reached": "red",
    "limit_freed": "green",
    "window_reset": "green",
    "window_reset_early": "bold yellow",
    "banked_reset_used": "green",
    "window_moved": "bold yellow",
    "used_percent_fell": "bold yellow",
    "used_elsewhere": "yellow",
}
"""Styles of the kinds that deserve attention; the others are plain."""

_MAX_LABEL = 28
_MIN_TEXT_WIDTH = 30


def render_events(document: EventsDocument, profile: TerminalProfile) -> Iterator[Text]:
    """Show the document of ``events --json``: time, kind, account and text of each event, and its note below."""
    labels = {
        account["account"]: truncate(sanitize(ranking.label(account)), _MAX_LABEL, profile.glyphs)
        for account in document["accounts"]
    }
    shown = {event["account"] for event in document["events"]}
    label_width = max((len(labels[key]) for key in shown), default=0) if len(labels) > 1 else 0
    kind_width = max((len(event["kind"]) for event in document["events"]), default=0)
    for event in document["events"]:
        head = Text(f"{formatting.clock_time(event['at'], profile.zone)}  ")
        head.append(f"{event['kind'].replace('_', ' '):<{kind_width}}  ", _STYLES.get(event["kind"], ""))
        if label_width:
            head.append(f"{labels[event['account']]:<{label_width}}  ")
        yield from _event(event, head, profile)


def _event(event: EventEntry, head: Text, profile: TerminalProfile) -> Iterator[Text]:
    indent = " " * len(head)
    first, *more = wrapped(event["text"], profile, len(indent), min_width=_MIN_TEXT_WIDTH)
    yield head.append(first)
    for line in more:
        yield Text(indent + line)
    for line in wrapped(event["note"] or "", profile, len(indent), min_width=_MIN_TEXT_WIDTH):
        yield Text(indent).append(line, "dim")
