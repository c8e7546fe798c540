"""How long a prompt waits for `codex-tap status --json` on a long history: `python -m tests.bench_startup [RUNS]`.

It is measured in turns with the imports that any such program needs, so that a busy machine slows both. Of each the
median and the range are printed, in milliseconds, and the ratio of the medians.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from store.models import Identity, Limit, Reading, Snapshot, Source, Window
from store.recorder import Recorder

SNAPSHOTS = 100_000
CLI = Path(__file__).resolve().parent.parent / "scripts" / "cli.py"
REFERENCE = [sys.executable, "-c", "import sqlite3, json, click"]


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
        reading = Reading(limits=limits, plan_type="plus")
        recorder.put(
            Snapshot(identity=people[number % 2], observed_at=begin + number, source=Source.WEBSOCKET, reading=reading)
        )
    if not recorder.close(600):
        raise RuntimeError("not all could be written")


def milliseconds(command: list[str]) -> float:
    """Run it once and return how long it took."""
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return (time.perf_counter() - begin) * 1_000


def main() -> None:
    """Measure and print."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.sqlite3"
        fill(path, SNAPSHOTS)
        commands = {"reference": REFERENCE, "status --json": [sys.executable, str(CLI), "--json", "--db", str(path)]}
        for command in commands.values():
            milliseconds(command)
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(runs):
            for name, command in commands.items():
                times[name].append(milliseconds(command))
    for name, found in times.items():
        print(f"{name:15} median {statistics.median(found):6.1f} ms   {min(found):.1f} to {max(found):.1f}")
    reference, ours = (statistics.median(found) for found in times.values())
    print(f"{ours / reference:.2f} times the reference, {runs} runs each, in turns, {SNAPSHOTS:,} snapshots")


if __name__ == "__main__":
    main()
