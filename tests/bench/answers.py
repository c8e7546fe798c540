"""Short HTTP answers with the full header set: CPU of the whole proxy, and time inside the tap's hooks."""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.figures import Pairs, Spread, percentile
from tests.bench.programs import PROFILING, TIMING, StandIn, cpu_seconds, locked, tap
from tests.bench.sides import Side, both
from tests.bench.table import Row
from tests.bench.traffic import COMPACT, Figures, client, make_token

if TYPE_CHECKING:
    from scripts.demo.client import CodexClient
    from tests.bench.sizes import Size
    from tests.support.harness import Proxy

SETTLE_SECONDS = 0.15
"""After this all that was seen is written."""

AT_ONCE = 10
"""Answers back to back before it is the other's turn."""

APART_SECONDS = 0.1
"""Longer than the recorder gathers: each answer is written on its own."""


def cpu(size: Size) -> list[Row]:
    """CPU of mitmdump per answer, the writing that follows included; answers come back to back."""
    pairs = _pairs(size.rounds, size.segments, size.answers, 0)
    return [paired("CPU per short response", "µs", pairs, max_ratio=1.10)]


def cpu_apart(size: Size) -> list[Row]:
    """CPU of mitmdump per answer where they come one by one, so that each is written in a transaction of its own."""
    pairs = _pairs(1, size.apart_segments, size.apart_answers, APART_SECONDS)
    return [paired("CPU per short response, one in 0.2 s", "µs", pairs, max_ratio=1.12)]


def hooks(size: Size) -> list[Row]:
    """Time that the tap's hooks take of an answer, in the process, with the database free and locked by another."""
    rows = []
    for name, is_locked in (("hooks per short response", False), ("hooks, database locked", True)):
        found = _timed(size.timed_answers, is_locked=is_locked)
        took = [figure / 1_000 for figure in found["answers"]]
        own = [figure / 1_000 for figure in found["answers_own"]]
        writer = found["others_cpu"][0] / 1_000 / len(took)
        rows += [
            Row(f"{name}, p50", "µs", Spread.of(took), target="at most 80 µs", met=percentile(took, 50) <= 80),
            at(f"{name}, p99", took, 99, target="at most 200 µs", met=percentile(took, 99) <= 200),
            at(f"{name}, p99 of their own CPU", own, 99),
            Row(f"{name}, CPU of the writer's thread", "µs", Spread.exactly(writer)),
        ]
    return rows


def profile(path: Path, answers: int = 500) -> None:
    """Write a profile of the proxy over so many answers, as `pstats` reads it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        StandIn() as stand_in,
        tap(
            stand_in, Path(folder) / "profile.sqlite3", PROFILING, CODEX_TAP_BENCH_PROFILE=str(path.resolve())
        ) as proxy,
    ):
        ask_all(stand_in, proxy, answers)
        proxy.stop()


def ask_all(stand_in: StandIn, proxy: Proxy, answers: int) -> None:
    """So many short answers, back to back on one connection."""
    figures = Figures(answers)
    with client(proxy, stand_in, token=make_token()) as asking:
        for _ in range(answers):
            ask(stand_in, asking, figures)


def ask(stand_in: StandIn, asking: CodexClient, figures: Figures) -> None:
    """One short answer with the next figures of the account."""
    stand_in.answer(headers=figures.headers(), body={"output": []})
    reply = asking.http_turn("say ok", url=COMPACT)
    if reply.status != 200:
        raise RuntimeError(f"status {reply.status}")


def paired(name: str, unit: str, pairs: Pairs, *, max_ratio: float | None = None) -> Row:
    """Return a row of paired measurements; the target is met if the median ratio is at most `max_ratio`."""
    ratios = pairs.ratios()
    met = None if max_ratio is None else ratios.median <= max_ratio
    target = "" if max_ratio is None else f"at most {max_ratio:.2f} of bare"
    return Row(
        name, unit, Spread.of(pairs.tap), Spread.of(pairs.bare), pairs.differences(), ratios, target=target, met=met
    )


def at(name: str, found: list[float], percent: float, *, target: str = "", met: bool | None = None) -> Row:
    """A row of one percentile of microseconds, which has no spread of its own."""
    return Row(name, "µs", Spread.exactly(percentile(found, percent)), target=target, met=met)


def _pairs(rounds: int, segments: int, answers: int, pause: float) -> Pairs:
    """CPU per answer in µs, a figure for each segment; the first segment of each round is to warm up."""
    pairs = Pairs([], [])
    for _ in range(rounds):
        with (
            tempfile.TemporaryDirectory() as folder,
            StandIn() as stand_in,
            both(stand_in, Path(folder), "answers", answers=(segments + 1) * answers) as sides,
        ):
            _segment(sides, answers, pause)
            for _ in range(segments):
                bare, tapped = _segment(sides, answers, pause)
                pairs.bare.append(bare)
                pairs.tap.append(tapped)
    return pairs


def _segment(sides: tuple[Side, Side], answers: int, pause: float) -> tuple[float, float]:
    """Ask both in turns, a few answers each: what disturbs the machine for a while disturbs both alike."""
    before = [cpu_seconds(side.proxy) for side in sides]
    at_once = 1 if pause else AT_ONCE
    for number in range(answers // at_once):
        for side in sides if number % 2 == 0 else reversed(sides):
            for _ in range(at_once):
                ask(side.stand_in, side.client, side.figures)
            time.sleep(pause)
    time.sleep(SETTLE_SECONDS)
    bare, tapped = (
        (cpu_seconds(side.proxy) - begin) / answers * 1e6 for side, begin in zip(sides, before, strict=True)
    )
    return bare, tapped


def _timed(answers: int, *, is_locked: bool) -> Any:
    """What `inside/bench_timing.py` found over so many answers."""
    with tempfile.TemporaryDirectory() as folder, StandIn() as stand_in:
        database, times = Path(folder) / "hooks.sqlite3", Path(folder) / "times.json"
        with tap(stand_in, database, TIMING, CODEX_TAP_BENCH_TIMES=str(times)) as proxy:
            with locked(database) if is_locked else nullcontext():
                ask_all(stand_in, proxy, answers)
            proxy.stop()
        return json.loads(times.read_text(encoding="utf-8"))
