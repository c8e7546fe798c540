"""The match of a name, or of a prefix of one, as with git's short hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

T = TypeVar("T")


def matching(known: Iterable[T], prefix: str, names: Callable[[T], Collection[str]]) -> list[T]:
    """Return those with the exact name `prefix`, else those with a name that begins with it, in any case."""
    named = [(each, names(each)) for each in known]
    exact = [each for each, its_names in named if prefix in its_names]
    wanted = prefix.casefold()
    return exact or [each for each, its_names in named if any(name.casefold().startswith(wanted) for name in its_names)]
