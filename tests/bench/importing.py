"""`codex-tap import` on session files of real proportions, against `wc -l` on the same files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.figures import Spread
from tests.bench.table import Row
from tests.support.harness import REPOSITORY
from tests.support.session_files import write_sessions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.sizes import Size

CLI = REPOSITORY / "scripts" / "cli.py"

LEAST_SHARE = 0.2
"""Of the speed of `wc -l`."""

MAX_MEGABYTES = 500
"""Of memory in all processes, however much there is to read: each has some 50 for Python and its libraries."""

_MEGABYTE = 1_000_000


def speed(size: Size) -> list[Row]:
    """Both read the same files, alternating, from the disk and from memory; an import begins with an empty database."""
    folder = Path(tempfile.mkdtemp())
    try:
        turns = write_sessions(folder / "codex", size.session_bytes)
        files = sorted(map(str, (folder / "codex").rglob("*.jsonl")))
        rows = [*_rows(folder, files, turns, size.import_runs), _memory(folder)]
    finally:
        shutil.rmtree(folder)
    return rows


def _rows(folder: Path, files: Sequence[str], turns: int, runs: int) -> list[Row]:
    total = sum(os.path.getsize(each) for each in files) / _MEGABYTE  # noqa: PTH202 (there may be thousands)
    rows = []
    for place, forget in (("the disk", _forget), ("memory", _read)):
        counted, imported = [], []
        for number in range(runs):
            forget(files)
            counted.append(total / _seconds([["wc", "-l", *part] for part in _parts(files)]))
            forget(files)
            command = [sys.executable, str(CLI), "import", "-q", "--codex-home", str(folder / "codex")]
            imported.append(total / _seconds([[*command, "--db", str(folder / f"{place[-4:]}-{number}.sqlite3")]]))
        share = Spread.of([mine / theirs for mine, theirs in zip(imported, counted, strict=True)])
        rows += [
            Row(f"wc -l of {total:,.0f} MB from {place}", "MB/s", Spread.of(counted)),
            Row(f"import of the same, {turns:,} turns", "MB/s", Spread.of(imported)),
            Row(
                f"import from {place}, of the speed of wc -l",
                "",
                share,
                target=f"at least {LEAST_SHARE}",
                met=share.median >= LEAST_SHARE,
            ),
        ]
    return rows


def _memory(folder: Path) -> Row:
    peak = _peak_megabytes(folder / "codex", folder / "peak.sqlite3")
    below = f"below {MAX_MEGABYTES} MB"
    return Row("import, most memory", "MB", Spread.exactly(peak), target=below, met=peak < MAX_MEGABYTES)


def _forget(files: Sequence[str]) -> None:
    """Let the system forget the content of files, as it has when they are imported for the first time."""
    os.sync()
    for each in files:
        file = os.open(each, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def _read(files: Sequence[str]) -> None:
    for each in files:
        Path(each).read_bytes()


def _parts(files: Sequence[str], number: int = 1_000) -> list[Sequence[str]]:
    return [files[begin : begin + number] for begin in range(0, len(files), number)]


def _seconds(commands: Sequence[Sequence[str]]) -> float:
    begin = time.perf_counter()
    for command in commands:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


_PEAK = """
import resource, sys
sys.argv = ["codex-tap", "import", "-q", "--codex-home", sys.argv[1], "--db", sys.argv[2]]
from scripts.cli import main
try:
    main()
finally:
    import os
    own, child = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(own + child * min(os.cpu_count(), 4))
"""


def _peak_megabytes(home: Path, database: Path) -> float:
    """Return the largest resident memory of an import, with that of as many processes as it starts."""
    command = [sys.executable, "-c", _PEAK, str(home), str(database)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY)
    return int(done.stdout) / 1_000
