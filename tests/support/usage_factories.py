"""Samples of a window and turns: written short, drawn by hypothesis, of simulated accounts, and recorded."""

from __future__ import annotations

import math
import random
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import strategies as st

from store.analysis.attribution import Attribution, TurnUse, Weights, WindowSample
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, NOON, WEEK_MINUTES, AccountHistory, limit, snapshot, windows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


WEEK = WEEK_MINUTES * 60
DAY = 86_400


def sample(used: float, at: float = 0, *, until: float | None = None, resets_at: int | None = WEEK) -> WindowSample:
    """A reading of a week's window, which was last seen at `until`."""
    return WindowSample(at, at if until is None else until, used, WEEK_MINUTES, resets_at)


def turn(started: float, ended: float, output: int | None = 100, **fields: Any) -> TurnUse:
    """A turn of thread t and model m with so many output tokens; None stands for a turn that was cut off."""
    count = None if output is None else 0
    values: dict[str, Any] = {
        "thread": "t",
        "model": "m",
        "warm_up": 0,
        "status": 200,
        "input_tokens": count,
        "cached_tokens": count,
        "output_tokens": output,
        "reasoning_tokens": count,
        "first_byte_at": started,
        **fields,
    }
    return TurnUse(started_at=started, ended_at=ended, **values)


def by_thread(found: Iterable[Attribution]) -> dict[str | None, float]:
    """Points by thread; None is use elsewhere."""
    points: dict[str | None, list[float]] = {}
    for part in found:
        points.setdefault(part.turn and part.turn.thread, []).append(part.points)
    return {thread: math.fsum(each) for thread, each in points.items()}


class SimulatedUse(NamedTuple):
    """The samples and turns of a simulation, and the cost of each thread; None is the other machine."""

    samples: list[WindowSample]
    turns: list[TurnUse]
    cost: dict[str | None, float]


_MEDIANS = {"refactor-auth": (3_000, 36_000, 400), "docs": (13_000, 22_000, 1_100)}


def simulate_use(
    seed: int, weights: Mapping[str, Weights], *, count: int = 1_500, elsewhere: float, at_end: bool
) -> SimulatedUse:
    """Two threads that cost what `weights` say, and another machine; readings are rounded down to whole percents.

    A reading comes with the start of each response, which does not count that turn, and with `at_end` after its end.
    """
    dice = random.Random(seed)  # noqa: S311 (a simulation)
    clock, used = 0.0, 0.0
    rows: list[WindowSample] = []
    found = SimulatedUse(rows, [], dict.fromkeys([*_MEDIANS, None], 0.0))

    def read(at: float) -> None:
        if rows and rows[-1].used_percent == math.floor(used):
            rows[-1] = rows[-1]._replace(last_at=at)
        else:
            rows.append(sample(math.floor(used), at))

    for number in range(count):
        clock += dice.expovariate(1 / 120)
        if dice.random() < elsewhere:
            used += 4
            found.cost[None] += 4
        thread, model = dice.choice(list(_MEDIANS)), list(weights)[number // 40 % len(weights)]
        kinds = [int(median * dice.lognormvariate(0, 1)) for median in _MEDIANS[thread]]
        read(clock + 0.5)
        started, clock = clock, clock + dice.uniform(5, 90)
        cost = sum(number * weight for number, weight in zip(kinds, weights[model], strict=True)) / 400_000
        used += cost
        found.cost[thread] += cost
        found.turns.append(
            turn(
                started,
                clock,
                kinds[2],
                first_byte_at=started + 0.5,
                thread=thread,
                model=model,
                input_tokens=kinds[0] + kinds[1],
                cached_tokens=kinds[1],
            )
        )
        if at_end:
            read(clock + 0.1)
    return found


timestamps = st.floats(0, 20 * DAY)


_counts = st.none() | st.integers(0, 10**7)


@st.composite
def any_samples(draw: st.DrawFn) -> list[WindowSample]:
    clock, found = 0.0, []
    for _ in range(draw(st.integers(0, 25))):
        clock += draw(st.floats(-DAY, 2 * DAY))
        last = clock + draw(st.floats(-10, DAY))
        used = draw(st.floats(0, 120) | st.integers(0, 100))
        found.append(WindowSample(clock, last, used, WEEK_MINUTES, draw(st.none() | st.integers(1, 30 * DAY))))
        clock = last
    return found


@st.composite
def any_turns(draw: st.DrawFn) -> list[TurnUse]:
    return [
        TurnUse(
            started_at=draw(timestamps),
            first_byte_at=draw(st.none() | timestamps),
            ended_at=draw(timestamps),
            thread=draw(st.sampled_from([None, "t", "u", "v"])),
            model=draw(st.sampled_from([None, "m", "n"])),
            warm_up=draw(st.integers(0, 1)),
            status=draw(st.sampled_from([None, 200, 429])),
            input_tokens=draw(_counts),
            cached_tokens=draw(_counts),
            output_tokens=draw(_counts),
            reasoning_tokens=draw(_counts),
            parent_thread=draw(st.sampled_from([None, "t", "u", "w"])),
            subagent=draw(st.sampled_from([None, "review", "thread_title"])),
        )
        for _ in range(draw(st.integers(0, 30)))
    ]


REFACTOR, DOCS = "01990000-1111-7000-8000-000000000001", "01990000-2222-7000-8000-000000000002"


def busy(now: float = NOON) -> AccountHistory:
    """A day's use: 12 points of thread refactor, 3 of thread docs with another model, 5 elsewhere; one refused turn."""
    start = now - DAY
    resets_at = int(now) + 2 * DAY
    samples = [
        sample(used, start + at, resets_at=resets_at)
        for at, used in ((0, 10), (3_600, 22), (7_200, 25), (10_800, 30), (14_400, 30.0001))
    ]
    turns = [
        turn(start + 60, start + 90, thread=REFACTOR, input_tokens=12_000, cached_tokens=9_000),
        turn(start + 3_700, start + 3_790, thread=DOCS, model="n", input_tokens=1_500, reasoning_tokens=30),
        turn(start + 8_000, start + 8_001, None, thread=DOCS, status=429),
        turn(start + 8_010, start + 8_011, None, thread=DOCS, warm_up=1),
        turn(start + 14_000, start + 14_010, thread=None),
    ]
    return AccountHistory(samples, turns)


def bob_and_alice(path: Path) -> Path:
    """Record two accounts: Alice's 7 d window fills evenly, and Bob's 5 h window is full."""
    now = time.time()
    alice = [
        snapshot(limit(windows(None, float(step), at=now)), who=ALICE, at=now - (90 - step) * 1_800, plan_type="plus")
        for step in range(91)
    ]
    full = snapshot(limit(windows(100.0, 40.0, at=now)), who=BOB, at=now - 30)
    return record(path, *alice, full)
