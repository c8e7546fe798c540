"""The terminal: its profile, glyphs and colours, and printing to it."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console

from scripts.render.levels import COLOURS
from scripts.support.sanitize import sanitize
from store.analysis import formatting

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from rich.text import Text

_MIN_WRAP_WIDTH = 20


MAX_ROWS = 20
"""Rows of a list on a terminal; a pipe gets all of them."""


class Glyphs(NamedTuple):
    """Characters that some terminals and pipes cannot encode."""

    full: str
    empty: str
    dot: str
    ellipsis: str


TYPOGRAPHIC = Glyphs("█", "░", " · ", "…")
_PLAIN = Glyphs("#", "-", " - ", "...")


class TerminalProfile(NamedTuple):
    """Columns, characters, colours and time zone of the output (None: the machine's own zone).

    `unlimited` means that lines may have any length, as in a pipe: nothing is truncated or left out.
    """

    width: int = 80
    unlimited: bool = False
    glyphs: Glyphs = TYPOGRAPHIC
    zone: dt.tzinfo | None = None
    colours: bool = False


def make_console() -> Console:
    """Return a console for standard output: colours only on a terminal, without markup and highlighting."""
    return Console(highlight=False, markup=False, emoji=False)


def detect_profile(console: Console) -> TerminalProfile:
    """Return the profile of a console."""
    try:
        "".join(TYPOGRAPHIC).encode(console.encoding)
        glyphs = TYPOGRAPHIC
    except UnicodeEncodeError:
        glyphs = _PLAIN
    return TerminalProfile(
        console.width,
        unlimited=not console.is_terminal,
        glyphs=glyphs,
        colours=console.is_terminal and not console.no_color,
    )


def print_text(console: Console, text: Text) -> None:
    """Print lines unchanged: a terminal wraps long ones, a pipe gets them whole."""
    if not console.is_terminal:
        # A hundred times as fast, which matters for a long history.
        console.file.write(f"{text.plain}\n")
        return
    console.print(text, no_wrap=True, overflow="ignore", crop=False)


def ansi(console: Console, text: Text) -> str:
    """Return a line with the console's colours as escape sequences, whatever its length."""
    with console.capture() as capture:
        console.print(text, no_wrap=True, overflow="ignore", crop=False, end="")
    return capture.get()


def clock_time(timestamp: float, now: float, zone: dt.tzinfo | None = None) -> str:
    """Write a timestamp as short as `now` allows: ``14:05``, ``Tue 14:05``, ``3 Dec 14:05``."""
    return formatting.short_moment(timestamp, now, zone)


def window_length(slot: str, minutes: int | None) -> str:
    """Write a window's real length (``5 h``, ``30 d``); an unknown one is that of the slot, with a ``?``."""
    return sanitize(formatting.window_length(slot, minutes))


def count(number: int, noun: str) -> str:
    """Write a number of things: ``1 turn``, ``1,200 turns``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def rows_left_out(number: int, profile: TerminalProfile) -> str:
    """Return the line that counts the rows that are not shown: ``… and 1,057 more (--all)``."""
    return f"{profile.glyphs.ellipsis} and {number:,} more (--all)"


def filled(used: float | None, width: int) -> int:
    """Return the filled part of a bar: at least one cell for any use, all cells only for 100 %."""
    if not used:
        return 0
    return width if used >= 100 else min(width - 1, max(1, round(width * used / 100)))


def left_percent(used: float | None) -> str:
    """Write what is left of a window beside its used percent, so that both add up to 100."""
    return formatting.percent(None if used is None else max(0.0, 100 - formatting.rounded(used)))


def truncate(text: str, width: int, glyphs: Glyphs = TYPOGRAPHIC) -> str:
    """Shorten text to a width, with an ellipsis in the place of the rest."""
    return text if len(text) <= width else text[: max(0, width - len(glyphs.ellipsis))] + glyphs.ellipsis


def label_width(labels: Iterable[str], width: int, glyphs: Glyphs = TYPOGRAPHIC) -> int:
    """Return the width of a column of labels: at most `width`, unless two of them would look the same in it."""
    different = set(labels)
    widest = max(map(len, different), default=0)
    return (
        min(width, widest) if len({truncate(each, width, glyphs) for each in different}) == len(different) else widest
    )


def wrapped(text: str, profile: TerminalProfile, indent: int = 0, *, min_width: int = _MIN_WRAP_WIDTH) -> list[str]:
    """Return sanitized text as lines that fit beside `indent` columns; words stay whole."""
    if profile.unlimited:
        return [sanitize(text)] if text else []
    width = max(min_width, profile.width - indent)
    return textwrap.wrap(sanitize(text), width, break_long_words=False, break_on_hyphens=False)


def level_style(level: str | None) -> str:
    """Return the style of a level of `store.analysis.levels`; None is an unknown one."""
    return COLOURS[level] if level else "dim"
