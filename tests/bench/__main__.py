"""`python -m tests.bench`: measure, and print the table."""

from __future__ import annotations

import json
import pstats
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tests.bench import (
    answers,
    importing,
    launching,
    questions,
    recorder,
    serving,
    shipping,
    sockets,
    startup,
    strangers,
    streams,
    team,
    team_status,
)
from tests.bench.sizes import FULL, QUICK, SMALL, Size
from tests.bench.soak import as_soak_table, growing, soak
from tests.bench.table import Row, as_table, heading, machine, say
from tests.bench.year import Year

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MEASURES: dict[str, Callable[[Size], list[Row]]] = {
    "answers": answers.cpu,
    "answers-apart": answers.cpu_apart,
    "hooks": answers.hooks,
    "sse": streams.arrival,
    "messages": sockets.cpu,
    "message-hook": sockets.hook,
    "memory": sockets.memory,
    "strangers": strangers.cpu,
    "recorder": recorder.throughput,
    "startup": startup.prompt,
    "run": launching.starts,
    "tunnel": launching.tunnel,
    "import": importing.speed,
    "team": team.intake,
    "team-status": team_status.status,
    "ship": shipping.shipping,
}

ON_THE_YEAR: dict[str, Callable[[Size, Year], list[Row]]] = {"questions": questions.prompts, "serving": serving.answers}
"""These share a year of history."""

ANYWHERE = {"sse", "recorder", "startup", "tunnel", "questions", "serving", "team", "team-status", "ship"}
"""The others read CPU and memory of another process as Linux tells them, or stop a proxy as POSIX does."""

OF_LONG_HISTORIES = {*ON_THE_YEAR, "team", "team-status", "ship"}
"""These make a history first: `--quick` leaves them out, unless they are named."""

_TOP_LINES = 30


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="Less of everything, and no long histories: about a minute.")
@click.option("--small", is_flag=True, hidden=True, help="Next to nothing, to see that it works.")
@click.option(
    "--only", multiple=True, type=click.Choice([*MEASURES, *ON_THE_YEAR]), help="One measure; may be repeated."
)
@click.option(
    "--history",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help=(
        "A year of history, such as `python -m tests.support.synthetic_history FILE` makes, in place of one that"
        f" {' and '.join(ON_THE_YEAR)} make and delete. They work on a copy; what is kept of FILE stays."
    ),
)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
@click.option("--check", is_flag=True, help="Exit with 1 if a target is missed.")
@click.option(
    "--soak",
    "minutes",
    type=click.FloatRange(0, 60, min_open=True),
    is_flag=False,
    flag_value=5.0,
    metavar="[MINUTES]",
    help="Fifty clients for so long (5 minutes) instead of the measures.",
)
@click.option("--bare", "without_tap", is_flag=True, help="Soak bare mitmdump, to compare.")
@click.option(
    "--profile",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Profile a proxy with the tap over short responses into FILE instead, and print the top lines.",
)
def main(
    *,
    quick: bool,
    small: bool,
    only: tuple[str, ...],
    history: Path | None,
    as_json: bool,
    check: bool,
    minutes: float | None,
    without_tap: bool,
    profile: Path | None,
) -> None:
    """Measure what the tap costs, against bare mitmdump that streams."""
    if (minutes or profile) and sys.platform != "linux":
        raise click.UsageError("this needs Linux")
    if profile:
        show_profile(profile)
        return
    size = SMALL if small else QUICK if quick else FULL
    if minutes:
        missed = run_soak(minutes, as_json=as_json, without_tap=without_tap)
    else:
        usual = [name for name in (*MEASURES, *ON_THE_YEAR) if not (quick and name in OF_LONG_HISTORIES)]
        names = only or usual
        if history and ON_THE_YEAR.keys().isdisjoint(names):
            raise click.UsageError(f"--history is for {' and '.join(ON_THE_YEAR)}; name them with --only")
        with Year(size, history) as year:
            missed = run(size, names, year, as_json=as_json)
    sys.exit(1 if check and missed else 0)


def run(size: Size, names: Sequence[str], year: Year, *, as_json: bool) -> bool:
    """Measure and print; whether a target is missed."""
    found = machine()
    rows: list[Row] = []
    for name in names:
        begin = time.monotonic()
        if sys.platform != "linux" and name not in ANYWHERE:
            rows.append(Row(name, "", target="this measure needs Linux"))
        else:
            rows += ON_THE_YEAR[name](size, year) if name in ON_THE_YEAR else MEASURES[name](size)
        say(f"{name}: {time.monotonic() - begin:.0f} s")
    if as_json:
        print(json.dumps({**found, "rows": [asdict(row) for row in rows]}))
    else:
        print(heading(found), as_table(rows), sep="\n\n")
    return any(row.met is False for row in rows)


def run_soak(minutes: float, *, as_json: bool, without_tap: bool) -> bool:
    """Soak and print; whether something grew."""
    found = machine()
    say(f"soak, {minutes:g} minutes …")
    samples = soak(minutes, without_tap=without_tap)
    more = growing(samples)
    if as_json:
        print(json.dumps({**found, "samples": [asdict(sample) for sample in samples], "growing": more}))
    else:
        print(heading(found), as_soak_table(samples), f"growing: {', '.join(more) or 'nothing'}", sep="\n\n")
    return bool(more)


def show_profile(path: Path) -> None:
    """Write a profile, and print its lines that take longest: all of them, then those of codex-tap."""
    answers.profile(path)
    stats = pstats.Stats(str(path))
    stats.sort_stats("tottime").print_stats(_TOP_LINES)
    stats.sort_stats("cumtime").print_stats(r"[/\\](addon|store)[/\\]", _TOP_LINES)


if __name__ == "__main__":
    main()
