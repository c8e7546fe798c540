"""The terminal: its profile, glyphs and colours, and printing to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console

from scripts.render.levels import COLOURS, level
from scripts.support.sanitize import sanitize
from store.analysis import formatting

if TYPE_CHECKING:
    import datetime as dt

    from rich.text import Text


"""How far a weekday's name alone is clear: less than a week, or today's own name would come round again."""


class Glyphs(NamedTuple):
    """The characters that not every terminal or pipe can show."""

    full: str
    empty: str
    dot: str
    ellipsis: str


TYPOGRAPHIC = Glyphs("█", "░", " · ", "…")
_PLAIN = Glyphs("#", "-", " - ", "...")


class TerminalProfile(NamedTuple):
    """What an answer has to fit into: columns, characters, and the time zone (None is the machine's own).

    `whole` says that nothing is to be left out for want of room: a pipe takes lines of any length.
    """

    width: int = 80
    whole: bool = False
    glyphs: Glyphs = TYPOGRAPHIC
    zone: dt.tzinfo | None = None


def make_console() -> Console:
    """Return a console that writes to standard output: colours on a terminal only, no markup, nothing restyled."""
    return Console(highlight=False, markup=False, emoji=False)


def detect_profile(target: Console) -> TerminalProfile:
    """Return what fits into a console."""
    try:
        "".join(TYPOGRAPHIC).encode(target.encoding)
    except UnicodeEncodeError:
        return TerminalProfile(target.width, whole=not target.is_terminal, glyphs=_PLAIN)
    return TerminalProfile(target.width, whole=not target.is_terminal)


def print_text(target: Console, text: Text) -> None:
    """Print lines as they are: one that is too long is for the terminal to wrap, and for a pipe to keep whole."""
    if not target.is_terminal:
        # A hundred times as fast, which a long history needs.
        target.file.write(f"{text.plain}\n")
        return
    target.print(text, no_wrap=True, overflow="ignore", crop=False)


def clock_time(at: float, now: float, zone: dt.tzinfo | None = None) -> str:
    """Write a moment as short as it is clear at another: ``14:05``, ``Tue 14:05``, ``3 Dec 14:05``."""
    return formatting.short_moment(at, now, zone)


def window_length(slot: str, minutes: int | None) -> str:
    """Write a window's real length (``5 h``, ``7 d``, ``30 d``); one nobody told is the slot's, with a ``?``."""
    return sanitize(formatting.window_length(slot, minutes))


def count(number: int, thing: str) -> str:
    """Write a number of things: ``1 turn``, ``1,200 turns``."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def truncate(text: str, width: int, glyphs: Glyphs = TYPOGRAPHIC) -> str:
    """Write no more of a text than there is room for, an ellipsis at the end of what is cut."""
    return text if len(text) <= width else text[: max(0, width - len(glyphs.ellipsis))] + glyphs.ellipsis


def colour(used: float | None) -> str:
    """Return the style of a used percentage; `scripts.render.levels` says from where on."""
    found = level(used)
    return COLOURS[found] if found else "dim"
