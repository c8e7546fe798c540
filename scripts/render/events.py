"""Terminal output of ``events``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from scripts.render.console import count, label_width, truncate, wrapped
from scripts.support.sanitize import sanitize
from store.analysis import account_limits, formatting

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
    "window_not_reset": "bold yellow",
    "used_percent_fell": "bold yellow",
    "used_elsewhere": "yellow",
}
"""Styles of the kinds that deserve attention; the others are plain."""

_MAX_LABEL = 28
_MIN_TEXT_WIDTH = 30


def render_events(document: EventsDocument, profile: TerminalProfile, *, hides_routine: bool = False) -> Iterator[Text]:
    """Show the document of ``events --json``: time, kind, account, text and note of each event in a line.

    `hides_routine` leaves out resets that came when they were due.
    """
    labels = {account["account"]: sanitize(account_limits.label(account)) for account in document["accounts"]}
    events = [event for event in document["events"] if not (hides_routine and event["routine"])]
    shown = {event["account"] for event in events}
    width = label_width([labels[key] for key in shown], _MAX_LABEL, profile.glyphs) if len(labels) > 1 else 0
    kind_width = max((len(event["kind"]) for event in events), default=0)
    for event in events:
        head = Text(f"{formatting.clock_time(event['at'], profile.zone)}  ")
        head.append(f"{event['kind'].replace('_', ' '):<{kind_width}}  ", _STYLES.get(event["kind"], ""))
        if width:
            head.append(f"{truncate(labels[event['account']], width, profile.glyphs):<{width}}  ")
        yield from _event(event, head, profile)


def routine_resets(document: EventsDocument) -> str | None:
    """Return the line that counts the resets that came when they were due; None where there is none."""
    number = sum(event["routine"] for event in document["events"])
    verb = "is" if number == 1 else "are"
    return f"{count(number, 'routine reset')} {verb} not shown (--all)" if number else None


def _event(event: EventEntry, head: Text, profile: TerminalProfile) -> Iterator[Text]:
    indent = " " * len(head)
    sentences = f"{event['short_text']} {event['note']}" if event["note"] else event["short_text"]
    first, *more = wrapped(sentences, profile, len(indent), min_width=_MIN_TEXT_WIDTH)
    yield head.append(first)
    for line in more:
        yield Text(indent + line)
