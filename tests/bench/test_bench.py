"""A very small run of each measure of the benchmark; its figures mean nothing and are not checked."""

from __future__ import annotations

import json
import math
import sys

import pytest
from click.testing import CliRunner

from tests.bench.__main__ import MEASURES, main
from tests.bench.figures import Pairs, Spread, in_turns, percentile
from tests.bench.sizes import SMALL
from tests.bench.soak import Sample, as_soak_table, growing, soak
from tests.bench.table import Row, as_table
from tests.support.postgres import require_postgres

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads another process's CPU and memory")


@pytest.mark.parametrize(
    "name",
    [
        "recorder",
        "sse",
        "questions",
        "serving",
        "team",
        "ship",
        *(pytest.param(name, marks=linux) for name in ("answers", "import")),
    ],
)
def test_a_measure_gives_rows_that_can_be_printed(name: str) -> None:
    """It runs against real proxies and gives finite figures; each of its rows is a line of the table.

    The gate runs the others.
    """
    if name in {"team", "ship"}:
        require_postgres()
    rows = MEASURES[name](SMALL)
    lines = as_table(rows).splitlines()
    assert len(lines) == 2 + len(rows)
    for row, line in zip(rows, lines[2:], strict=True):
        assert row.tap is not None
        assert math.isfinite(row.tap.median)
        assert line.startswith(f"| {row.measure} ")
        assert bool(row.target) == (row.met is not None)


def test_a_missed_target_is_told_and_only_asked_for_an_error() -> None:
    """Machines differ: the exit code is 0 whatever was measured, unless `--check` is given."""
    arguments = ["--small", "--only", "recorder", "--json"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    checked = CliRunner().invoke(main, [*arguments, "--check"])
    found = json.loads(checked.stdout)
    assert found["python"]
    assert found["mitmproxy"]
    assert checked.exit_code == any(row["met"] is False for row in found["rows"])


@linux
def test_the_soak_samples_fifty_clients() -> None:
    """Every client gets its turns whole, and each stretch is a line of the table."""
    samples = soak(0.2, 3)
    assert all(sample.turns for sample in samples)
    assert sum(sample.broken for sample in samples) == 0
    assert len(as_soak_table(samples).splitlines()) == 2 + 3


@pytest.mark.parametrize(
    ("memory", "files", "latency", "expected"),
    [
        ([100, 108, 108], [100, 110, 110], [5, 5, 5], []),
        ([100, 108, 120], [100, 110, 110], [5, 5, 5], ["memory"]),
        ([100, 100, 100], [100, 110, 130], [5, 5, 5], ["open files"]),
        ([100, 100, 100], [100, 100, 100], [9, 5, 9], ["latency of the first event", "gaps between events"]),
        ([100, 120, 110], [100, 130, 110], [5, 9, 5], []),
    ],
    ids=["steady", "memory", "files", "latency", "shrinking"],
)
def test_what_grows_in_a_soak_is_named(
    memory: list[float], files: list[int], latency: list[float], expected: list[str]
) -> None:
    """The last third of a soak is compared with the one before, because the first warms up."""
    samples = [
        Sample(1, 100, 0, first, first, first, resident, opened, 30, 100)
        for resident, opened, first in zip(memory, files, latency, strict=True)
    ]
    assert growing(samples) == expected


@pytest.mark.parametrize(
    ("found", "percent", "expected"),
    [([7], 50, 7), ([3, 1, 2], 50, 2), (range(1, 101), 99, 99), (range(1, 101), 100, 100), ([1, 2], 0, 1)],
    ids=str,
)
def test_a_percentile_is_one_of_the_figures(found: list[float], percent: float, expected: float) -> None:
    """The nearest rank: nothing is made up between two figures."""
    assert percentile(found, percent) == expected


def test_pairs_are_taken_in_turns() -> None:
    """Each figure has a neighbour of the other kind, and which of the two comes first changes."""
    order: list[str] = []

    def measure(name: str, figure: float) -> float:
        order.append(name)
        return figure + len(order)

    pairs = in_turns(2, lambda: measure("bare", 0), lambda: measure("tap", 10))
    assert order == ["bare", "tap", "tap", "bare"]
    assert pairs == Pairs([1, 4], [12, 13])
    assert pairs.differences() == Spread(10, 9, 11)


def test_a_missed_target_stands_out() -> None:
    """A reader of the table sees at once what is not met."""
    rows = [
        Row("fine", "µs", Spread.exactly(3), target="at most 5 µs", met=True),
        Row("late", "µs", Spread(1_234.5, 1_200, 1_300), target="at most 5 µs", met=False),
    ]
    first, second = as_table(rows).splitlines()[2:]
    assert first.endswith("| yes |")
    assert second.endswith("| NO  |")
    assert "1,234 µs (1,200 … 1,300)" in second
