"""Readings of a window out of session files, put in order: several sessions that run at once tell one window.

The time of such a reading is that of the request whose response brought it, as nearly as the file tells. So of two
sessions the one may seem to tell later what was so before the other's reading.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from store.reset_times import same_reset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.analysis.attribution import WindowSample

OVERTAKEN_SECONDS = 3_600.0
"""The longest time by which a reading may be late: that of the longest turn."""

_LOOK_AHEAD = 20


def ordered(samples: Sequence[WindowSample], until: float) -> list[WindowSample]:
    """Return samples in the order of their times, up to the time at which the tap's own begin (Unix seconds).

    A sample below the one before it, of the same reset, is late where the window soon is back at what it was: it is
    left out. None is seen longer than until the next one.
    """
    waiting = sorted(sample for sample in samples if sample.first_at < until)
    found: list[WindowSample] = []
    for number, sample in enumerate(waiting):
        if found and _is_late(sample, found[-1], islice(waiting, number + 1, number + 1 + _LOOK_AHEAD)):
            continue
        if found and found[-1].last_at > sample.first_at:
            found[-1] = found[-1]._replace(last_at=sample.first_at)
        found.append(sample)
    if found and found[-1].last_at > until:
        found[-1] = found[-1]._replace(last_at=until)
    return found


def _is_late(sample: WindowSample, before: WindowSample, following: islice[WindowSample]) -> bool:
    if sample.used_percent >= before.used_percent or not same_reset(sample.resets_at, before.resets_at):
        return False
    return any(
        after.used_percent >= before.used_percent and same_reset(after.resets_at, before.resets_at)
        for after in following
        if after.first_at - sample.first_at <= OVERTAKEN_SECONDS
    )
