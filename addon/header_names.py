"""What the names of headers mean, decided once: for each spelling, and for each order in which they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Meaning = TypeVar("Meaning")
Layout = TypeVar("Layout")

MAX_NAME_LENGTH = 100
"""Bytes of a header's name; every known one is much shorter."""

MAX_NAMES = 1024
"""Spellings that are held."""

MAX_LAYOUTS = 64
"""Orders of names that are held; one client and one server have a few."""

MAX_LAYOUT_LENGTH = 8 * 1024
"""Bytes of all names of an order that is held; those of a real response have about 1 kB."""


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


class HeaderLayouts(dict[tuple[bytes, ...], Layout], Generic[Layout]):
    """Where the wanted headers stand, by the names of all headers of a message in their order.

    The requests of one client name their headers in one order, and so do the responses of one server: a hook looks up
    the order instead of some fifty names. The dictionary is emptied when it is full.
    """

    __slots__ = ("_decide",)

    def __init__(self, decide: Callable[[tuple[bytes, ...]], Layout]) -> None:
        """Create it; `decide` returns the layout of a message by its names."""
        self._decide = decide

    def __missing__(self, names: tuple[bytes, ...]) -> Layout:
        layout = self._decide(names)
        if sum(map(len, names)) <= MAX_LAYOUT_LENGTH:
            if len(self) >= MAX_LAYOUTS:
                self.clear()
            self[names] = layout
        return layout
