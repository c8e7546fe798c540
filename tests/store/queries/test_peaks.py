"""The highest used percent of each day."""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from store.database import open_reader
from store.models import Window
from store.queries.accounts import load_accounts
from store.queries.peaks import empty_peaks, load_peaks
from tests.support.databases import record
from tests.support.factories import BOB, NOON, limit, snapshot, used

if TYPE_CHECKING:
    from pathlib import Path

    from store.documents import PeaksDocument
    from store.models import Snapshot

HOUR, DAY = 3_600, 86_400
MIDNIGHT = dt.datetime(2026, 11, 21).timestamp()  # noqa: DTZ001 (days are those of the machine's zone)


def peaks(path: Path, since: float = MIDNIGHT, until: float = MIDNIGHT + 4 * DAY, **options: str) -> PeaksDocument:
    with closing(open_reader(path)) as connection:
        return load_peaks(connection, until, accounts=load_accounts(connection), since=since, **options)


def days(document: PeaksDocument, slot: str = "5h") -> list[tuple[str, float]]:
    return [(each["day"][-2:], each["used_percent"]) for each in document["limits"][0]["windows"][slot]["days"]]


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        (
            [used(10, at=MIDNIGHT + HOUR), used(60, at=MIDNIGHT + 2 * HOUR), used(5, at=MIDNIGHT + 8 * HOUR)],
            [("21", 60)],
        ),
        ([used(10, at=MIDNIGHT + HOUR), used(7, at=MIDNIGHT + 2 * DAY)], [("21", 10), ("23", 7)]),
        ([used(10, at=MIDNIGHT + HOUR), used(10, at=MIDNIGHT + 2 * DAY)], [("21", 10), ("22", 10), ("23", 10)]),
        ([used(10, at=MIDNIGHT - HOUR), used(10, at=MIDNIGHT + HOUR)], [("21", 10)]),
        ([used(10, at=MIDNIGHT - 2 * DAY), used(4, at=MIDNIGHT + HOUR)], [("21", 4)]),
        ([used(0, at=MIDNIGHT + HOUR)], [("21", 0)]),
    ],
    ids=["the highest", "a day between is unknown", "it stood for days", "it stood at the start", "before", "zero"],
)
def test_the_peak_of_a_day(path: Path, readings: list[Snapshot], expected: list[tuple[str, float]]) -> None:
    """A reading counts on each day on which it was seen."""
    record(path, *readings)
    assert days(peaks(path)) == expected


def test_any_window_has_peaks(path: Path) -> None:
    """Those without columns of their own too, with their length, and when the day begins and ends."""
    for at, percent in ((0, 10.0), (HOUR, 30.0), (2 * HOUR, 20.0)):
        month = Window(used_percent=percent, window_minutes=43_200, resets_at=int(MIDNIGHT) + 20 * DAY)
        record(path, snapshot(limit({"30d": month}), at=MIDNIGHT + at))
    (found,) = peaks(path)["limits"]
    assert found["windows"]["30d"] == {
        "window_minutes": 43_200,
        "length": "30d",
        "days": [{"day": "2026-11-21", "start": MIDNIGHT, "end": MIDNIGHT + DAY, "used_percent": 30.0}],
    }


def test_one_limit_alone(path: Path) -> None:
    """The other limits are left out, and no account is."""
    record(path, used(10), snapshot(limit({}, limit_id="codex_bengalfox"), who=BOB))
    found = peaks(path, NOON - DAY, NOON + DAY, limit_id="codex")
    assert len(found["accounts"]) == 2
    assert [each["limit_id"] for each in found["limits"]] == ["codex"]


def test_no_database() -> None:
    """The document has no limits."""
    assert empty_peaks(NOON, since=NOON - DAY)["limits"] == []
