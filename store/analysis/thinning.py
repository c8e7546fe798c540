"""The snapshots that a chart needs: of those that only raise used percents, the first and the last of each bucket.

Pure functions. A chart whose columns begin at multiples of the bucket's length is the same without the others: between
the first and the last one nothing happened that it shows, and the lowest value, the highest and the last one stay.
"""

from __future__ import annotations

from operator import le
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Reading(NamedTuple):
    """A snapshot of a limit: its id, when it was first and last seen (Unix seconds), and its windows.

    ``used`` has the used percents of its windows, ``windows`` all else of them: slots, lengths and resets.
    """

    id: int
    first_seen_at: float
    last_seen_at: float
    used: tuple[float, ...]
    windows: tuple[object, ...]


class Needed(NamedTuple):
    """A reading that a chart needs, and the number of those that it stands for, itself included."""

    reading: Reading
    number: int


def thinned(readings: Iterable[Needed], bucket_seconds: int) -> Iterator[Needed]:
    """Yield the readings that are needed: the first one of a run stands for those between it and the last one.

    Args:
        readings: Those of one limit in the order of arrival, none left out but by shorter buckets.
        bucket_seconds: The length of a bucket. Buckets begin at its multiples.

    """
    first: Needed | None = None
    last: Needed | None = None
    between = 0
    for needed in readings:
        if first is None:
            first = needed
        elif _goes_on((last or first).reading, needed.reading, bucket_seconds):
            between += last.number if last else 0
            last = needed
        else:
            yield from _run(first, last, between)
            first, last, between = needed, None, 0
    if first is not None:
        yield from _run(first, last, between)


def _run(first: Needed, last: Needed | None, between: int) -> Iterator[Needed]:
    yield Needed(first.reading, first.number + between)
    if last is not None:
        yield last


def _goes_on(before: Reading, after: Reading, bucket_seconds: int) -> bool:
    """Return True if the later of two readings only raises used percents, within the bucket of the earlier one."""
    _, begun_at, left_at, was, windows = before
    _, seen_at, _, used, others = after
    return (
        seen_at >= left_at
        and windows == others
        and begun_at // bucket_seconds == seen_at // bucket_seconds
        and all(map(le, was, used))
    )
