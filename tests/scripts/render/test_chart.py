"""The chart of `history --plot`."""

from __future__ import annotations

import datetime as dt
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.render.chart import HEIGHT, chart_columns, render_chart
from scripts.render.console import _PLAIN, TerminalProfile
from store.queries.accounts import Account
from store.queries.timeline import LimitTimeline
from tests.scripts.test_cli import in_terminal, needs_terminal, started
from tests.support.command_line import invoke
from tests.support.databases import record
from tests.support.factories import BOB, NOON, limit, snapshot, windows
from tests.support.timeline_factories import HOUR, five, row

if TYPE_CHECKING:
    from store.analysis.timeline import WindowTimeline

ANN = Account(1, "acct-a/user-a", "work", "ann@example.com", "plus", (), NOON, NOON)


# Charts


def drawn(
    level: WindowTimeline, *, profile: TerminalProfile | None = None, colours: bool = False, name: str | None = None
) -> list[str]:
    profile = (profile or TerminalProfile(60, zone=dt.UTC))._replace(colours=colours)
    timeline = LimitTimeline(ANN, "codex", name, NOON, NOON + 10 * HOUR, {"5h": level})
    return render_chart(timeline, profile).splitlines()


def many(width: int = 60) -> WindowTimeline:
    rows = [row(number / 10, 10 + number % 70, resets=30) for number in range(100)]
    return five(*rows, columns=chart_columns(width))


@pytest.mark.parametrize("width", [32, 60, 80, 160])
def test_a_chart_fits_its_terminal(width: int) -> None:
    """The chart has the width of the terminal and a fixed height."""
    lines = drawn(many(width), profile=TerminalProfile(width, zone=dt.UTC))
    picture = lines[1 : 1 + HEIGHT]
    assert max(map(len, picture)) <= width
    assert picture[0].startswith("100 %")
    assert any("•" in line for line in picture)
    assert lines[0] == "work · ann@example.com · plus · codex · 2026-11-21 12:00 to 2026-11-21 22:00"


def test_a_chart_says_what_its_characters_are() -> None:
    """The legend has length, current value, peak and resets of each window, and the mark of unseen resets."""
    level = five(*(row(number / 4, 15 * number, resets=4) for number in range(5)), columns=chart_columns(60))
    text = drawn(level)
    assert "  • 5 h   now 0 %, at most 60 %, 1 reset" in text
    assert "  · reset, not seen since: shown as 0 %" in text
    assert sum("┊" in line for line in text) > 5


def test_few_readings_are_said_to_be_few() -> None:
    """A chart of one reading is drawn, with a note."""
    text = drawn(five(row(1, 10, resets=20), columns=chart_columns(60)))
    assert text[-1] == "  Only 1 reading in 10 h: the chart shows little."
    assert not any("Only" in line for line in drawn(many()))


def test_a_plain_terminal_gets_plain_characters() -> None:
    """Frame, marks and legend are ASCII."""
    text = "\n".join(drawn(many(), profile=TerminalProfile(60, glyphs=_PLAIN, zone=dt.UTC)))
    assert text.isascii()
    assert "*" in text


def test_names_cannot_steer_the_terminal() -> None:
    """An escape sequence in a limit's name is replaced."""
    assert "\x1b" not in "\n".join(drawn(many(), name="\x1b[31mred\x07"))


def test_colours_only_where_asked_for() -> None:
    """The chart is the same with and without colours."""
    assert "\x1b[" in "\n".join(drawn(many(), colours=True))
    assert "\x1b" not in "\n".join(drawn(many()))


# The command


@pytest.fixture
def path() -> Path:
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
def test_a_chart_for_each_account_and_limit(path: Path, arguments: list[str], titles: list[str]) -> None:
    """The arguments that narrow the list narrow the charts."""
    result = invoke("history", "--plot", *arguments, "--db", path)
    assert (result.exit_code, result.stderr) == (0, "")
    charts = result.stdout.split("\n\n")
    assert [part.splitlines()[0].rpartition(" · ")[0] for part in charts] == titles
    assert "  × 7 d   now" in charts[0]


def test_a_plot_of_nothing(tmp_path: Path) -> None:
    """Without a database the exit code is 3."""
    assert invoke("history", "--plot", "--db", tmp_path / "none.sqlite3").exit_code == 3


def test_a_plot_of_a_time_to_come_is_wrong_use(path: Path) -> None:
    """The start of the time range has to be in the past."""
    result = invoke("history", "--plot", "--since", "2999-01-01", "--db", path)
    assert (result.exit_code, result.stdout) == (2, "")


@needs_terminal
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_plot_has_colours_in_a_terminal_alone(path: Path) -> None:
    """A pipe and NO_COLOR get no colours."""
    command = ["history", "--plot", "--db", str(path)]
    assert "\x1b[38;5" in in_terminal(*command)[1]
    assert "\x1b[" not in in_terminal(*command, NO_COLOR="1")[1]
    assert "\x1b" not in started(*command).stdout


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_plot_in_any_encoding(path: Path, encoding: str) -> None:
    """A pipe that cannot encode the characters gets others, never a `?` in the chart."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    result = started("history", "--plot", "--db", path, env=environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert "?" not in result.stdout


def test_plotting_is_for_those_who_plot() -> None:
    """Other commands do not import the chart library."""
    program = "import sys; import scripts.cli, scripts.commands.history; print('plotext' in sys.modules)"
    import subprocess

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == "False\n"
