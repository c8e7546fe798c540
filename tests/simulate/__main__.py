"""`python -m tests.simulate`: forecast known processes, and print how good that was."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.simulate.processes import PROCESSES
from tests.simulate.score import Score, run
from tests.simulate.world import WINDOW_MINUTES

if TYPE_CHECKING:
    from collections.abc import Iterable

MOMENTS = 40


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seeds", type=click.IntRange(1), default=24, show_default=True, help="Worlds per process and window.")
@click.option("--first", type=int, default=0, show_default=True, help="The first seed.")
@click.option("--quick", is_flag=True, help="Six seeds: some ten seconds.")
@click.option("--days", type=(float, float), default=(10.0, 34.0), show_default=True, help="Days of history, from to.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
def main(*, seeds: int, first: int, quick: bool, days: tuple[float, float], as_json: bool) -> None:
    """Forecast known ways of using a limit, and hold it against what they really did."""
    scores = simulate(range(first, first + (6 if quick else seeds)), days)
    if as_json:
        click.echo(json.dumps([figures(score) for score in scores], indent=2))
    else:
        click.echo(table(scores))


def simulate(seeds: range, days: tuple[float, float]) -> list[Score]:
    """Return a score for each process and window."""
    scores = [Score(process, slot) for slot in WINDOW_MINUTES for process in PROCESSES]
    with _progress() as progress:
        task = progress.add_task("Simulating", total=len(scores) * len(seeds))
        for score in scores:
            progress.update(task, description=f"{score.process}, {score.slot}")
            for seed in seeds:
                score.cases += run(score.process, score.slot, seed, MOMENTS, days)
                progress.advance(task)
    return scores


def figures(score: Score) -> dict[str, str | float | int]:
    """Return what is told of a score: minutes for errors, shares from 0 to 1 for the rest."""
    return {
        "process": score.process,
        "window": score.slot,
        "forecasts": len(score.cases),
        "ran_dry": len(score.dry),
        "error_minutes": round(score.error_minutes(), 1),
        "line_error_minutes": round(score.line_error_minutes(), 1),
        "coverage_at_reset": round(score.reset_coverage(), 3),
        "coverage_run_dry": round(score.dry_coverage(), 3),
        "false_safe": round(score.false_safe(), 3),
        "line_false_safe": round(score.line_false_safe(), 3),
        "missed_safe": round(score.missed_safe(), 3),
        "line_missed_safe": round(score.line_missed_safe(), 3),
    }


_HEADING = (
    "process", "window", "forecasts", "ran dry", "error", "line's error", "covers reset", "covers dry",
    "false safe", "line's", "missed safe", "line's",
)  # fmt: skip


def table(scores: Iterable[Score]) -> str:
    """Return the scores as a Markdown table."""
    lines = [_line(_HEADING), _line(["---"] * 2 + ["--:"] * (len(_HEADING) - 2))]
    for score in scores:
        process, window, forecasts, ran_dry, error, line_error, *shares = figures(score).values()
        told = [_span(float(error)), _span(float(line_error)), *(f"{float(share) * 100:.0f} %" for share in shares)]
        lines.append(_line([str(process), str(window), str(forecasts), str(ran_dry), *told]))
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _span(minutes: float) -> str:
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


if __name__ == "__main__":
    main()
