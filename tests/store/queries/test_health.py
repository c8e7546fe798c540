"""How much was recorded, and what was lost."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from store.database import open_reader, open_writer
from store.queries.health import load_losses, load_summary
from store.record.statements import Loss, insert_losses
from tests.support.databases import record
from tests.support.factories import BOB, NOON, used

if TYPE_CHECKING:
    from pathlib import Path


def test_a_summary_counts_rows(path: Path) -> None:
    """It has the time of the newest reading, whose snapshot may have begun earlier."""
    with closing(open_writer(path)) as connection:
        assert load_summary(connection) == (0, 0, None)
    record(path, used(1), used(2, at=NOON + 60), used(2, at=NOON + 90), used(3, at=NOON + 30, who=BOB))
    with closing(open_reader(path)) as connection:
        assert load_summary(connection) == (2, 3, NOON + 90)


def test_losses_are_summed_by_reason(path: Path) -> None:
    """The most frequent reason comes first."""
    with closing(open_writer(path)) as connection:
        insert_losses(connection, [Loss(NOON, 2, "full"), Loss(NOON + 90, 7, "damaged"), Loss(NOON + 60, 3, "full")])
    with closing(open_reader(path)) as connection:
        assert load_losses(connection) == (12, NOON + 90, ("damaged", "full"))


def test_a_database_without_losses(path: Path) -> None:
    """There is nothing to report."""
    with closing(open_reader(record(path, used(1)))) as connection:
        assert load_losses(connection) is None
