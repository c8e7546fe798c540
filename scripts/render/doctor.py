"""Terminal output of ``doctor``."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from rich.text import Text

from scripts.support.sanitize import sanitize

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scripts.maintenance.doctor import Check
    from scripts.render.console import TerminalProfile


# Doctor


_NAME_WIDTH = 13
_INDENT = " " * (9 + _NAME_WIDTH)
_LEVELS = {"ok": "green", "note": "yellow", "problem": "bold red"}


def render_checks(found: Iterable[Check], look: TerminalProfile) -> Text:
    """Show what the doctor found, and below each finding what to do about it."""
    lines = []
    for check in found:
        first, *more = _wrapped(check.message, look)
        line = Text(f"{check.level:<9}", _LEVELS[check.level])
        lines.append(line.append(f"{check.name:<{_NAME_WIDTH}}{first}", "not bold default"))
        lines += [Text(_INDENT + each) for each in more]
        lines += [Text(_INDENT + each, "dim") for each in _wrapped(check.advice or "", look)]
    return Text("\n").join(lines)


def _wrapped(text: str, look: TerminalProfile) -> list[str]:
    width = 10_000 if look.whole else max(20, look.width - len(_INDENT))
    return textwrap.wrap(sanitize(text), width, break_long_words=False, break_on_hyphens=False)
