"""Sanitizing of text for terminals."""

from __future__ import annotations


def sanitize(text: object) -> str:
    """Replace what could control a terminal: control characters, escape sequences, changes of writing direction."""
    written = str(text)
    if written.isprintable():
        return written
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in written)
