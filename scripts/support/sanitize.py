"""Text from the wire, made harmless for a terminal."""

from __future__ import annotations


def sanitize(text: object) -> str:
    """Return text without what could steer a terminal: control characters, escapes, changes of direction."""
    written = str(text)
    if written.isprintable():
        return written
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in written)
