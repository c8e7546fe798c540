"""The kept figures of turns: how fast Codex was is the same with and without them."""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.constants import SPEED_BY
from store.database import open_reader
from store.kept.filling import Wish, fill
from store.queries import speed
from store.queries.accounts import load_accounts
from store.queries.kept_speed import SPEED
from store.queries.speed import load_speed
from tests.support.databases import record
from tests.support.factories import NOON, used
from tests.support.kept_histories import DAY, HISTORIES, HOUR, Step, pieces_of, play, without_kept
from tests.support.speed_factories import recorded

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

NEW_YORK = ZoneInfo("America/New_York")
ZONES = (dt.UTC, dt.timezone(dt.timedelta(hours=5, minutes=45)), NEW_YORK)


def ask(path: Path, now: float, since: float, zone: dt.tzinfo = dt.UTC, by: Any = "model") -> Any:
    with closing(open_reader(path)) as connection:
        return load_speed(connection, now, accounts=load_accounts(connection), since=since, zone=zone, by=by)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    steps=HISTORIES,
    days=st.sampled_from((0.5, 3, 30)),
    since=st.sampled_from((0.04, 0.9, 3, 20, 80)),
    zone=st.sampled_from(ZONES),
)
def test_kept_rows_change_no_answer(
    path: Path, monkeypatch: pytest.MonkeyPatch, steps: list[Step], days: float, since: float, zone: dt.tzinfo
) -> None:
    """Whatever happens to the database, in whatever pieces they were kept, and however few turns are read."""
    with monkeypatch.context() as patch:
        pieces_of(patch, days)
        for name, most in (("MAX_TURNS", 9), ("MAX_USUAL_TURNS", 6), ("MAX_COMPARED_TURNS", 3)):
            patch.setattr(speed, name, most)
        for history, by in zip(play(path, [SPEED], steps), SPEED_BY * len(steps), strict=False):
            begin = history.now - since * DAY
            found = ask(path, history.now, begin, zone, by)
            with without_kept(patch):
                assert found == ask(path, history.now, begin, zone, by)


def test_a_day_lists_its_models(path: Path) -> None:
    """The most used first; rows of other kinds list none."""
    turns = [recorded(NOON - HOUR, 2, model=name) for name in ("m", "n", "n", None)]
    record(path, used(1.0), *turns, recorded(NOON - DAY, 7, model="m"))
    rows = ask(path, NOON, NOON - 7 * DAY, by="day")["rows"]
    assert [[(each["model"], each["turns"]) for each in row["models"]] for row in rows] == [
        [("m", 1)],
        [("n", 2), ("m", 1), (None, 1)],
    ]
    assert rows[0]["models"][0]["first_byte_seconds"] == {"turns": 1, "median": 7, "slow": 7}
    assert [row["models"] for row in ask(path, NOON, NOON - 7 * DAY)["rows"]] == [[], [], []]


def test_hours_are_those_of_the_clock_before_and_after_it_was_set(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The days of both sides are counted apart, those of one side together."""
    noon = dt.datetime(2026, 10, 20, 12, tzinfo=NEW_YORK)
    times = [(noon + dt.timedelta(days=day)).timestamp() for day in range(24)]
    record(path, used(1.0), *(recorded(at + minutes * 60) for at in times for minutes in (10, 40, 70)))
    monkeypatch.setattr(speed, "MAX_TURNS", 1)
    now = times[-1] + 3 * DAY
    assert fill(path, [Wish(SPEED)], now)
    found = ask(path, now, now - 40 * DAY, NEW_YORK, "hour")
    assert [(row["key"], row["turns"]) for row in found["rows"]] == [("12:00", 48), ("13:00", 24)]
