"""What the names of headers mean, decided once for each spelling: a hook looks up some fifty of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Meaning = TypeVar("Meaning")

MAX_NAME_LENGTH = 100
"""Bytes of a header's name; every known one is much shorter."""

MAX_NAMES = 1024
"""Spellings that are held."""


class HeaderNames(dict[bytes, "Meaning | None"], Generic[Meaning]):
    """The meaning of each header's name, as it is spelled; None if the header is not wanted.

    A dictionary, because `lru_cache` makes an object for each look-up of bytes. It is emptied when it is full.
    """

    __slots__ = ("_classify",)

    def __init__(self, classify: Callable[[bytes], Meaning | None]) -> None:
        """Create it; `classify` returns the meaning of a name that is not too long."""
        self._classify = classify

    def __missing__(self, name: bytes) -> Meaning | None:
        if len(name) > MAX_NAME_LENGTH:
            return None
        if len(self) >= MAX_NAMES:
            self.clear()
        found = self[name] = self._classify(name)
        return found
