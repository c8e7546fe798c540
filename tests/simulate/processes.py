"""Ways of using a limit: who asks for how much of a window, every five minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

STEP_SECONDS = 300
STEPS_PER_HOUR = 12
STEPS_PER_DAY = 24 * STEPS_PER_HOUR


class Demand(NamedTuple):
    """Points asked for in each step, through the tap and past it (another machine, the web)."""

    seen: list[float]
    unseen: list[float]


def steady(rng: random.Random, steps: int) -> Demand:
    """An agent that never sleeps, with a little noise."""
    return Demand([rng.uniform(0.5, 1.5) for _ in range(steps)], [0.0] * steps)


def bursts(rng: random.Random, steps: int) -> Demand:
    """Spells of work at any hour, each as hard as it comes, with pauses of any length between."""
    return Demand(_spells(rng, steps, on_hours=1.5, off_hours=2.0), [0.0] * steps)


def nights_off(rng: random.Random, steps: int) -> Demand:
    """A person's days: from about 9 to about 18, some harder than others, with pauses, and no weekends."""
    return Demand(_days(rng, steps, rng.uniform(8, 10), rng.uniform(17, 19), weekends=False), [0.0] * steps)


def two_machines(rng: random.Random, steps: int) -> Demand:
    """A person's days through the tap, and a second machine past it, later in the day and on weekends, too."""
    ours = _days(rng, steps, rng.uniform(8, 10), rng.uniform(17, 19), weekends=False)
    share = rng.uniform(0.3, 0.6)
    theirs = [points * share for points in _days(rng, steps, rng.uniform(11, 14), rng.uniform(20, 23), weekends=True)]
    return Demand(ours, theirs)


PROCESSES: dict[str, Callable[[random.Random, int], Demand]] = {
    "steady": steady,
    "bursts": bursts,
    "nights and weekends off": nights_off,
    "two machines": two_machines,
}


def _spells(rng: random.Random, steps: int, on_hours: float, off_hours: float) -> list[float]:
    found: list[float] = []
    while len(found) < steps:
        found += [0.0] * int(rng.expovariate(1 / off_hours) * STEPS_PER_HOUR)
        level = rng.lognormvariate(0.0, 0.5)
        length = 1 + int(rng.expovariate(1 / on_hours) * STEPS_PER_HOUR)
        found += [level * rng.uniform(0.3, 1.7) for _ in range(length)]
    return found[:steps]


def _days(rng: random.Random, steps: int, begin: float, end: float, *, weekends: bool) -> list[float]:
    spells = _spells(rng, steps, on_hours=1.5, off_hours=0.6)
    found = [0.0] * steps
    for day in range(steps // STEPS_PER_DAY + 1):
        if day % 7 >= 5 and not weekends:
            continue
        level = rng.lognormvariate(0.0, 0.3)
        first = day * STEPS_PER_DAY + int((begin + rng.gauss(0, 0.5)) * STEPS_PER_HOUR)
        last = day * STEPS_PER_DAY + int((end + rng.gauss(0, 0.7)) * STEPS_PER_HOUR)
        for step in range(max(first, 0), min(last, steps)):
            found[step] = level * spells[step]
    return found
