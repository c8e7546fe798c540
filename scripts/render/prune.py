"""Terminal output of ``prune``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.render.accounts import account_label
from scripts.render.console import count
from store.analysis import formatting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scripts.render.console import TerminalProfile
    from store.queries.retention import PruneCounts


def render_prune(
    counts: Sequence[PruneCounts], before: float, size: int, freed: int, profile: TerminalProfile, *, deleted: bool
) -> str:
    """Show what is older than `before` in each account, and what deleting it does to the file of `size` bytes."""
    limit = formatting.clock_time(before, profile.zone)
    affected = [each for each in counts if each.rows]
    if not affected:
        return f"Nothing is older than {limit}."
    names = [account_label(each.account, profile.glyphs) for each in affected]
    width = max(map(len, names))
    lines = [f"  {name:<{width}}  {_counted(each)}" for name, each in zip(names, affected, strict=True)]
    if deleted:
        return "\n".join([f"Deleted (older than {limit}):", *lines, _deleted(size, freed)])
    return "\n".join(
        [
            f"Older than {limit}:",
            *lines,
            f"That is about {_megabytes(freed)} of {_megabytes(size)}. The newest snapshot of each limit stays.",
            "Nothing was deleted. Add --yes to delete it.",
        ]
    )


def _counted(each: PruneCounts) -> str:
    parts = [(each.snapshots, "snapshot"), (each.turns, "turn"), (each.threads, "thread")]
    if each.imported_limits:
        parts.append((each.imported_limits, "imported reading"))
    return ", ".join(count(number, noun) for number, noun in parts)


def _deleted(size: int, freed: int) -> str:
    if freed:
        return f"The file is {_megabytes(freed)} smaller: {_megabytes(size - freed)}."
    return "The file has the same size; new data uses the free space in it."


def _megabytes(number: int) -> str:
    return f"{number / 1_000_000:,.1f} MB"
