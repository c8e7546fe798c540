"""How long the commands that people put into prompts and scripts take on a year of history, against an almost new file.

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
from tests.bench.programs import largest_megabytes
from tests.bench.table import Row
from tests.support.harness import REPOSITORY
from tests.support.synthetic_history import Size as Rows
from tests.support.synthetic_history import generate

if TYPE_CHECKING:
    from tests.bench.sizes import Size
    from tests.bench.year import Year

CLI = REPOSITORY / "scripts" / "cli.py"
SHORT = Rows(snapshots=60, turns=120, days=1)
PRESENT, WEEK = 1.2, 2.0
"""Times the short history's time: what asks for the present alone, and what asks for a week or reads weeks."""

LONG_MILLISECONDS, LONG_MEGABYTES = 1_000.0, 80.0
"""What asks for a year, with what is kept of it."""


class Question(NamedTuple):
    """A command line, and its targets: times the short history's time, milliseconds, and megabytes of memory."""

    words: tuple[str, ...]
    times: float | None = PRESENT
    below: float | None = None
    megabytes: float | None = None


def about_history(*words: str) -> tuple[Question, ...]:
    """Return the questions of a command about a week, a month and a year."""
    return (
        Question((*words, "--since", "7d"), WEEK),
        Question((*words, "--since", "30d"), None),
        Question((*words, "--since", "365d"), None, LONG_MILLISECONDS, LONG_MEGABYTES),
    )


QUESTIONS = (
    Question(("status", "--json")),
    Question(("status",), WEEK),  # its text has the forecast
    Question(("next",)),
    Question(("guard", "person-1")),
    Question(("statusline",)),
    *about_history("usage"),
    *(
        Question(("usage", "--since", "365d", "--by", what), None, LONG_MILLISECONDS, LONG_MEGABYTES)
        for what in ("model", "day", "hour")
    ),
    Question(("forecast",), WEEK),
    *about_history("history", "--plot"),
    *about_history("speed"),
    *about_history("threads"),
    *about_history("events"),
)


def prompts(size: Size, year: Year) -> list[Row]:
    """Milliseconds of each command on the year, and on the short history where others have bare mitmdump."""
    with tempfile.TemporaryDirectory() as folder:
        short = Path(folder) / "short.sqlite3"
        generate(short, SHORT._replace(accounts=year.accounts), time.time())
        known = [each for each in QUESTIONS[:: size.question_step] if each.words[0] in _COMMANDS]
        return [row for each in known for row in _rows(each, short, year.path, size.long_rounds)]


def _rows(question: Question, short: Path, long: Path, count: int) -> list[Row]:
    """Measure a command; the run before the first measured one warms up."""
    commands = [[sys.executable, str(CLI), *question.words, "--db", str(path)] for path in (short, long)]
    bare, tap = commands
    _milliseconds(bare)
    _milliseconds(tap)
    pairs = in_turns(count, lambda: _milliseconds(bare), lambda: _milliseconds(tap))
    took, ratios = Spread.of(pairs.tap), pairs.ratios()
    met, target = None, ""
    if question.times is not None:
        met, target = ratios.median <= question.times, f"at most {question.times:g} times"
    elif question.below is not None:
        met, target = took.median < question.below, f"below {question.below:,.0f} ms"
    name = " ".join(question.words)
    rows = [
        Row(
            f"{name} (bare: a short history)",
            "ms",
            took,
            Spread.of(pairs.bare),
            pairs.differences(),
            ratios,
            target=target,
            met=met,
        )
    ]
    most = question.megabytes
    if most is not None and sys.platform != "win32":
        used, alone = largest_megabytes(tap), largest_megabytes(bare)
        peak, bare_peak = Spread.exactly(used), Spread.exactly(alone)
        rows.append(Row(f"{name}, memory", "MB", peak, bare_peak, target=f"below {most:g} MB", met=used < most))
    return rows


def _milliseconds(command: list[str]) -> float:
    """Run it once and return how long it took; 1 is an answer too: nothing to go on with."""
    begin = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True)
    took = (time.perf_counter() - begin) * 1_000
    if done.returncode not in {0, 1}:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode(errors='replace')}")
    return took
