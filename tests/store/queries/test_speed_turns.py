"""The turns of a time range for ``speed``."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from store.database import open_reader
from store.kept.filling import Wish, fill
from store.kept.kind import Coverage
from store.kept.reading import ask_kept
from store.queries.cursors import read_transaction
from store.queries.kept_speed import SPEED, kept_turns
from store.queries.speed import speed_begin
from store.queries.speed_turns import Parts, Range, SpeedTurns
from tests.support.databases import record
from tests.support.factories import NOON, used
from tests.support.kept_histories import DAY, HOUR
from tests.support.speed_factories import recorded

if TYPE_CHECKING:
    from pathlib import Path


def parts(path: Path, period: Range) -> Parts | None:
    """Return where the turns of the first account come from."""
    with closing(open_reader(path)) as connection, read_transaction(connection):
        return ask_kept(connection, SPEED, lambda kept: SpeedTurns(connection, kept_turns(kept), [1], period).parts(1))


def test_turns_of_kept_days_and_hours_are_not_read_again(path: Path) -> None:
    """But those of the last hours; and of the first day those outside of whole hours, or all if it is long ago."""
    record(path, used(1.0), *(recorded(NOON + hour * HOUR) for hour in range(40 * 24)))
    now = NOON + 40 * DAY + 600
    assert fill(path, [Wish(SPEED, speed_begin(now - 35 * DAY))], now)
    midnight, begun = now - DAY / 2 - 600, now - 7 * DAY
    found = parts(path, Range(begun, now))
    assert found == (
        [Range(begun, begun + 3_000), Range(now - 600 - 2 * HOUR, now)],
        (
            [Coverage(midnight - 6 * DAY, midnight)],
            [Coverage(begun + 3_000, midnight - 6 * DAY), Coverage(midnight, now - 600 - 2 * HOUR)],
        ),
    )
    begun = now - 35 * DAY
    found = parts(path, Range(begun, midnight))
    assert found == ([Range(begun, midnight - 34 * DAY)], ([Coverage(midnight - 34 * DAY, midnight)], []))


def test_hours_are_kept_of_the_last_days(path: Path) -> None:
    """Those of a day that is cut off come from the database again."""
    record(path, used(1.0), *(recorded(NOON + hour * HOUR) for hour in range(10 * 24)))
    now = NOON + 10 * DAY
    for hours in range(-30, 1, 5):
        assert fill(path, [Wish(SPEED)], now + hours * HOUR)
    midnight, whole = now - DAY / 2, Range(now - 9 * HOUR, now - 3 * HOUR)
    assert parts(path, whole) == ([], ([], [Coverage(*whole)]))
    record(path, recorded(now - HOUR, waited=8 * HOUR))
    assert parts(path, whole) == ([whole], ([], []))
    assert parts(path, Range(midnight - HOUR, now)) == (
        [Range(midnight, now)],
        ([], [Coverage(midnight - HOUR, midnight)]),
    )
