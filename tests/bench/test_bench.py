"""A very small run of each measure of the benchmark; its figures mean nothing and are not checked."""

from __future__ import annotations

import json
import math
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from click.testing import CliRunner

from store.database import open_reader, open_writer, transaction
from store.files import kept_path
from store.kept.filling import Wish, fill, is_long
from store.queries.accounts import load_accounts
from store.queries.kept_kinds import KINDS
from store.queries.status import load_status
from store.settings import cache_folder
from tests.bench.__main__ import MEASURES, main
from tests.bench.figures import Pairs, Spread, in_turns, percentile
from tests.bench.programs import largest_megabytes
from tests.bench.served import NewRows, serve
from tests.bench.sizes import SMALL
from tests.bench.soak import Sample, as_soak_table, growing, soak
from tests.bench.table import Row, as_table
from tests.support.postgres import require_postgres
from tests.support.synthetic_history import Size as Rows
from tests.support.synthetic_history import generate

if TYPE_CHECKING:
    from pathlib import Path

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads another process's CPU and memory")


@pytest.mark.parametrize(
    "name",
    [
        "recorder",
        "sse",
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


def measured(*arguments: str) -> tuple[dict[str, Any], str]:
    """Return the rows of a very small run by their names, and what it said of its progress."""
    done = CliRunner().invoke(main, ["--small", "--json", *arguments])
    assert done.exit_code == 0, done.output
    return {row["measure"]: row for row in json.loads(done.stdout)["rows"]}, done.stderr


def kept_files() -> set[Path]:
    return set(cache_folder().glob("kept-*"))


def test_measures_share_one_year_of_history() -> None:
    """It is made once, and nothing is left of it; answers are measured anew and again, and beside a heavy one."""
    rows, said = measured("--only", "questions", "--only", "serving")
    assert said.count("a year of 300 snapshots") == 1
    assert kept_files() == set()
    assert all(math.isfinite(row["tap"]["median"]) for row in rows.values())
    assert "status --json (bare: a short history)" in rows
    assert "filling what is kept" in rows
    assert rows["GET /metrics (bare: 1,000 snapshots)"]["target"] == "at most 1.5 times"
    anew = {name: row for name, row in rows.items() if name.endswith(", anew (bare: again)")}
    assert {period for name in anew for period in ("24h", "7d", "30d", "365d") if f"since={period}," in name} == {
        *("24h", "7d", "30d", "365d")
    }
    for row in anew.values():
        assert row["met"] == (max(row["tap"]["median"], row["bare"]["median"]) < 150)
    beside = "beside 2 clients of /api/breakdown?since=365d (bare: alone)"
    assert rows[f"GET /api/usage {beside}"]["target"] == "below 150 ms"
    assert 0 < rows[f"live update {beside}"]["bare"]["median"] < 20_000


def test_a_given_history_is_not_changed(tmp_path: Path) -> None:
    """Measures add rows to a copy; what is kept of the file stays for the next run."""
    given = tmp_path / "given.sqlite3"
    generate(given, Rows(snapshots=200, turns=400, accounts=2, days=3), time.time())
    before = given.read_bytes()
    rows, said = measured("--only", "serving", "--history", str(given))
    assert f"{given} ended 0.0 h ago" in said
    assert "a year of" not in said
    assert "GET /api/usage, anew (bare: again)" in rows
    assert "filling what is kept" not in rows
    assert given.read_bytes() == before
    assert kept_files() == {kept_path(given)}


def test_a_given_history_needs_a_measure_that_uses_it(tmp_path: Path) -> None:
    """Rather than measuring something else for a quarter of an hour."""
    given = tmp_path / "given.sqlite3"
    given.touch()
    refused = CliRunner().invoke(main, ["--small", "--only", "recorder", "--history", str(given)])
    assert refused.exit_code == 2
    assert "--history is for questions and serving" in refused.stderr


def test_new_rows_are_those_of_a_proxy_that_goes_on(tmp_path: Path) -> None:
    """One account after the other gets a turn, and each of its limits a snapshot that says a little more."""
    path = tmp_path / "made.sqlite3"
    generate(path, Rows(snapshots=200, turns=400, accounts=2, days=3), time.time())
    before = standing(path)
    with closing(NewRows(path)) as rows:
        rows.write()
        rows.write()
    after = standing(path)
    assert after.turns == before.turns + 2
    assert after.snapshots == before.snapshots + 3
    assert after.used.keys() == before.used.keys()
    assert all(after.used[key] > used for key, used in before.used.items())


class Standing(NamedTuple):
    """The numbers of rows, and the used percent of each account, limit and window."""

    snapshots: int
    turns: int
    used: dict[tuple[str, str, str], float]


def standing(path: Path) -> Standing:
    with closing(open_reader(path)) as connection:
        accounts = load_status(connection, time.time(), load_accounts(connection))["accounts"]
        (snapshots,) = connection.execute("SELECT count(*) FROM snapshots").fetchone()
        (turns,) = connection.execute("SELECT count(*) FROM requests").fetchone()
    used = {
        (account["account"], limit["limit_id"], slot): window["used_percent"] or 0.0
        for account in accounts
        for limit in account["limits"]
        for slot, window in limit["windows"].items()
    }
    return Standing(snapshots, turns, used)


@pytest.mark.skipif(sys.platform == "win32", reason="waits for a process as POSIX does")
def test_the_memory_of_a_program_is_its_own() -> None:
    """However large the program is that measures: the benchmark itself has just made a year of history."""
    ballast = bytearray(b"1" * 200_000_000)
    assert 1 < largest_megabytes([sys.executable, "-c", "pass"]) < 100
    assert largest_megabytes([sys.executable, "-c", "bytearray(b'1' * 150_000_000)"]) > 150
    assert len(ballast) == 200_000_000


@linux
def test_what_the_server_keeps_is_waited_for(tmp_path: Path) -> None:
    """A filling takes a core from the server, so nothing is measured before its end."""
    path = tmp_path / "long.sqlite3"
    generate(path, Rows(snapshots=50, turns=100, accounts=1, days=3), time.time())
    with closing(open_writer(path)) as connection, transaction(connection):
        connection.execute("UPDATE snapshots SET raw = raw || printf('%100000s', '')")
    assert is_long(path)
    with serve(path) as served:
        served.wait_for_filling()
        pieces: list[None] = []
        assert fill(path, [Wish(kind) for kind in KINDS], time.time() - 60, on_piece=lambda: pieces.append(None))
    assert pieces == []


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
