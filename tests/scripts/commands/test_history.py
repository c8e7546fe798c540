"""`codex-tap history`, and its chart."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.support.errors import NOTHING_YET
from tests.support.command_line import in_terminal, invoke, needs_terminal, started
from tests.support.databases import record
from tests.support.factories import BOB, limit, snapshot, windows
from tests.support.readings import reading


@pytest.fixture
def changes(path: Path) -> Path:
    """Three changes: two of Alice's main limit, ten days and an hour ago, one of Bob's other limit now."""
    other = snapshot(limit(windows(5, 6, at=time.time()), limit_id="codex_bengalfox"), who=BOB, at=time.time())
    return record(path, reading(1, ago=864_000), reading(2, ago=3_600), other)


@pytest.mark.parametrize(
    ("arguments", "used"),
    [
        ([], [1, 2, 5]),
        (["alice"], [1, 2]),
        (["--since", "7d"], [2, 5]),
        (["--since", "30min"], [5]),
        (["--limit", "codex"], [1, 2]),
        (["bob", "--since", "2020-01-01", "--limit", "codex_bengalfox"], [5]),
        (["--since", "2999-01-01"], []),
    ],
)
def test_history_narrows(changes: Path, arguments: list[str], used: list[float]) -> None:
    """JSON and CSV have the same entries by account, time range and limit, oldest first."""
    entries = json.loads(invoke("history", *arguments, "--json", "--db", changes).stdout)
    assert [entry["windows"]["5h"]["used_percent"] for entry in entries] == used
    rows = list(csv.DictReader(io.StringIO(invoke("history", *arguments, "--csv").stdout)))
    assert [float(row["used_5h_percent"]) for row in rows] == used


def test_history_as_text(changes: Path) -> None:
    """A header and a line for each change."""
    result = invoke("history", "--all", "--db", changes)
    header, *rows = result.stdout.splitlines()
    assert header.split() == ["First", "seen", "Last", "seen", "Times", "Account", "Limit", "Used"]
    assert [row[row.index("5 h") :].split() for row in rows] == [
        ["5", "h", five, "%", "7", "d", seven, "%"] for five, seven in (("1", "41"), ("2", "41"), ("5", "6"))
    ]


@pytest.mark.parametrize(
    ("arguments", "used", "stderr"),
    [
        ([], ["2 %", "5 %"], "Earlier changes that are not shown: 1 (--all, --since)\n"),
        (["alice"], ["2 %"], "Earlier changes that are not shown: 1 (--all, --since)\n"),
        (["bob"], ["5 %"], ""),
        (["--limit", "codex_bengalfox"], ["5 %"], ""),
        (["--all"], ["1 %", "2 %", "5 %"], ""),
        (["--since", "11d"], ["1 %", "2 %", "5 %"], ""),
        (["--since", "2h"], ["2 %", "5 %"], ""),
    ],
    ids=" ".join,
)
def test_a_list_has_the_last_day(changes: Path, arguments: list[str], used: list[str], stderr: str) -> None:
    """What is left out is counted, on standard error where the list goes to a pipe."""
    result = invoke("history", *arguments, "--db", changes)
    assert [row.partition("5 h ")[2].partition("  ")[0].strip() for row in result.stdout.splitlines()[1:]] == used
    assert result.stderr == stderr


def test_nothing_in_the_last_day(path: Path) -> None:
    """The message says so, and counts the earlier changes."""
    record(path, reading(ago=864_000))
    result = invoke("history")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "No changes in the last 24 h.\nEarlier changes that are not shown: 1 (--all, --since)\n"


def test_all_and_since_are_wrong_use(changes: Path) -> None:
    """Each is a time range of its own."""
    result = invoke("history", "--all", "--since", "1d", "--db", changes)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--all cannot be combined with --since" in result.stderr


@needs_terminal
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize(
    ("arguments", "environment", "is_paged"),
    [
        ([], {}, True),
        (["--no-pager"], {}, False),
        ([], {"PAGER": ""}, False),
        ([], {"PAGER": "cat"}, False),
        (["--json"], {}, False),
    ],
    ids=["a pager", "none is wanted", "an empty PAGER", "cat", "JSON"],
)
def test_a_terminal_gets_a_pager(
    changes: Path, tmp_path: Path, arguments: list[str], environment: dict[str, str], is_paged: bool
) -> None:
    """The user's pager gets the text with its colours; the last line counts what is not shown."""
    pager = tmp_path / "pager"
    pager.write_text('#!/bin/sh\necho "a pager, LESS=$LESS"\nexec cat\n')
    pager.chmod(0o755)
    environment = {"PAGER": f"{pager} --raw-control-chars", "LESS": "-R", **environment}
    code, output = in_terminal("history", *arguments, "--db", str(changes), **environment)
    assert code == 0
    assert ("a pager" in output) == is_paged
    if "--json" not in arguments:
        assert "Earlier changes that are not shown: 1 (--all, --since)" in output


@needs_terminal
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_less_shows_colours_and_ends_by_itself(changes: Path) -> None:
    """A list that fits on the screen is printed as without a pager, with its colours."""
    code, output = in_terminal("history", "--db", str(changes), PAGER="less", LESS="-FRX")
    assert code == 0
    assert "\x1b[32m2 %" in output


def test_history_without_a_match_is_a_message(changes: Path) -> None:
    """A time range without changes is not an error."""
    result = invoke("history", "--since", "2999-01-01", "--db", changes)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No changes in that time range.\n")


@pytest.mark.parametrize(
    ("flags", "stdout"),
    [([], f"{NOTHING_YET}\n"), (["--json"], "[]\n"), (["--csv"], None)],
)
def test_history_with_nothing_known(path: Path, flags: list[str], stdout: str | None) -> None:
    """The exit code is 3, and the output is still valid."""
    result = invoke("history", *flags, "--db", path)
    assert result.exit_code == 3
    if stdout is None:
        assert list(csv.DictReader(io.StringIO(result.stdout))) == []
        assert result.stdout.startswith("id,first_seen,")
    else:
        assert result.stdout == stdout


def test_an_unknown_limit_is_wrong_use(changes: Path) -> None:
    """The error lists the known limits."""
    result = invoke("history", "--limit", "gpt", "--db", changes)
    assert result.exit_code == 2
    assert result.stderr == "Error: no limit 'gpt' has been seen; there are: codex, codex_bengalfox\n"


# Charts


@pytest.fixture
def plotted() -> Path:
    """A database with two accounts; Bob's has two limits."""
    now = time.time()
    reported = [snapshot(limit(windows(5 * number, 20, at=now)), at=now - 9_000 + 100 * number) for number in range(10)]
    other = limit(windows(3, 4, at=now), limit_id="codex_bengalfox", limit_name="Spark")
    bob = snapshot(limit(windows(50, 60, at=now)), other, who=BOB, at=now - 500)
    return record(Path(os.environ["CODEX_TAP_DB"]), *reported, bob)


@pytest.mark.parametrize(
    ("arguments", "titles"),
    [
        ([], ["alice@example.com · codex", "bob@example.com · codex", "bob@example.com · Spark"]),
        (["bob"], ["bob@example.com · codex", "bob@example.com · Spark"]),
        (["--limit", "codex_bengalfox"], ["bob@example.com · Spark"]),
        (["alice", "--since", "1h"], ["alice@example.com · codex"]),
    ],
)
def test_a_chart_for_each_account_and_limit(plotted: Path, arguments: list[str], titles: list[str]) -> None:
    """The arguments that narrow the list narrow the charts."""
    result = invoke("history", "--plot", *arguments, "--db", plotted)
    assert (result.exit_code, result.stderr) == (0, "")
    charts = result.stdout.split("\n\n")
    assert [part.splitlines()[0].rpartition(" · ")[0] for part in charts] == titles
    assert "  × 7 d   now" in charts[0]


def test_a_plot_of_nothing(tmp_path: Path) -> None:
    """Without a database the exit code is 3."""
    assert invoke("history", "--plot", "--db", tmp_path / "none.sqlite3").exit_code == 3


def test_a_plot_of_the_future_is_wrong_use(plotted: Path) -> None:
    """The start of the time range has to be in the past."""
    result = invoke("history", "--plot", "--since", "2999-01-01", "--db", plotted)
    assert (result.exit_code, result.stdout) == (2, "")


@needs_terminal
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_plot_has_colours_only_in_a_terminal(plotted: Path) -> None:
    """A pipe and NO_COLOR get no colours."""
    command = ["history", "--plot", "--db", str(plotted)]
    assert "\x1b[38;5" in in_terminal(*command)[1]
    assert "\x1b[" not in in_terminal(*command, NO_COLOR="1")[1]
    assert "\x1b" not in started(*command).stdout


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_plot_in_any_encoding(plotted: Path, encoding: str) -> None:
    """A pipe that cannot encode the characters gets other characters, never a `?` in the chart."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    result = started("history", "--plot", "--db", plotted, env=environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert "?" not in result.stdout


def test_only_a_plot_imports_the_chart_library() -> None:
    """The command without --plot does not import it."""
    program = "import sys; import scripts.cli, scripts.commands.history; print('plotext' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == "False\n"
