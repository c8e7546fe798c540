"""What was worked out before: nearly always the same is asked again, such as what the names of an answer's headers say.

Any thread may ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Made = TypeVar("Made")

LONGEST = 256
"""Bytes of a header's name or value that may be remembered; no known one comes near it."""

MOST_PARTS = 150
"""How many names or values are remembered together; real answers have about fifty."""


class Memory(Generic[Made]):
    """A bounded memory of what a function makes of tuples off the wire; of one that is too big nothing is remembered.

    The latest is found by comparing, which takes a fraction of what it takes to hash bytes that were never hashed.
    """

    def __init__(self, make: Callable[[tuple[Any, ...]], Made], most: int) -> None:
        """Take the function, which never returns None, and how many of its results are remembered at most."""
        self._make = make
        self._most = most
        self._known: dict[tuple[Any, ...], Made] = {}
        self._latest: tuple[tuple[Any, ...], Made] | None = None

    def find(self, parts: tuple[Any, ...]) -> Made:
        """Return what the function makes of these."""
        latest = self._latest
        if latest and latest[0] == parts:
            return latest[1]
        made = self._known.get(parts)
        if made is None:
            made = self._make(parts)
            if len(parts) > MOST_PARTS or any(isinstance(part, bytes | str) and len(part) > LONGEST for part in parts):
                return made
            if len(self._known) >= self._most:
                self._known.clear()
            self._known[parts] = made
        self._latest = parts, made
        return made
