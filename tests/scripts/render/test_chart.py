"""Timelines, and the chart of `history --plot`."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.render.chart import HEIGHT, chart_columns, render_chart
from scripts.render.console import _PLAIN, TerminalProfile
from store.analysis.timeline import WindowTimeline, _TimelineBuilder, window_timelines
from store.database import open_reader, open_writer
from store.edits import forget_account
from store.queries.accounts import Account, load_accounts
from store.queries.timeline import LimitTimeline, load_timelines
from tests.scripts.test_cli import in_terminal, needs_terminal, started
from tests.support.command_line import invoke
from tests.support.databases import record
from tests.support.factories import BOB, NOON, limit, snapshot, used, windows

HOUR = 3_600
ANN = Account(1, "acct-a/user-a", "work", "ann@example.com", "plus", (), NOON, NOON)


def row(at: float, used: float, *, resets: float, until: float | None = None, **fields: Any) -> dict[str, Any]:
    """A reading of a 5 h window, `at` hours after noon."""
    none = {f"{name}_{slot}_{unit}": None for slot in ("5h", "7d") for name, unit in _UNITS}
    reported = {"used_5h_percent": used, "window_5h_minutes": 300, "resets_5h_at": NOON + int(resets * HOUR)}
    seen = {"first_seen_at": NOON + at * HOUR, "last_seen_at": NOON + (at if until is None else until) * HOUR}
    return {**none, **reported, **seen, "other_windows": None, **fields}


_UNITS = (("used", "percent"), ("window", "minutes"), ("resets", "at"))


def five(*rows: dict[str, Any], begin: float = 0, end: float = 10, columns: int = 10) -> WindowTimeline:
    return window_timelines(rows, NOON + begin * HOUR, NOON + end * HOUR, columns)["5h"]


def highs(level: WindowTimeline) -> list[float | None]:
    return [column and column.high for column in level.columns]


# Levels


def test_an_account_that_goes_while_it_is_read(tmp_path: Path) -> None:
    """All timelines show one state: an account deleted meanwhile is in all of them or in none."""
    path = record(tmp_path / "usage.sqlite3", used(13), used(13, who=BOB))
    forgotten: list[int] = []

    def forget(statement: str) -> None:
        if "min(first_seen_at)" in statement and not forgotten:
            forgotten.extend(account.id for account in known)
            with contextlib.closing(open_writer(path)) as writer:
                for account in forgotten:
                    forget_account(writer, account)

    with contextlib.closing(open_reader(path)) as reader:
        known = load_accounts(reader)
        before = load_timelines(reader, NOON + HOUR, 10, accounts=load_accounts(reader))
        reader.set_trace_callback(forget)
        assert load_timelines(reader, NOON + HOUR, 10, accounts=load_accounts(reader)) == before
        assert forgotten
        assert load_timelines(reader, NOON + HOUR, 10, accounts=load_accounts(reader)) == []


def test_a_reading_holds_until_the_next() -> None:
    """The line has steps, not slopes, and begins at the first reading."""
    level = five(row(2, 10, resets=20), row(5, 30, resets=20))
    assert highs(level) == [None, None, 10, 10, 10, 30, 30, 30, 30, 30]
    assert level.resets == []
    assert (level.now, level.peak, level.readings) == (30, 30, 2)


def test_an_unseen_reset_empties_the_window() -> None:
    """The window falls to 0 when its reset was due, and is marked as unseen from there."""
    level = five(row(1, 60, resets=4))
    assert highs(level) == [None, 60, 60, 60, 60, 0, 0, 0, 0, 0]
    assert [bool(column and column.unseen) for column in level.columns] == [False] * 5 + [True] * 5
    assert [(reset.at, reset.unseen) for reset in level.resets] == [(NOON + 4 * HOUR, True)]
    assert (level.now, level.peak) == (0, 60)


def test_a_reset_that_was_seen_later_is_one_reset() -> None:
    """A reading after the reset confirms it; the reset counts once."""
    level = five(row(1, 60, resets=4), row(6, 5, resets=9.5))
    assert highs(level) == [None, 60, 60, 60, 60, 0, 5, 5, 5, 5]
    assert [reset.unseen for reset in level.resets] == [False, True]


def test_an_early_reset_is_where_it_was_seen() -> None:
    """Lower use and a later reset mean an early reset."""
    level = five(row(1, 60, resets=9), row(3, 5, resets=20))
    assert [(reset.at, reset.unseen) for reset in level.resets] == [(NOON + 3 * HOUR, False)]


def test_a_fall_within_a_window_is_not_a_reset() -> None:
    """A correction by the server lowers the line without a reset."""
    level = five(row(1, 60, resets=20), row(3, 58, resets=20))
    assert level.resets == []
    assert highs(level)[-1] == 58


def test_a_window_that_is_no_longer_reported_ends() -> None:
    """Its line ends; it does not fall to 0."""
    gone = row(3, 0, resets=0) | {"used_5h_percent": None, "window_5h_minutes": None, "resets_5h_at": None}
    assert highs(five(row(1, 60, resets=20), gone)) == [None, 60, 60, 60, None, None, None, None, None, None]


def test_a_peak_between_two_columns_stays() -> None:
    """A column keeps the lowest and the highest of its readings."""
    rows = [row(1 + number / 1_000, used, resets=20) for number, used in enumerate([10, 97, 12] * 100)]
    column = five(*rows).columns[1]
    assert column is not None
    assert (column.low, column.high, column.last) == (10, 97, 12)


def test_what_stood_before_the_beginning_stands_at_it() -> None:
    """The left edge shows the last reading before it."""
    level = five(row(-2, 40, resets=3), begin=0)
    assert highs(level)[:5] == [40, 40, 40, 40, 0]
    assert level.readings == 0


@given(
    st.lists(
        st.tuples(st.floats(0, 12), st.floats(0, 120), st.floats(-2, 8)),
        min_size=1,
        max_size=40,
    )
)
def test_values_are_within_the_reported_ones(reported: list[tuple[float, float, float]]) -> None:
    """For any readings and clock steps, columns are within the reported values, and peaks are in their columns."""
    rows = [row(at, used, resets=at + left) for at, used, left in reported]
    found = window_timelines(rows, NOON, NOON + 12 * HOUR, 24)
    if not found:
        return
    columns = [column for column in found["5h"].columns if column]
    values = {used for _, used, _ in reported} | {0.0}
    assert len(found["5h"].columns) == 24
    assert all({column.low, column.high, column.last} <= values for column in columns)
    assert all(column.low <= column.last <= column.high for column in columns)
    assert found["5h"].peak == max(column.high for column in columns)


@given(
    st.lists(st.tuples(st.floats(0, 12), st.sampled_from([0, 1, 5, 5.5, 80]), st.sampled_from([3, 6, 9])), max_size=40),
    st.booleans(),
)
def test_the_short_way_for_rising_readings_draws_the_same(
    reported: list[tuple[float, float, float]], in_order: bool
) -> None:
    """The fast path for rising readings draws the same as the slow path."""
    rows = [row(at, used, resets=resets) for at, used, resets in (sorted(reported) if in_order else reported)]
    short = window_timelines(rows, NOON, NOON + 12 * HOUR, 24)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_TimelineBuilder, "add_rising", lambda *_: False)
        assert window_timelines(rows, NOON, NOON + 12 * HOUR, 24) == short


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
