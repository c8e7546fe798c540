"""Which ones does a person mean by a name, or by the start of one?"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

T = TypeVar("T")


def matching(known: Iterable[T], start: str, names: Callable[[T], Collection[str]]) -> list[T]:
    """Return those of which `start` is a name, as it is written, or else those of which it begins one, in any case."""
    named = [(each, names(each)) for each in known]
    exact = [each for each, its_names in named if start in its_names]
    wanted = start.casefold()
    return exact or [each for each, its_names in named if any(name.casefold().startswith(wanted) for name in its_names)]
