"""How fast turns were, from the database."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from store.constants import SPEED_BY
from store.database import open_reader
from store.queries import speed
from store.queries.accounts import load_accounts
from store.queries.speed import empty_speed, load_speed
from tests.support.databases import record
from tests.support.factories import BOB, NOON, used
from tests.support.speed_factories import recorded, weeks_of_turns

if TYPE_CHECKING:
    from pathlib import Path

    from store.constants import SpeedBy
    from store.documents import SpeedDocument

HOUR, DAY = 3_600, 86_400


def asked(path: Path, now: float = NOON, by: SpeedBy = "model", **options: Any) -> SpeedDocument:
    """Return the document of a database, by default of the last 7 days."""
    values = {"since": now - 7 * DAY, "zone": dt.UTC, **options}
    with contextlib.closing(open_reader(path)) as connection:
        return load_speed(connection, now, accounts=load_accounts(connection), by=by, **values)


MIXED = (
    recorded(NOON - HOUR, 4),
    recorded(NOON - HOUR - 60, 2, tier="priority", reasoning_effort="high"),
    recorded(NOON - 2 * HOUR, 3, model="n", response_model="m"),
    recorded(NOON - DAY, model=None, reasoning_effort=None),
    recorded(NOON - DAY, output=None, status=429, error_type="usage_limit_reached"),
    recorded(NOON - DAY, output=None, status=503, error_type="server_is_overloaded"),
    recorded(NOON - DAY, output=None, status=503, error_type="server_is_overloaded"),
    recorded(NOON - DAY, output=None, status=500),
    recorded(NOON - DAY, output=None, status=None, error_type="interrupted"),
    recorded(NOON - DAY, 90, warm_up=True),
    recorded(NOON - 8 * DAY, 1.5, who=BOB),
    recorded(NOON - 40 * DAY, 50),
)
"""Turns of many kinds, in the last 7 days, before them, and long ago."""


@pytest.mark.parametrize(
    ("by", "turns"),
    [
        ("model", {"m": 7, "n": 1, None: 1}),
        ("effort", {"medium": 7, "high": 1, None: 1}),
        ("tier", {None: 8, "priority": 1}),
        ("day", {"2026-11-20": 6, "2026-11-21": 3}),
        ("hour", {"09:00": 1, "10:00": 2, "11:00": 6}),
    ],
)
def test_rows(path: Path, by: SpeedBy, turns: dict[str | None, int]) -> None:
    """A row for each, the most used first or in the order of time; warm-ups are left out, and the rows add up."""
    document = asked(record(path, used(5.0), *MIXED), by=by)
    assert [(row["key"], row["turns"]) for row in document["rows"]] == list(turns.items())
    total = document["total"]
    for name in ("turns", "answered", "failed", "refused", "interrupted", "rerouted"):
        assert sum(row[name] for row in document["rows"]) == total[name]
    assert total["turns"] == 9


def test_figures(path: Path) -> None:
    """The figures are those of answered turns, beside those of the 28 days before."""
    total = asked(record(path, used(5.0), *MIXED))["total"]
    assert {name: total[name] for name in ("answered", "failed", "refused", "interrupted", "rerouted")} == {
        "answered": 4,
        "failed": 3,
        "refused": 1,
        "interrupted": 1,
        "rerouted": 1,
    }
    assert total["errors"] == {"server_is_overloaded": 2, "500": 1}
    assert total["first_byte_seconds"] == {"turns": 4, "median": 2.5, "slow": pytest.approx(3.85)}
    assert total["seconds"] == {"turns": 4, "median": 12.5, "slow": pytest.approx(13.85)}
    assert total["tokens_per_second"] == {"turns": 4, "median": 50, "slow": 50}
    assert total["input_tokens"] == 30_000
    usual = total["usual"]
    assert (usual["turns"], usual["first_byte_seconds"]["median"], usual["failed_share"]) == (1, 1.5, 0)


def test_usual_of_a_row(path: Path) -> None:
    """A model has its own usual figures, and so has an hour of the day; days have those of all days before."""
    turns = [recorded(NOON - day * DAY - hour * HOUR, 2 + hour, model=f"m{hour}") for day in (1, 8) for hour in (1, 3)]
    record(path, used(5.0), *turns)
    for by, expected in (("model", [3, 5]), ("hour", [5, 3]), ("day", [4])):
        rows = asked(path, by=by)["rows"]  # type: ignore[arg-type]
        assert [row["usual"]["first_byte_seconds"]["median"] for row in rows] == expected


@pytest.mark.parametrize("by", SPEED_BY)
def test_no_turns(path: Path, by: SpeedBy) -> None:
    """A database without turns has no rows, and the document of one that does not exist yet is like it."""
    document = asked(record(path, used(5.0)), by=by)
    empty = empty_speed(NOON, by=by, since=NOON - 7 * DAY)
    assert document == {**empty, "accounts": document["accounts"]}
    assert (document["rows"], document["now"]["verdict"], document["now"]["text"]) == (
        [],
        "unknown",
        ["No turns in the last 24 h."],
    )


@pytest.mark.parametrize(
    ("waited", "since", "verdict", "turns"),
    [
        pytest.param(2.0, 7 * DAY, "usual", 24, id="as usual"),
        pytest.param(5.0, 7 * DAY, "slower", 24, id="slower in the last hour"),
        pytest.param(5.0, 1_000, "slower", 10, id="in the time range, where that is short"),
    ],
)
def test_now(path: Path, waited: float, since: float, verdict: str, turns: int) -> None:
    """The last hour is compared with the same hour of the days before."""
    now = [recorded(NOON - 100 * number - 10, waited) for number in range(24)]
    found = asked(record(path, used(5.0), *weeks_of_turns(NOON), *now), since=NOON - since)["now"]
    assert (found["verdict"], found["turns"]) == (verdict, turns)
    assert found["first_byte_seconds"]["days"] == 20
    assert found["since"] == NOON - min(since, HOUR)


def test_few_turns_are_sought_further_back(path: Path) -> None:
    """With too few turns in an hour it is the last 3, 6, 12 or 24 that are compared."""
    turns = [recorded(NOON - 1_000 * number - 10) for number in range(25)]
    found = asked(record(path, used(5.0), *turns))["now"]
    assert (NOON - found["since"], found["turns"]) == (6 * HOUR, 22)


def test_other_hours_do_not_count(path: Path) -> None:
    """Turns at other hours of the day are not what is usual in these."""
    night = [turn.model_copy(update={"started_at": turn.started_at - 8 * HOUR}) for turn in weeks_of_turns(NOON)]
    now = [recorded(NOON - 100 * number - 10) for number in range(24)]
    found = asked(record(path, used(5.0), *night, *now))["now"]
    assert (found["verdict"], found["first_byte_seconds"]["usual"]["turns"]) == ("unknown", 0)


def test_very_many_turns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many turns only every 2nd, 4th, 8th … one is read; all of them are counted."""
    monkeypatch.setattr(speed, "MAX_TURNS", 25)
    monkeypatch.setattr(speed, "MAX_USUAL_TURNS", 10)
    turns = [recorded(NOON - 8 * DAY - number) for number in range(100)]
    turns += [recorded(NOON - DAY - number) for number in range(100)]
    total = asked(record(path, used(5.0), *turns))["total"]
    assert (total["turns"], total["first_byte_seconds"]["turns"], total["usual"]["turns"]) == (100, 25, 6)
