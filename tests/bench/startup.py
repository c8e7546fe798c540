"""How long a prompt waits for the commands that are put into prompts, on a long history.

Each is measured in turns with a Python that imports what such a command cannot do without, so that a busy machine slows
both. All have their bytecode, as an installed program has.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from store.models import Identity, Limit, RateLimits, Snapshot, Source, Window
from store.record.recorder import Recorder
from tests.bench.figures import Pairs
from tests.bench.table import Row, bounded_row
from tests.support.harness import REPOSITORY

if sys.platform != "win32":
    import resource

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.sizes import Size

REFERENCE = [sys.executable, "-c", "import sqlite3, json"]
START = "import sys; from codex_tap_cli import main; sys.argv[0] = 'codex-tap'; main()"
PROMPTS = ("statusline", "guard", "status --json")
MAX_RATIO = 2.6


class Cost(NamedTuple):
    """What a run of a program took, in milliseconds: by the clock, and of CPU, user and system (Windows: 0)."""

    time: float
    cpu: float


def prompt(size: Size) -> list[Row]:
    """Milliseconds of each command, and of the reference where others have bare mitmdump."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.sqlite3"
        fill(path, size.history)
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environ = {**variables, "PYTHONPYCACHEPREFIX": folder, "CODEX_HOME": folder}
        rows = []
        for words in PROMPTS:
            command = [sys.executable, "-c", START, *words.split(), "--db", str(path)]
            costs = _in_turns(size.prompts, command, environ)
            rows.append(_row(f"{words} (bare: imports)", costs, lambda cost: cost.time))
            if sys.platform != "win32":
                rows.append(_row(f"{words}, CPU (bare: imports)", costs, lambda cost: cost.cpu))
        return rows


def _in_turns(count: int, command: list[str], environ: dict[str, str]) -> list[tuple[Cost, Cost]]:
    """Return what the reference and the command took, in pairs; the first run of each is to warm up."""
    _cost(REFERENCE, environ)
    _cost(command, environ)
    pairs = []
    for number in range(count):
        # Which one begins alternates, so that a drift cancels out.
        first, second = (REFERENCE, command) if number % 2 == 0 else (command, REFERENCE)
        costs = _cost(first, environ), _cost(second, environ)
        pairs.append(costs if number % 2 == 0 else costs[::-1])
    return pairs


def _row(name: str, costs: list[tuple[Cost, Cost]], figure: Callable[[Cost], float]) -> Row:
    pairs = Pairs([figure(reference) for reference, _ in costs], [figure(command) for _, command in costs])
    return bounded_row(name, pairs, MAX_RATIO)


def fill(path: Path, count: int) -> None:
    """Record so many changes of two accounts' two limits."""
    recorder = Recorder(path)
    recorder.start()
    begin = time.time() - count
    people = [Identity(token_key=f"token~{number}", account_id=f"account-{number}") for number in range(2)]
    for number in range(count // 2):
        windows = {
            "5h": Window(used_percent=number % 100, window_minutes=300, resets_at=int(begin) + count + 9_000),
            "7d": Window(used_percent=number / 1_000, window_minutes=10_080, resets_at=int(begin) + count + 90_000),
        }
        limits = (Limit(windows=windows), Limit(limit_id="codex_bengalfox", windows=windows))
        reading = RateLimits(limits=limits, plan_type="plus")
        recorder.put(
            Snapshot(identity=people[number % 2], observed_at=begin + number, source=Source.WEBSOCKET, reading=reading)
        )
    if not recorder.close(600):
        raise RuntimeError("not all could be written")


def _cost(command: list[str], environ: dict[str, str]) -> Cost:
    """Run a program once; 1 is a result too: nothing to go on with."""
    begin, cpu = time.perf_counter(), _cpu_of_children()
    done = subprocess.run(command, cwd=REPOSITORY, env=environ, check=False, capture_output=True)
    cost = Cost((time.perf_counter() - begin) * 1_000, (_cpu_of_children() - cpu) * 1_000)
    if done.returncode not in {0, 1}:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode(errors='replace')}")
    return cost


def _cpu_of_children() -> float:
    """Return the CPU seconds of all programs that have ended."""
    if sys.platform == "win32":
        return 0.0
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
