from __future__ import annotations

import contextlib
import csv
import datetime as dt
import io
import json
import math
import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from scripts.cli import cli
from scripts.render.export import USAGE_COLUMNS
from scripts.render.usage import short_ids, tokens
from scripts.support.errors import NOTHING_YET
from store.analysis.attribution import (
    DEFAULT_WEIGHTS,
    Attribution,
    Interval,
    TurnUse,
    Weights,
    WindowSample,
    attribute,
    increase,
    intervals,
    points_in_range,
    token_weight,
)
from store.analysis.token_weights import MIN_BLOCKS, fit_intervals, fit_weights, points_per_token
from store.constants import GROUP_BY
from store.database import open_reader, open_writer
from store.queries.accounts import load_accounts
from store.queries.usage import load_usage
from tests.support.factories import NOON
from tests.support.turn_factories import WEEK_MINUTES, Told, keep

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from store.constants import GroupBy
    from store.documents import UsageDocument

WEEK = WEEK_MINUTES * 60
DAY = 86_400


def invoke(*arguments: str | Path) -> Result:
    """Run a command line in this process; its exceptions are the test's."""
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(cli, words, prog_name="codex-tap", catch_exceptions=False)


def sight(used: float, at: float = 0, *, until: float | None = None, resets_at: int | None = WEEK) -> WindowSample:
    """A reading of a week's window, which was last seen at `until`."""
    return WindowSample(at, at if until is None else until, used, WEEK_MINUTES, resets_at)


def turn(started: float, ended: float, output: int | None = 100, **fields: Any) -> TurnUse:
    """An answered turn of thread t and model m that wrote so much; None is one that was cut off."""
    told = None if output is None else 0
    values: dict[str, Any] = {
        "thread": "t",
        "model": "m",
        "warm_up": 0,
        "status": 200,
        "input_tokens": told,
        "cached_tokens": told,
        "output_tokens": output,
        "reasoning_tokens": told,
        "first_byte_at": started,
        **fields,
    }
    return TurnUse(started_at=started, ended_at=ended, **values)


def by_thread(found: Iterable[Attribution]) -> dict[str | None, float]:
    """Points by thread; None is "elsewhere"."""
    points: dict[str | None, list[float]] = {}
    for part in found:
        points.setdefault(part.turn and part.turn.thread, []).append(part.points)
    return {thread: math.fsum(each) for thread, each in points.items()}


# Rises


@pytest.mark.parametrize(
    ("before", "after", "points"),
    [
        pytest.param(sight(40), sight(43, 60), 3, id="it rose"),
        pytest.param(sight(40), sight(40, 60), 0, id="it stood"),
        pytest.param(sight(40), sight(43, 60, resets_at=WEEK + 60), 3, id="the reset jitters"),
        pytest.param(sight(90), sight(2, WEEK + 60, resets_at=2 * WEEK + 30), 2, id="a reset on time"),
        pytest.param(
            sight(3), sight(5, WEEK + 60, resets_at=2 * WEEK + 30), 5, id="a reset that hides behind more use"
        ),
        pytest.param(sight(90, DAY), sight(4, 2 * DAY, resets_at=WEEK + 2 * DAY), 4, id="an early reset"),
        pytest.param(sight(2, DAY), sight(4, 2 * DAY, resets_at=WEEK + 2 * DAY), 4, id="an early reset, and more use"),
        pytest.param(sight(40, DAY), sight(41, DAY + 60, resets_at=WEEK + 7_200), 1, id="a reset that was put off"),
        pytest.param(sight(40, DAY), sight(41, DAY + 60, resets_at=WEEK - 7_200), 1, id="a reset that came nearer"),
        pytest.param(sight(90), sight(0, 60, resets_at=WEEK + 60), 0, id="a reset without use"),
        pytest.param(sight(0), sight(0, DAY, resets_at=WEEK + DAY), 0, id="an unused window slides"),
        pytest.param(sight(0), sight(7, DAY, resets_at=WEEK + DAY), 7, id="the first use of a window"),
        pytest.param(sight(40), sight(38, 60), 0, id="the server put it right"),
        pytest.param(sight(40, resets_at=None), sight(42, 60, resets_at=None), 2, id="no reset told"),
        pytest.param(sight(40, resets_at=None), sight(3, 60, resets_at=None), 3, id="a fall, no reset told"),
    ],
)
def test_what_a_window_rose_by(before: WindowSample, after: WindowSample, points: float) -> None:
    """A reset is never a negative use: after it, all that the window shows was used since."""
    assert increase(before, after) == points


def test_a_window_seen_for_the_first_time_has_no_rise() -> None:
    """Nothing is known of what was before; gaps go from the last sight of a figure to the first of the next."""
    assert intervals([sight(40)]) == []
    assert intervals([sight(40, 0, until=50), sight(41, 60), sight(41.5, 90)]) == [
        Interval(50, 60, 1),
        Interval(60, 90, 0.5),
    ]


@pytest.mark.parametrize(
    ("gap", "since", "until", "points"),
    [
        (Interval(10, 20, 8), 0, 30, 8),
        (Interval(10, 20, 8), 15, 30, 4),
        (Interval(10, 20, 8), 0, 12.5, 2),
        (Interval(10, 20, 8), 12, 17, 4),
        (Interval(10, 20, 8), 20, 30, 0),
        (Interval(10, 20, 8), 0, 10, 0),
        (Interval(20, 10, 8), 9, 30, 8),
        (Interval(20, 10, 8), 10, 30, 0),
        (Interval(20, 20, 8), 0, 20, 8),
    ],
)
def test_what_of_a_rise_is_in_a_period(gap: Interval, since: float, until: float, points: float) -> None:
    """By the share of the gap's time; one that has no length is where its end is."""
    assert points_in_range(gap, since, until) == points


# Whose they are


GAP = Interval(100, 200, 6)


@pytest.mark.parametrize(
    ("turns", "shares"),
    [
        pytest.param([turn(110, 150)], {"t": 6}, id="one turn"),
        pytest.param([turn(110, 150), turn(120, 160, 200, thread="u")], {"t": 2, "u": 4}, id="by their tokens"),
        pytest.param([turn(50, 101)], {"t": 6}, id="one that began before"),
        pytest.param([turn(50, 100)], {None: 6}, id="one that ended before"),
        pytest.param([turn(50, 300)], {"t": 6}, id="one that runs on"),
        pytest.param([turn(50, 300), turn(110, 200, thread="u")], {"u": 6}, id="ended beats running"),
        pytest.param([turn(198, 300)], {None: 6}, id="the reading came with its own answer"),
        pytest.param([turn(110, 300, first_byte_at=None)], {None: 6}, id="one without an answer so far"),
        pytest.param([turn(110, 150, status=429)], {None: 6}, id="a refused one"),
        pytest.param([turn(110, 150, None, warm_up=1)], {None: 6}, id="a warm-up"),
        pytest.param([turn(110, 150, 0)], {None: 6}, id="one of no tokens"),
        pytest.param([turn(110, 150, warm_up=1)], {"t": 6}, id="a warm-up that took tokens"),
        pytest.param([turn(110, 150, None)], {"t": 6}, id="one cut off"),
        pytest.param([turn(110, 150, None), turn(110, 151, None, thread="u")], {"t": 3, "u": 3}, id="two cut off"),
        pytest.param(
            [turn(110, 150, None), turn(110, 151, 50, thread="u"), turn(110, 152, 150, thread="v")],
            {"t": 2, "u": 1, "v": 3},
            id="a cut off one weighs as the mean",
        ),
        pytest.param([turn(110, 150, status=500), turn(50, 300, thread="u")], {"u": 6}, id="refused, and one running"),
        pytest.param([turn(150, 110)], {"t": 6}, id="the clock stepped back in it"),
        pytest.param([], {None: 6}, id="none"),
    ],
)
def test_whose_a_rise_is(turns: list[TurnUse], shares: dict[str | None, float]) -> None:
    """Of the turns that ended in the gap, else of those under way at its end, else it was used elsewhere."""
    found = attribute([GAP], sorted(turns, key=lambda each: each.ended_at), {}, 0, 1_000)
    assert by_thread(found) == pytest.approx(shares)


@pytest.mark.parametrize(("running", "who"), [(turn(50, 300), "t"), (turn(50, 90), None)])
def test_a_gap_of_no_length_loses_nothing(running: TurnUse, who: str | None) -> None:
    """Where the clock stepped back it is that of the turns under way, else elsewhere's."""
    assert by_thread(attribute([Interval(200, 100, 6)], [running], {}, 0, 1_000)) == {who: 6}


def test_a_rise_across_the_start_is_of_all_turns_of_its_gap() -> None:
    """Half of the gap is in the period, so half of each turn's part is, whenever they ended."""
    turns = [turn(110, 120, thread="early"), turn(180, 190, thread="late")]
    assert by_thread(attribute([GAP], turns, {}, 150, 1_000)) == {"early": 1.5, "late": 1.5}


def test_kinds_of_tokens_are_weighed() -> None:
    """Cached input is a part of the input, reasoning one of the output."""
    one = turn(0, 1, 10, input_tokens=1_000, cached_tokens=400, reasoning_tokens=9)
    assert token_weight(one, {}) == 600 + 40 + 80
    assert token_weight(one, {"m": Weights(1, 1, 1)}) == 1_010
    assert token_weight(one._replace(cached_tokens=5_000), {}) == 100 + 80
    assert token_weight(one._replace(cached_tokens=None), {}) == 1_080


# Simulated accounts


class Simulated(NamedTuple):
    """What was read and told, and what each thread cost; None is the other machine."""

    sights: list[WindowSample]
    turns: list[TurnUse]
    cost: dict[str | None, float]


_MEDIANS = {"refactor-auth": (3_000, 36_000, 400), "docs": (13_000, 22_000, 1_100)}


def simulated(
    seed: int, weights: Mapping[str, Weights], *, count: int = 1_500, elsewhere: float, at_end: bool
) -> Simulated:
    """Two threads that cost what `weights` say, and another machine; readings are rounded down to whole percents.

    There is one with the start of each answer, which does not count that turn, and with `at_end` one behind its end.
    """
    dice = random.Random(seed)  # noqa: S311 (a simulation)
    clock, used = 0.0, 0.0
    rows: list[WindowSample] = []
    found = Simulated(rows, [], dict.fromkeys([*_MEDIANS, None], 0.0))

    def read(at: float) -> None:
        if rows and rows[-1].used_percent == math.floor(used):
            rows[-1] = rows[-1]._replace(last_at=at)
        else:
            rows.append(sight(math.floor(used), at))

    for number in range(count):
        clock += dice.expovariate(1 / 120)
        if dice.random() < elsewhere:
            used += 4
            found.cost[None] += 4
        thread, model = dice.choice(list(_MEDIANS)), list(weights)[number // 40 % len(weights)]
        kinds = [int(median * dice.lognormvariate(0, 1)) for median in _MEDIANS[thread]]
        read(clock + 0.5)
        started, clock = clock, clock + dice.uniform(5, 90)
        cost = sum(number * weight for number, weight in zip(kinds, weights[model], strict=True)) / 400_000
        used += cost
        found.cost[thread] += cost
        found.turns.append(
            turn(
                started,
                clock,
                kinds[2],
                first_byte_at=started + 0.5,
                thread=thread,
                model=model,
                input_tokens=kinds[0] + kinds[1],
                cached_tokens=kinds[1],
            )
        )
        if at_end:
            read(clock + 0.1)
    return found


def shared(history: Simulated, *, fit: bool) -> dict[str | None, float]:
    """Points by thread, with weights as they are fixed or fitted."""
    found = intervals(history.sights)
    weights = (
        {model: each.weights for model, each in fit_weights(fit_intervals(found, history.turns)).items()} if fit else {}
    )
    rate = points_per_token(fit_intervals(found, history.turns), weights)
    return by_thread(attribute(found, history.turns, weights, -1, math.inf, rate=rate))


@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_shares_come_out_near_the_known_cost(seed: int, at_end: bool) -> None:
    """Whole percents, two threads and another machine: each within a tenth of all that was used."""
    history = simulated(seed, {"m": DEFAULT_WEIGHTS}, elsewhere=0.006, at_end=at_end)
    found = shared(history, fit=False)
    whole = math.fsum(history.cost.values())
    assert math.fsum(found.values()) == pytest.approx(whole, abs=2)
    for thread, cost in history.cost.items():
        assert found.get(thread, 0) == pytest.approx(cost, abs=0.1 * whole)


@pytest.mark.parametrize("truth", [DEFAULT_WEIGHTS, Weights(1, 0.5, 3), Weights(1, 0.02, 20)])
@pytest.mark.parametrize("seed", range(3))
def test_weights_come_near_the_true_ones(seed: int, truth: Weights) -> None:
    """Fitted weights tell what turns cost better than the fixed ones do, or as well where those are right."""
    history = simulated(seed, {"m": truth}, count=3_000, elsewhere=0, at_end=True)
    fit = fit_weights(fit_intervals(intervals(history.sights), history.turns))["m"]
    assert fit.increases > 100
    assert _error(history.turns, truth, fit.weights) < max(0.1, 0.7 * _error(history.turns, truth, DEFAULT_WEIGHTS))


def _error(turns: list[TurnUse], truth: Weights, weights: Weights) -> float:
    """How far off the shares are that weights give to turns: 0 is none, 2 all."""
    true, ours = ([token_weight(each, {"m": of}) or 0.0 for each in turns] for of in (truth, weights))
    return sum(abs(a / sum(true) - b / sum(ours)) for a, b in zip(true, ours, strict=True))


def test_models_are_told_apart() -> None:
    """A model whose tokens cost four times as much weighs about so much more."""
    history = simulated(
        1, {"small": DEFAULT_WEIGHTS, "large": Weights(4, 0.4, 32)}, count=3_000, elsewhere=0, at_end=True
    )
    fits = fit_weights(fit_intervals(intervals(history.sights), history.turns))
    of = {
        model: sum(token_weight(each, {"m": fit.weights}) or 0 for each in _as_m(history.turns))
        for model, fit in fits.items()
    }
    assert 2.5 < of["large"] / of["small"] < 6


def _as_m(turns: list[TurnUse]) -> list[TurnUse]:
    return [each._replace(model="m") for each in turns]


def test_weights_are_fixed_until_enough_is_known() -> None:
    """So is the size of a rise that a turn can explain: with little known, all of it is the turn's."""
    history = simulated(0, {"m": DEFAULT_WEIGHTS}, count=60, elsewhere=0, at_end=True)
    found = intervals(history.sights)
    assert len(found) < MIN_BLOCKS * 3
    assert fit_weights(fit_intervals(found, history.turns)) == {}
    assert points_per_token(fit_intervals(found, history.turns), {}) is None
    assert fit_weights([]) == {}


def test_no_turn_has_more_than_its_tokens_explain() -> None:
    """A night in which another machine used 25 points is not that of the small turn at its edge."""
    history = simulated(0, {"m": DEFAULT_WEIGHTS}, elsewhere=0, at_end=True)
    rate = points_per_token(fit_intervals(intervals(history.sights), history.turns), {})
    night = Interval(0, 30_000, 25)
    found = by_thread(attribute([night], [turn(10, 40, 1_000)], {}, -1, 40_000, rate=rate))
    assert found["t"] < 2
    assert math.fsum(found.values()) == 25


# It adds up


_moments = st.floats(0, 20 * DAY)
_counts = st.none() | st.integers(0, 10**7)


@st.composite
def _sights(draw: st.DrawFn) -> list[WindowSample]:
    clock, found = 0.0, []
    for _ in range(draw(st.integers(0, 25))):
        clock += draw(st.floats(-DAY, 2 * DAY))
        last = clock + draw(st.floats(-10, DAY))
        used = draw(st.floats(0, 120) | st.integers(0, 100))
        found.append(WindowSample(clock, last, used, WEEK_MINUTES, draw(st.none() | st.integers(1, 30 * DAY))))
        clock = last
    return found


@st.composite
def _turns(draw: st.DrawFn) -> list[TurnUse]:
    return [
        TurnUse(
            started_at=draw(_moments),
            first_byte_at=draw(st.none() | _moments),
            ended_at=draw(_moments),
            thread=draw(st.sampled_from([None, "t", "u", "v"])),
            model=draw(st.sampled_from([None, "m", "n"])),
            warm_up=draw(st.integers(0, 1)),
            status=draw(st.sampled_from([None, 200, 429])),
            input_tokens=draw(_counts),
            cached_tokens=draw(_counts),
            output_tokens=draw(_counts),
            reasoning_tokens=draw(_counts),
        )
        for _ in range(draw(st.integers(0, 30)))
    ]


@given(_sights(), _turns(), _moments, _moments, st.none() | st.floats(0, 1e-3))
def test_the_parts_add_up_to_the_rise(
    sights: list[WindowSample], turns: list[TurnUse], one: float, other: float, rate: float | None
) -> None:
    """Whatever the readings, turns, resets and clocks: no point is lost and none is made."""
    since, until = sorted([one, other])
    found = intervals(sights)
    turns.sort(key=lambda each: each.ended_at)
    weights: dict[str | None, Weights] = {"m": Weights(2, 0.5, 3)}
    shared_out = [part.points for part in attribute(found, turns, weights, since, until, rate=rate)]
    assert all(points >= 0 for points in shared_out)
    whole = math.fsum(points_in_range(gap, since, until) for gap in found)
    assert math.fsum(shared_out) == pytest.approx(whole, abs=1e-9)


@given(_sights(), st.lists(_moments, min_size=3, max_size=3))
def test_periods_that_follow_each_other_add_up(sights: list[WindowSample], moments: list[float]) -> None:
    """What was used this week and last week was used in these two weeks."""
    first, middle, last = sorted(moments)
    for gap in intervals(sights):
        halves = points_in_range(gap, first, middle) + points_in_range(gap, middle, last)
        assert halves == pytest.approx(points_in_range(gap, first, last), abs=1e-9)


def asked(path: Path, now: float, **options: Any) -> UsageDocument:
    """The document of a database."""
    with contextlib.closing(open_reader(path)) as connection:
        return load_usage(connection, now, accounts=load_accounts(connection), **options)


@given(st.lists(st.tuples(_sights(), _turns()), min_size=1, max_size=3), st.floats(0, 19 * DAY))
def test_the_rows_add_up_for_every_by(
    tmp_path_factory: pytest.TempPathFactory, told: list[tuple[list[WindowSample], list[TurnUse]]], since: float
) -> None:
    """Points to 1e-9, turns and tokens exactly, whatever the rows stand for."""
    path = tmp_path_factory.mktemp("sums") / "codex-tap.sqlite3"
    keep(path, *(Told(sights, turns, f"{number}@example.com") for number, (sights, turns) in enumerate(told)))
    totals = []
    for by in GROUP_BY:
        document = asked(path, 20 * DAY, by=by, since=since)
        rows, total = document["rows"], document["total"]
        assert math.fsum(row["points"] for row in rows) == pytest.approx(total["points"], abs=1e-9)
        for name in ("turns", "refused", "warm_ups", "input_tokens", "output_tokens"):
            assert sum(row[name] for row in rows) == total[name]
        totals.append(total)
    assert all(total == totals[0] for total in totals)


# The document


def busy(now: float = NOON) -> Told:
    """A day's use: 12 points of thread refactor, 3 of thread docs with another model, 5 elsewhere; one refused turn."""
    start = now - DAY
    resets_at = int(now) + 2 * DAY
    sights = [
        sight(used, start + at, resets_at=resets_at)
        for at, used in ((0, 10), (3_600, 22), (7_200, 25), (10_800, 30), (14_400, 30.0001))
    ]
    turns = [
        turn(start + 60, start + 90, thread=REFACTOR, input_tokens=12_000, cached_tokens=9_000),
        turn(start + 3_700, start + 3_790, thread=DOCS, model="n", input_tokens=1_500, reasoning_tokens=30),
        turn(start + 8_000, start + 8_001, None, thread=DOCS, status=429),
        turn(start + 8_010, start + 8_011, None, thread=DOCS, warm_up=1),
        turn(start + 14_000, start + 14_010, thread=None),
    ]
    return Told(sights, turns)


REFACTOR, DOCS = "01990000-1111-7000-8000-000000000001", "01990000-2222-7000-8000-000000000002"


@pytest.fixture
def path() -> Path:
    """Where the database is by default."""
    return Path(os.environ["CODEX_TAP_DB"])


def test_the_document_is_the_contract(path: Path) -> None:
    """Every documented field, points and tokens where they belong."""
    document = asked(keep(path, busy()), NOON, since=NOON - 7 * DAY)
    assert set(document) == {
        *("generated_at", "since", "until", "by", "limit_id", "window", "window_minutes"),
        *("accounts", "rows", "total", "readings", "rises", "weights"),
    }
    assert (document["window"], document["window_minutes"], document["limit_id"]) == ("7d", WEEK_MINUTES, "codex")
    assert (document["readings"], document["rises"]) == (5, 4)
    rows = {row["key"] or ("elsewhere" if row["elsewhere"] else "not told"): row for row in document["rows"]}
    assert list(rows) == [REFACTOR, DOCS, "not told", "elsewhere"]
    assert {key: round(row["points"], 3) for key, row in rows.items()} == {
        REFACTOR: 12,
        DOCS: 3,
        "not told": 0,
        "elsewhere": 5,
    }
    docs = rows[DOCS]
    assert (docs["turns"], docs["refused"], docs["warm_ups"], docs["models"]) == (1, 1, 1, ["m", "n"])
    assert (docs["input_tokens"], docs["reasoning_tokens"], docs["threads"]) == (1_500, 30, 1)
    assert set(rows[REFACTOR]) == set(USAGE_COLUMNS)
    assert document["total"]["turns"] == 3
    assert document["weights"][0] == {
        "account": "acct-alice/user-alice",
        "model": "m",
        "fitted": False,
        "rises": 0,
        "uncached_input": 1.0,
        "cached_input": 0.1,
        "output": 8.0,
    }


def test_other_limits_turns_do_not_count(path: Path) -> None:
    """A turn that was charged to another limit used nothing of this one."""
    main = busy()
    other = Told([sight(1, NOON)], main.turns, limit_id="codex_bengalfox")
    keep(path, main._replace(turns=()), other)
    (row,) = asked(path, NOON, since=NOON - DAY - 1)["rows"]
    assert (row["elsewhere"], round(row["points"], 3)) == (True, 20)
    assert asked(path, NOON, since=NOON - DAY - 1, limit_id="codex_bengalfox")["total"]["turns"] == 3


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        ("model", {"m", "n"}),
        ("day", {"2026-11-20"}),
        ("hour", {"2026-11-20 12:00", "2026-11-20 13:00", "2026-11-20 15:00", "2026-11-20 14:00"}),
        ("account", {"acct-alice/user-alice"}),
    ],
)
def test_rows_by_something_else(path: Path, by: GroupBy, keys: set[str]) -> None:
    """Days and hours are local; what was used elsewhere stays a row of its own."""
    document = asked(keep(path, busy()), NOON, since=NOON - 7 * DAY, by=by, zone=dt.UTC)
    assert {row["key"] for row in document["rows"] if not row["elsewhere"]} == keys
    assert [row["elsewhere"] for row in document["rows"]][-1]
    offset = dt.timezone(dt.timedelta(hours=-13))
    if by == "day":
        shifted = asked(path, NOON, since=NOON - 7 * DAY, by=by, zone=offset)
        assert shifted["rows"][0]["key"] == "2026-11-19"


def test_late_readings_and_errors_without_windows_part_nothing(path: Path) -> None:
    """A reading that was overtaken is left out, and an error that told no window does not cut a gap in two."""
    start = NOON - DAY
    keep(path, Told([sight(10, start)], [turn(start + 10, start + 20)]))
    add_rows(
        path,
        [
            {"first_seen_at": start + 30, "windows_seen_at": start, "used_7d_percent": 10, "source": "error"},
            {"first_seen_at": start + 35, "windows_seen_at": start + 35, "used_7d_percent": 4, "late": 1},
            {"first_seen_at": start + 40, "windows_seen_at": start + 40, "used_7d_percent": 12},
        ],
    )
    document = asked(path, NOON, since=start - 1)
    assert [(row["key"], row["points"]) for row in document["rows"]] == [("t", 2)]


def add_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Add snapshots of the first account's main limit; the last one is how it stands now."""
    from sqlite_utils import Database

    with contextlib.closing(open_writer(path)) as connection:
        table = Database(connection).table("snapshots")
        usual = {"account": 1, "token_key": "k~0", "limit_id": "codex", "source": "headers", "raw": "{}"}
        times = ({"last_seen_at": row["first_seen_at"], "window_7d_minutes": WEEK_MINUTES} for row in rows)
        table.insert_all(
            [{"resets_7d_at": WEEK, "late": 0, **usual, **time, **row} for time, row in zip(times, rows, strict=True)]
        )
        connection.execute("UPDATE limits SET snapshot_id = (SELECT max(id) FROM snapshots)")


def test_a_window_that_is_gone_can_still_be_asked_for(path: Path) -> None:
    """The plan has no 7d window any more; what used it is known all the same."""
    keep(path, busy())
    gone = {"window_7d_minutes": None, "resets_7d_at": None, "windows_seen_at": NOON - 60}
    add_rows(path, [{"first_seen_at": NOON - 60, "other_windows": '{"30d": [5, 43200, null]}', **gone}])
    assert asked(path, NOON, since=NOON - 2 * DAY)["window"] == "30d"
    assert asked(path, NOON, since=NOON - 2 * DAY, window="7d")["total"]["points"] == pytest.approx(20.0001)


# The command


def test_usage_for_people(path: Path) -> None:
    """A line for each thread with its points, a bar and its tokens; a total; and what to know."""
    keep(path, busy(time.time()))
    result = invoke("usage")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("7 d window of codex · ")
    assert lines[0].endswith(" · alice@example.com")
    assert lines[1].split() == ["Thread", "Points", "Turns", "Input", "Cached", "Output"]
    words = [[word for word in line.split() if "█" not in word] for line in lines[2:7]]
    assert words == [
        ["01990000-1", "12.0", "1", "12k", "9k", "100"],
        ["01990000-2", "3.0", "1", "1.5k", "0", "100"],
        ["thread", "not", "reported", "0.0", "1", "0", "0", "100"],
        ["used", "elsewhere", "5.0"],
        ["total", "20.0", "3", "13.5k", "9k", "300"],
    ]
    assert lines[8] == "Few readings: 4 increases in 5 readings."
    assert lines[9].startswith("used elsewhere: increases without a turn through the tap, or")


def test_weights_that_were_fitted_are_told(path: Path) -> None:
    """The note says what a token of the model weighs, and from how many rises that is known."""
    history = simulated(0, {"m": DEFAULT_WEIGHTS}, count=1_500, elsewhere=0, at_end=True)
    begin = time.time() - history.turns[-1].ended_at - 60
    sights = [each._replace(first_at=each.first_at + begin, last_at=each.last_at + begin) for each in history.sights]
    turns = [
        each._replace(started_at=each.started_at + begin, ended_at=each.ended_at + begin) for each in history.turns
    ]
    keep(path, Told(sights, turns))
    (fit,) = json.loads(invoke("usage", "--json").stdout)["weights"]
    assert fit["fitted"]
    (note,) = [line for line in invoke("usage").stdout.splitlines() if "fitted" in line]
    assert note.startswith(f"m: token weights {fit['uncached_input']:.2g} (uncached input), ")
    assert note.endswith(f"(output), fitted from {fit['rises']} increases.")


def test_a_thread_goes_by_its_name(path: Path) -> None:
    """Where it has one, in the table and in the document."""
    keep(path, busy(time.time()))
    invoke("threads", "name", REFACTOR, "refactor-auth")
    assert "\nrefactor-auth  " in invoke("usage").stdout
    assert json.loads(invoke("usage", "--json").stdout)["rows"][0]["name"] == "refactor-auth"


def test_usage_for_programs(path: Path) -> None:
    """The same rows as JSON, as lines of JSON and as CSV."""
    keep(path, busy(time.time()))
    rows = json.loads(invoke("usage", "--json", "--since", "8d").stdout)["rows"]
    lines = [json.loads(line) for line in invoke("usage", "--ndjson", "--since", "8d").stdout.splitlines()]
    table = list(csv.DictReader(io.StringIO(invoke("usage", "--csv", "--since", "8d").stdout)))
    assert lines == rows
    assert [row["key"] for row in table] == [row["key"] or "" for row in rows]
    assert [float(row["points"]) for row in table] == [row["points"] for row in rows]
    assert table[1]["models"] == "m n"


@pytest.mark.parametrize("name", ["=1+1", "\x1b[31m"])
def test_nothing_of_the_wire_gets_out_unescaped(path: Path, name: str) -> None:
    """A model's name is no formula in a spreadsheet and steers no terminal."""
    told = busy(time.time())
    keep(path, told._replace(turns=[each._replace(model=name) for each in told.turns]))
    assert "\x1b" not in invoke("usage", "--by", "model").stdout
    table = list(csv.DictReader(io.StringIO(invoke("usage", "--by", "model", "--csv").stdout)))
    assert all(not row["key"].startswith(("=", "\x1b")) for row in table)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--window", "1h"], "no window '1h' has been seen; there are: 7d"),
        (["--limit", "nope"], "no limit 'nope' has been seen; there are: codex"),
        (["carol"], "no account matches 'carol'"),
        (["--json", "--csv"], "--json cannot be combined with --csv."),
        (["--by", "week"], "'week' is not one of"),
        (["--since", "2999-01-01"], "must be in the past"),
        (["--since", "soon"], "'soon' is not a valid time"),
    ],
)
def test_wrong_use_is_told(path: Path, words: list[str], error: str) -> None:
    """Exit 2, and what there is."""
    keep(path, busy(time.time()))
    result = invoke("usage", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert error in result.stderr


@pytest.mark.parametrize("flags", [[], ["--json"], ["--csv"], ["--ndjson"]])
def test_nothing_known_yet(path: Path, flags: list[str]) -> None:
    """Exit 3, a document without rows for programs, and no database is made by asking."""
    result = invoke("usage", *flags)
    assert result.exit_code == 3
    assert NOTHING_YET in result.output
    if flags == ["--json"]:
        assert json.loads(result.stdout)["rows"] == []
    assert not path.exists()


def test_nothing_used_in_that_time(path: Path) -> None:
    """It says so; that is no error."""
    keep(path, busy(time.time() - 30 * DAY))
    result = invoke("usage", "--since", "1h")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No usage in that time range.\n")


@pytest.mark.parametrize(
    ("number", "short"),
    [(0, "0"), (999, "999"), (1_000, "1k"), (12_345, "12.3k"), (999_949, "1M"), (1_234_567, "1.23M"), (5e12, "5000G")],
)
def test_tokens_are_written_short(number: int, short: str) -> None:
    """Three digits and a letter."""
    assert tokens(number) == short


@given(st.sets(st.uuids().map(str), max_size=20))
def test_short_ids_are_clear(ids: set[str]) -> None:
    """Eight characters, or as many more as it takes to tell a thread from the others."""
    found = short_ids(ids)
    assert set(found) == ids
    assert len(set(found.values())) == len(ids)
    assert all(each.startswith(short) and len(short) >= 8 for each, short in found.items())


def test_several_accounts_are_told_apart(path: Path) -> None:
    """Each has its own row, and the choice narrows to some."""
    keep(path, busy(time.time()), busy(time.time())._replace(email="bob@example.com"))
    rows = json.loads(invoke("usage", "--by", "account", "--json").stdout)["rows"]
    assert [(row["name"], round(row["points"])) for row in rows] == [
        ("alice@example.com", 15),
        ("bob@example.com", 15),
        (None, 10),
    ]
    chosen = json.loads(invoke("usage", "bob", "--json").stdout)
    assert [account["email"] for account in chosen["accounts"]] == ["bob@example.com"]
    assert round(chosen["total"]["points"]) == 20
