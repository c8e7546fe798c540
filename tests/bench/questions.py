"""How long the commands that people put into prompts and scripts take on years of history, against an almost new file.

Both databases have the same accounts and limits. Each command runs as a program, on one and the other in turns.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scripts.cli import _COMMANDS
from tests.bench.figures import Spread, in_turns
from tests.bench.table import Row, say
from tests.support.harness import REPOSITORY
from tests.support.synthetic_history import Size as Rows
from tests.support.synthetic_history import generate

if TYPE_CHECKING:
    from tests.bench.sizes import Size

CLI = REPOSITORY / "scripts" / "cli.py"
RATIO, USAGE_MILLISECONDS = 1.2, 1_000.0
WEEK_RATIO, YEAR_MILLISECONDS = 2.0, 1_000.0


class Question(NamedTuple):
    """A command line, and whether it asks for the present alone: then the length of the history must not matter."""

    words: tuple[str, ...]
    present: bool = True
    below: float | None = None
    """Milliseconds that it may take."""
    most: float = RATIO
    """How many times as long as on the short history it may take."""


QUESTIONS = (
    Question(("status", "--json")),
    Question(("status",)),
    Question(("next",)),
    Question(("guard", "person-1")),
    Question(("statusline",)),
    Question(("usage", "--since", "7d"), present=False, below=USAGE_MILLISECONDS),
    Question(("forecast",), most=WEEK_RATIO),
    Question(("events", "--since", "7d"), present=False),
    Question(("history", "--since", "7d", "--plot"), most=WEEK_RATIO),
    Question(("history", "--since", "365d", "--plot"), present=False, below=YEAR_MILLISECONDS),
    Question(("speed", "--since", "7d"), most=WEEK_RATIO),
    Question(("speed", "--since", "365d"), present=False, below=YEAR_MILLISECONDS),
)


def prompts(size: Size) -> list[Row]:
    """Milliseconds of each command on the long history, and on the short one where others have bare mitmdump."""
    with tempfile.TemporaryDirectory() as folder:
        short, long = Path(folder) / "short.sqlite3", Path(folder) / "long.sqlite3"
        now = time.time()
        generate(short, Rows(snapshots=60, turns=120, days=1), now)
        begin = time.monotonic()
        generate(long, Rows(snapshots=size.long_snapshots, turns=size.long_turns), now, progress=True)
        say(f"questions: {size.long_snapshots:,} snapshots and {size.long_turns:,} turns")
        say(f"questions: made in {time.monotonic() - begin:.0f} s, {long.stat().st_size / 1_000_000:,.0f} MB")
        return [_row(each, short, long, size.prompts) for each in QUESTIONS if each.words[0] in _COMMANDS]


def _row(question: Question, short: Path, long: Path, count: int) -> Row:
    commands = [[sys.executable, str(CLI), *question.words, "--db", str(path)] for path in (short, long)]
    bare, tap = commands
    _milliseconds(bare)
    _milliseconds(tap)
    pairs = in_turns(count, lambda: _milliseconds(bare), lambda: _milliseconds(tap))
    took, ratios = Spread.of(pairs.tap), pairs.ratios()
    met, target = None, ""
    if question.present:
        met, target = ratios.median <= question.most, f"at most {question.most:g} times"
    elif question.below is not None:
        met, target = took.median < question.below, f"below {question.below:,.0f} ms"
    name = f"{' '.join(question.words)} (bare: a short history)"
    return Row(name, "ms", took, Spread.of(pairs.bare), pairs.differences(), ratios, target=target, met=met)


def _milliseconds(command: list[str]) -> float:
    """Run it once and return how long it took; 1 is an answer too: nothing to go on with."""
    begin = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True)
    took = (time.perf_counter() - begin) * 1_000
    if done.returncode not in {0, 1}:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode(errors='replace')}")
    return took
