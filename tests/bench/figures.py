"""Medians, spreads and pairs."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def percentile(found: Sequence[float], percent: float) -> float:
    """The smallest figure that so many percent of all are not above; raises `ValueError` when there is none."""
    if not found:
        raise ValueError("nothing was measured")
    ordered = sorted(found)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


@dataclass(frozen=True)
class Spread:
    """The median of what was measured, and the quartiles around it."""

    median: float
    low: float
    high: float

    @classmethod
    def exactly(cls, figure: float) -> Spread:
        """One figure, which has no spread."""
        return cls(figure, figure, figure)

    @classmethod
    def of(cls, found: Sequence[float]) -> Spread:
        """Raises `ValueError` when nothing was measured."""
        return cls(statistics.median(found), percentile(found, 25), percentile(found, 75))


@dataclass(frozen=True)
class Pairs:
    """The same thing measured without the tap and with it, in turns: each figure has its neighbour."""

    bare: list[float]
    tap: list[float]

    def differences(self) -> Spread:
        """With the tap less without it."""
        return Spread.of([tap - bare for bare, tap in zip(self.bare, self.tap, strict=True)])

    def ratios(self) -> Spread:
        """With the tap over without it."""
        return Spread.of([tap / bare for bare, tap in zip(self.bare, self.tap, strict=True)])


def in_turns(count: int, bare: Callable[[], float], tap: Callable[[], float]) -> Pairs:
    """Measure both so many times, one right after the other; which one begins changes, so that a drift cancels out."""
    found = Pairs([], [])
    for number in range(count):
        steps = [(bare, found.bare), (tap, found.tap)]
        for measure, into in steps if number % 2 == 0 else reversed(steps):
            into.append(measure())
    return found


def joined(rounds: Sequence[Pairs]) -> Pairs:
    """All pairs of several rounds."""
    return Pairs(
        [figure for found in rounds for figure in found.bare], [figure for found in rounds for figure in found.tap]
    )
