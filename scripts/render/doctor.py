"""Terminal output of ``doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from scripts.render.console import wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scripts.maintenance.doctor.check import Check
    from scripts.render.console import TerminalProfile

_NAME_WIDTH = 13
_INDENT = " " * (9 + _NAME_WIDTH)
_LEVELS = {"ok": "green", "note": "yellow", "problem": "bold red", "off": "dim"}


def render_checks(checks: Iterable[Check], profile: TerminalProfile) -> Text:
    """Show the checks, and below each one what to do about it."""
    lines = []
    for check in checks:
        first, *more = wrapped(check.message, profile, len(_INDENT))
        line = Text(f"{check.level:<9}", _LEVELS[check.level])
        lines.append(line.append(f"{check.name:<{_NAME_WIDTH}}{first}", "not bold default"))
        lines += [Text(_INDENT + each) for each in more]
        lines += [Text(_INDENT + each, "dim") for each in wrapped(check.advice or "", profile, len(_INDENT))]
    return Text("\n").join(lines)
