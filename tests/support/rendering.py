"""Rendered text: the profile of a terminal in UTC, and expected drawings."""

from __future__ import annotations

import datetime as dt
import textwrap

from scripts.render.console import TerminalProfile

UTC = TerminalProfile(80, zone=dt.UTC)


def lines(drawing: str) -> str:
    """Return a drawing without the indentation of the source code."""
    return textwrap.dedent(drawing).strip("\n")
