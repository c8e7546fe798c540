"""What a server makes of it: windows that begin with the first use, fill up, close and reset; and what a tap reads."""

from __future__ import annotations

import bisect
import itertools
from typing import TYPE_CHECKING, NamedTuple

from tests.simulate.processes import PROCESSES, STEP_SECONDS, STEPS_PER_DAY, STEPS_PER_HOUR

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

BEGIN = 1_795_392_000
"""A Monday's midnight (2026-11-23, UTC)."""

DAYS = 42
WINDOW_MINUTES = {"5h": 300, "7d": 10_080}
FULL = 100.0


class Row(NamedTuple):
    """What the tap stores: figures, and the first and last moment at which they were read."""

    first_seen_at: float
    last_seen_at: float
    used_percent: float
    resets_at: int


class Truth(NamedTuple):
    """What will be: the used percent at the reset if nothing stops it, and when it runs dry (infinite if never)."""

    at_reset: float
    dry_at: float


class World:
    """One account's limit with one window, for six weeks."""

    def __init__(self, process: str, slot: str, rng: random.Random) -> None:
        """Let it all happen."""
        steps = DAYS * STEPS_PER_DAY
        demand = PROCESSES[process](rng, steps)
        self.length = WINDOW_MINUTES[slot] * 60 // STEP_SECONDS
        self.whole_numbers = rng.random() < 0.7
        total = [seen + unseen for seen, unseen in zip(*demand, strict=True)]
        scale = rng.uniform(70, 150) / _usual(total, self.length)
        self._asked = list(itertools.accumulate((scale * points for points in total), initial=0.0))
        self._windows: list[tuple[int, float]] = []
        self.rows: list[Row] = []
        self._happen([points > 0 for points in demand.seen])
        self._starts = [start for start, _ in self._windows]

    def _happen(self, seen: list[bool]) -> None:
        start, end = -1, 0
        for step, reading in enumerate(seen):
            asked = self._asked[step + 1] > self._asked[step]
            if step >= end and asked:
                start, end = step, step + self.length
                self._windows.append((start, self._asked[step]))
            if reading and asked:
                self._read(step, min(self._asked[step] - self._asked[start], FULL), BEGIN + end * STEP_SECONDS)

    def _read(self, step: int, used: float, resets_at: int) -> None:
        at = BEGIN + step * STEP_SECONDS + 20.0
        shown = self.shown(used)
        newest = self.rows[-1] if self.rows else None
        if newest and newest[2:] == (shown, resets_at):
            self.rows[-1] = newest._replace(last_seen_at=at)
        else:
            self.rows.append(Row(at, at, shown, resets_at))

    def shown(self, used: float) -> float:
        """Return a used percentage as this server writes it."""
        return float(round(used)) if self.whole_numbers else round(used, 1)

    def moments(self, rng: random.Random, number: int, first_day: float, last_day: float) -> Iterator[float]:
        """Yield moments at which the window is open and was read."""
        found = 0
        for _ in range(number * 50):
            at = BEGIN + rng.uniform(first_day, last_day) * 86_400
            index = bisect.bisect_right(self.rows, at, key=lambda row: row.first_seen_at) - 1
            if index >= 0 and self._is_open(at, self.rows[index]):
                found += 1
                yield at
            if found == number:
                return

    def _is_open(self, at: float, row: Row) -> bool:
        return at < row.resets_at and 0 < row.used_percent < FULL and self.truth(at).dry_at > at

    def truth(self, now: float) -> Truth:
        """Answer "what will really be?" at a moment with an open window."""
        position = (now - BEGIN) / STEP_SECONDS
        start, before = self._windows[bisect.bisect_right(self._starts, position) - 1]
        end = min(start + self.length, len(self._asked) - 1)
        dry = bisect.bisect_left(self._asked, before + FULL, start, end + 1)
        dry_at = BEGIN + dry * STEP_SECONDS if dry <= end else float("inf")
        return Truth(self.shown(self._asked[end] - before), dry_at)


def _usual(total: list[float], length: int) -> float:
    """Return the points that a window usually takes: of a week, or of five hours of work."""
    mean = sum(total) / len(total)
    if length > STEPS_PER_DAY:
        return mean * length
    active = sum(points > 0 for points in total[: 7 * STEPS_PER_DAY]) / (7 * STEPS_PER_DAY)
    hours = length / STEPS_PER_HOUR
    return mean * STEPS_PER_HOUR / max(active, 0.2) * hours
