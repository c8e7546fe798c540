"""The turns of a time range for ``speed``."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from store.database import open_reader
from store.kept.filling import Wish, fill
from store.kept.kind import Coverage
from store.kept.reading import ask_kept
from store.queries.cursors import read_transaction
from store.queries.kept_speed import SPEED
from store.queries.speed import speed_begin
from store.queries.speed_turns import Range, SpeedTurns
from tests.support.databases import record
from tests.support.factories import NOON, used
from tests.support.kept_histories import DAY, HOUR
from tests.support.speed_factories import recorded

if TYPE_CHECKING:
    from pathlib import Path


def test_turns_of_kept_days_are_not_read_again(path: Path) -> None:
    """But those at both ends of the time range."""
    record(path, used(1.0), *(recorded(NOON + hour * HOUR) for hour in range(40 * 24)))
    now = NOON + 40 * DAY
    period = Range(now - 7 * DAY, now)
    assert fill(path, [Wish(SPEED, speed_begin(period.since))], now)
    with closing(open_reader(path)) as connection, read_transaction(connection):
        found = ask_kept(connection, SPEED, lambda kept: SpeedTurns(connection, kept, [1], period).parts(1))
    midnights = Range(now - 6.5 * DAY, now - DAY / 2)
    assert found is not None
    assert found.read == [Range(period.since, midnights.since), Range(midnights.until, now)]
    assert found.kept == Coverage(*midnights)
