"""How long a prompt waits for `codex-tap status --json` on a long history.

It is measured in turns with the imports that any such program needs, so that a busy machine slows both.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from store.models import Identity, Limit, RateLimits, Snapshot, Source, Window
from store.record.recorder import Recorder
from tests.bench.figures import Spread, in_turns
from tests.bench.table import Row
from tests.support.harness import REPOSITORY

if TYPE_CHECKING:
    from tests.bench.sizes import Size

CLI = REPOSITORY / "scripts" / "cli.py"
REFERENCE = [sys.executable, "-c", "import sqlite3, json, click"]


def prompt(size: Size) -> list[Row]:
    """Milliseconds of `status --json`, and of its imports alone where others have bare mitmdump."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.sqlite3"
        fill(path, size.history)
        status = [sys.executable, str(CLI), "--json", "--db", str(path)]
        _milliseconds(REFERENCE)
        _milliseconds(status)
        pairs = in_turns(size.prompts, lambda: _milliseconds(REFERENCE), lambda: _milliseconds(status))
    ratios = pairs.ratios()
    return [
        Row(
            f"status --json of {size.history:,} (bare: imports)",
            "ms",
            Spread.of(pairs.tap),
            Spread.of(pairs.bare),
            pairs.differences(),
            ratios,
            target="at most 2 times",
            met=ratios.median <= 2,
        )
    ]


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


def _milliseconds(command: list[str]) -> float:
    """Run it once and return how long it took."""
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return (time.perf_counter() - begin) * 1_000
