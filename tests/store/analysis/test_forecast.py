from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.text import Text

from scripts.render.console import TerminalProfile
from scripts.render.forecast import render_most_urgent, words
from store.analysis.forecast import (
    FEW_READINGS,
    NO_READINGS,
    NO_RESET_REPORTED,
    RESET_UNSEEN,
    Forecast,
    forecast,
    outcome,
)
from store.analysis.forecast import Scenario as Way
from store.analysis.hourly_usage import UsageSample
from store.database import open_reader, open_writer
from store.queries.accounts import load_accounts
from store.queries.forecast import FULL, QUICK, load_forecasts, sample_history, urgent_windows
from store.queries.status import load_status
from tests.simulate.processes import PROCESSES
from tests.simulate.score import Score, run
from tests.simulate.world import BEGIN, WINDOW_MINUTES
from tests.support.command_line import invoke
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, NOON, limit, snapshot, windows

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

HOUR, DAY, WEEK = 3_600.0, 86_400.0, 604_800.0


def used_at(rate_at: Iterable[tuple[float, float]], *, resets_at: float) -> list[UsageSample]:
    """Samples of a window: moments and used percent."""
    return [UsageSample(at, at, used, resets_at) for at, used in rate_at]


def steady(hours: float, per_hour: float, *, now: float = NOON, left: float = 10.0) -> list[UsageSample]:
    """A window used evenly for some hours up to now, read every quarter of an hour, that resets in `left` hours."""
    steps = int(hours * 4)
    return used_at(
        ((now - (steps - step) * 900, step * per_hour / 4) for step in range(steps + 1)), resets_at=now + left * HOUR
    )


# What it says


def test_an_even_pace_is_carried_on() -> None:
    """Five days at ten points a day are ten points more a day later, and the range says about that."""
    samples = steady(120, 10 / 24, left=24)
    told = forecast(samples, NOON, window_minutes=10_080)
    assert told.pace_per_hour == pytest.approx(10 / 24, rel=0.1)
    assert told.at_reset == pytest.approx(60, abs=2)
    assert told.safe
    assert told.chance_dry == 0
    assert (told.runs_dry_at, told.runs_dry_low, told.runs_dry_high, told.note) == (None, None, None, None)


def test_an_even_pace_runs_dry_when_it_crosses_a_hundred() -> None:
    """Five days at 18 points a day leave ten, which last half a day and a bit."""
    told = forecast(steady(120, 0.75, left=48), NOON, window_minutes=10_080)
    assert told.runs_dry_at == pytest.approx(NOON + 10 / 0.75 * HOUR, abs=1.5 * HOUR)
    assert told.safe is False
    assert told.chance_dry is not None
    assert told.chance_dry > 0.9


def days_of_work(days: int, *, begin: int = 9, end: int = 17, per_hour: float = 2.0) -> list[UsageSample]:
    """Whole days of work up to the last one's end, on one endless window (NOON's day, a Saturday, is the last)."""
    midnight = NOON - 12 * HOUR
    found = []
    used = 0.0
    for day in range(days - 1, -1, -1):
        for step in range(begin * 4, end * 4 + 1):
            found.append(
                UsageSample(midnight - day * DAY + step * 900, midnight - day * DAY + step * 900, used, NOON + WEEK)
            )
            used += per_hour / 4 * (step < end * 4)
    return found


def test_work_by_day_is_not_carried_through_the_night() -> None:
    """At the end of a day's work nothing is expected before the next morning, and the pace is still that of work."""
    samples = [each._replace(resets_at=NOON + 19 * HOUR) for each in days_of_work(5, per_hour=1.5)]
    at_six = NOON + 5.5 * HOUR
    told = forecast(samples, at_six, window_minutes=10_080)
    newest = samples[-1].used_percent
    assert told.at_reset == pytest.approx(newest, abs=3)
    assert told.pace_per_hour == pytest.approx(1.5, rel=0.2)


def test_a_pause_does_not_make_the_pace_nothing() -> None:
    """After an hour without use the pace is what it was."""
    samples = steady(8, 5.0, now=NOON - HOUR)
    told = forecast([*samples, samples[-1]._replace(at=NOON - 60, until=NOON)], NOON, window_minutes=10_080)
    assert told.pace_per_hour == pytest.approx(5, rel=0.15)


def test_a_reset_is_no_negative_use() -> None:
    """Windows that came and went count with what each used."""
    samples = []
    for number in range(20):
        begin = NOON - (20 - number) * 5 * HOUR
        points = ((begin + step * 900, step * 2.5) for step in range(20))
        samples += used_at(points, resets_at=begin + 5 * HOUR)
    told = forecast(samples, NOON - 2 * HOUR, window_minutes=300)
    assert told.pace_per_hour == pytest.approx(10, rel=0.1)
    assert told.at_reset == pytest.approx(50, abs=5)
    assert told.safe


CASES = {
    "nothing": ([], Forecast(note=NO_READINGS)),
    "full": (
        [UsageSample(NOON - 60, NOON, 100.0, NOON + HOUR)],
        Forecast(None, 100, 100, 100, NOON, NOON, NOON, safe=False, chance_dry=1, readings=1),
    ),
    "full, and nobody knows until when": (
        [UsageSample(NOON - 60, NOON, 104.0, None)],
        Forecast(runs_dry_at=NOON, runs_dry_low=NOON, runs_dry_high=NOON, safe=False, chance_dry=1.0, readings=1,
                 note=NO_RESET_REPORTED),
    ),
    "reset unseen": ([UsageSample(NOON - DAY, NOON - DAY, 50.0, NOON - HOUR)], Forecast(readings=1, note=RESET_UNSEEN)),
    "from the future": ([UsageSample(NOON + 60, NOON + 60, 50.0, NOON + HOUR)], Forecast(note=NO_READINGS)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_needs_no_forecast(case: str) -> None:
    """A full window is dry now; of one that was reset unseen, or never read, nothing is said."""
    samples, expected = CASES[case]
    assert forecast(samples, NOON, window_minutes=300) == expected


def test_a_window_never_used_is_safe_by_what_is_known() -> None:
    """Nothing used means that it lasts, and from how little that is known is said."""
    told = forecast([UsageSample(NOON - HOUR, NOON, 0.0, NOON + 5 * HOUR)], NOON, window_minutes=300)
    assert (told.safe, told.at_reset, told.chance_dry, told.note) == (True, 0, 0, FEW_READINGS)


def test_one_reading_is_not_safe() -> None:
    """Unknown is unknown: a single reading promises nothing."""
    told = forecast([UsageSample(NOON - 60, NOON, 3.0, NOON + 6 * DAY)], NOON, window_minutes=10_080)
    assert told.note == FEW_READINGS
    assert not told.safe


def test_a_window_without_a_reset_says_so() -> None:
    """Where no reset was told nothing is said of it; one that runs dry within its length is not safe."""
    samples = [each._replace(resets_at=None) for each in steady(20, 4.0)]
    told = forecast(samples, NOON, window_minutes=10_080)
    assert (told.at_reset, told.note, told.safe) == (None, NO_RESET_REPORTED, False)


def test_use_past_the_tap_is_expected_to_go_on() -> None:
    """What rose in silences before is taken to rise in this one."""
    samples = []
    used = 0.0
    for day in range(6):
        for step in range(9 * 4, 17 * 4):
            at = NOON - 12 * HOUR - (5 - day) * DAY + step * 900
            samples.append(UsageSample(at, at, used, NOON + DAY))
        used += 8.0
    night = NOON + 12 * HOUR
    told = forecast(samples, night, window_minutes=10_080)
    assert told.at_reset_low is not None
    assert told.at_reset_low > samples[-1].used_percent + 2


@pytest.mark.parametrize("used", [1e-170, 5e-324])
def test_an_almost_unused_window_has_a_forecast(used: float) -> None:
    """The square of what is used a day may be too small for a number."""
    figures = [(3 * DAY, 0.0), (30 * HOUR, used), (HOUR, 3 * used)]
    samples = [UsageSample(NOON - ago, NOON - ago, percent, NOON + DAY) for ago, percent in figures]
    at_reset = forecast(samples, NOON, window_minutes=10_080).at_reset
    assert at_reset is not None
    assert 0 <= at_reset < 1


# What always holds

MOMENTS = st.floats(NOON - 40 * DAY, NOON + DAY)
SAMPLES = st.lists(
    st.builds(
        lambda at, seen, used, left: UsageSample(at, at + seen, used, None if left is None else at + left),
        MOMENTS,
        st.floats(0, 2 * DAY),
        st.floats(0, 150) | st.integers(0, 100).map(float),
        st.none() | st.floats(-DAY, 8 * DAY),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(
    SAMPLES,
    st.booleans(),
    st.none() | st.integers(1, 50_000),
    st.floats(-50_000, 50_000),
)
def test_any_history_is_answered(samples: list[UsageSample], ordered: bool, minutes: int | None, offset: float) -> None:
    """No history breaks it; ranges hold their points, nothing runs dry in the past, and safe means no run-dry time."""
    told = forecast(sorted(samples) if ordered else samples, NOON, window_minutes=minutes, utc_offset=offset)
    assert told == forecast(sorted(samples) if ordered else samples, NOON, window_minutes=minutes, utc_offset=offset)
    figures = [each for each in told if isinstance(each, float)]
    assert all(math.isfinite(each) for each in figures)
    if told.at_reset is not None:
        assert told.at_reset_low is not None
        assert told.at_reset_high is not None
        assert told.at_reset_low <= told.at_reset <= told.at_reset_high
    if told.runs_dry_at is None:
        assert (told.runs_dry_low, told.runs_dry_high) == (None, None)
    else:
        assert told.runs_dry_low is not None
        assert NOON <= told.runs_dry_low <= told.runs_dry_at <= (told.runs_dry_high or math.inf)
        assert not told.safe
    assert (told.chance_dry is None) == (told.note in {NO_READINGS, RESET_UNSEEN})


WAYS = st.lists(st.builds(Way, st.floats(0, 200), st.floats(0, 300) | st.just(math.inf)), min_size=1, max_size=50)


class _Grown(NamedTuple):
    """How long a stretch of even use was, how fast, and how much more was used before it."""

    hours: int
    per_hour: float
    more: float


@settings(deadline=None, max_examples=50)
@given(st.builds(_Grown, st.integers(8, 60), st.floats(0.1, 1.0), st.floats(0, 30)))
def test_more_used_runs_dry_no_later(grown: _Grown) -> None:
    """The same use on top of more leaves less: it stands higher at the reset and runs dry no later."""
    less = steady(grown.hours, grown.per_hour, left=40)
    more = [each._replace(used_percent=each.used_percent + grown.more) for each in less]
    first, second = (forecast(each, NOON, window_minutes=10_080) for each in (less, more))
    assert first.at_reset is not None
    assert second.at_reset is not None
    assert second.at_reset >= first.at_reset - 1e-6
    assert (second.runs_dry_low or math.inf) <= (first.runs_dry_low or math.inf) + 1e-3
    assert (second.chance_dry or 0) >= (first.chance_dry or 0)


@given(WAYS, st.floats(0, 99))
def test_a_range_holds_its_point(ways: list[Way], used: float) -> None:
    """Whatever the ways on, the range is around the point, and safe where at most one in ten ways runs dry."""
    told = outcome(ways, used, NOON)
    assert told.at_reset_low is not None
    assert told.at_reset is not None
    assert told.at_reset_high is not None
    assert told.at_reset_low <= told.at_reset <= told.at_reset_high
    assert told.chance_dry is not None
    assert told.safe == (told.chance_dry <= 0.1)


# How good it is


@pytest.mark.parametrize("slot", WINDOW_MINUTES)
def test_known_processes_are_forecast_better_than_by_a_line(slot: str) -> None:
    """Over all processes the range holds as often as it says, and the error is less than a straight line's."""
    both = Score("all", slot)
    for process in PROCESSES:
        for seed in range(3):
            both.cases += run(process, slot, seed, 12)
    assert len(both.dry) > 20
    assert 0.65 <= both.reset_coverage() <= 0.95
    assert 0.65 <= both.dry_coverage() <= 0.97
    assert both.error_minutes() < both.line_error_minutes()
    assert both.false_safe() < 0.15


# From the database


def test_looking_back_is_bounded_and_knows_both_ends_of_silences(tmp_path: Path) -> None:
    """However many rows there are, a few hundred are read; the newest and those around a silence are among them."""
    path = tmp_path / "codex-tap.sqlite"
    connection = open_writer(path)
    now = float(NOON)
    connection.execute(
        "INSERT INTO accounts (id, account_id, user_id, first_seen_at, last_seen_at) VALUES (1,'a','b',0,0)"
    )
    moments = [now - second for second in range(20 * 86_400, 0, -120) if not 40_000 < second < 80_000]
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO snapshots (account, token_key, limit_id, first_seen_at, last_seen_at, late, source, raw,"
        " used_5h_percent) VALUES (1, 't', 'codex', ?, ?, ?, 'headers', '{}', 1.0)",
        [(at, at + 1, number % 50 == 7) for number, at in enumerate(moments)],
    )
    connection.execute("COMMIT")
    connection.close()
    reader = open_reader(path)
    for sampling, most in ((FULL, 1_500), (QUICK, 260)):
        found = [row["first_seen_at"] for row in sample_history(reader, 1, "codex", now, sampling=sampling)]
        assert found == sorted(set(found))
        assert len(found) < most
        assert found[-1] == moments[-1]
        assert now - sampling.days * DAY - sampling.coarse - 121 < found[0] < now - 13 * DAY
        late = set(moments[7::50])
        assert not late.intersection(found)
        assert (
            max(at for at in moments if at < now - 79_000 and at not in late)
            - max(at for at in found if at < now - 79_000)
            <= sampling.coarse
        )
        assert min(at for at in moments if at > now - 41_000 and at not in late) in found
    reader.close()


def bob_and_alice(path: Path) -> Path:
    """A database in which Alice's week fills evenly and Bob's five hours are full."""
    now = time.time()
    alice = [
        snapshot(limit(windows(None, float(step), at=now)), who=ALICE, at=now - (90 - step) * 1_800, plan_type="plus")
        for step in range(91)
    ]
    full = snapshot(limit(windows(100.0, 40.0, at=now)), who=BOB, at=now - 30)
    return record(path, *alice, full)


def test_the_command_tells_each_window(tmp_path: Path) -> None:
    """People get a line for each window, programs the same with every documented field."""
    path = bob_and_alice(tmp_path / "codex-tap.sqlite")
    shown = invoke("forecast", "--db", str(path))
    assert (shown.exit_code, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert lines[0] == "alice@example.com · plus"
    assert lines[1] == "  codex"
    assert lines[2].startswith("     7 d    90 % used    2.")
    assert "at this pace dry at " in lines[2]
    assert "before its reset" in lines[2]
    assert "dry now, back at " in lines[6]

    document = json.loads(invoke("forecast", "--json", "--db", str(path), "alice").stdout)
    (account,) = document["accounts"]
    assert set(account) == {"account", "name", "email", "plan_type", "limits"}
    (main,) = account["limits"]
    week = main["windows"]["7d"]
    assert set(Forecast._fields) < set(week)
    assert week["used_percent"] == 90
    assert document["generated_at"] < week["runs_dry_low"] <= week["runs_dry_at"] < week["resets_at"]


def test_the_command_without_a_database_knows_nothing(tmp_path: Path) -> None:
    """Nothing seen yet is exit code 3, an unknown account is an error, and JSON stays JSON."""
    shown = invoke("forecast", "--json", "--db", str(tmp_path / "none.sqlite"))
    assert shown.exit_code == 3
    assert json.loads(shown.stdout)["accounts"] == []
    assert "Nothing seen yet" in invoke("forecast", "--db", str(tmp_path / "none.sqlite")).stdout


def test_a_brief_answer_names_what_runs_out_first(tmp_path: Path) -> None:
    """For each account one window of its main limit: the full one, else the one that runs dry first."""
    path = bob_and_alice(tmp_path / "codex-tap.sqlite")
    connection = open_reader(path)
    now = time.time()
    found = urgent_windows(
        connection, now, load_status(connection, now, load_accounts(connection)), load_accounts(connection)
    )
    whole = load_forecasts(connection, now, load_accounts(connection)[:1])
    connection.close()
    alice, bob = found["acct-a/user-a"][0], found["acct-b/user-b"][0]
    assert (alice["slot"], bob["slot"]) == ("7d", "5h")
    assert bob["runs_dry_at"] == int(now)
    closely = whole["accounts"][0]["limits"][0]["windows"]["7d"]["runs_dry_at"]
    assert alice["runs_dry_at"] == pytest.approx(closely, abs=HOUR)
    assert isinstance(render_most_urgent(alice, now, TerminalProfile()), Text)


WORDS: dict[str, dict[str, Any]] = {
    "lasts: about 72 % at the reset (60 to 85 %)": {"safe": True, "chance_dry": 0.01},
    "seems to last: about 72 % at the reset (60 to 85 %), from few readings": {
        "chance_dry": 0.0,
        "note": FEW_READINGS,
    },
    "at this pace dry at 15:40, 50 min before its reset (between 14:50 and 16:10)": {
        "chance_dry": 0.95,
        "runs_dry_at": NOON + 13_200,
        "runs_dry_low": NOON + 10_200,
        "runs_dry_high": NOON + 15_000,
    },
    "at this pace dry at 15:40, 50 min before its reset (14:50 at the earliest, may last)": {
        "chance_dry": 0.7,
        "runs_dry_at": NOON + 13_200,
        "runs_dry_low": NOON + 10_200,
    },
    "likely lasts: about 72 % at the reset (60 to 85 %); 30% chance to be dry before, at about 15:40": {
        "chance_dry": 0.3,
        "runs_dry_at": NOON + 13_200,
        "runs_dry_low": NOON + 10_200,
    },
    "nothing to forecast: reset, not seen since": {"note": RESET_UNSEEN},
    "dry now, back at 16:30": {"used_percent": 100.0, "chance_dry": 1.0},
}


@pytest.mark.parametrize("line", WORDS)
def test_a_forecast_is_one_line(line: str) -> None:
    """People read when it is dry and how sure that is, or that it lasts."""
    from datetime import UTC

    told = Forecast(at_reset=72.0, at_reset_low=60.0, at_reset_high=85.0)._asdict()
    window: Any = {"used_percent": 40.0, "resets_at": NOON + 16_200, **told, **WORDS[line]}
    assert words(window, NOON, UTC) == line


def test_the_simulation_is_the_same_each_time() -> None:
    """A seed is a world: the same readings, moments and answers."""
    first, second = (run("bursts", "5h", 1, 3) for _ in range(2))
    assert first == second
    assert all(case.now > BEGIN for case in first)
