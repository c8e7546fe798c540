"""The rows of a document, made of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from store.analysis.usage_cells import CellKey, TurnSums
from store.analysis.usage_table import Grouping, Readings, RowOwner, TimeRange, UsageTable

if TYPE_CHECKING:
    from store.constants import GroupBy
    from store.documents import UsageDocument

OWNER = RowOwner("acct", "work", 2.0)
HOURS = 4


def filled(by: GroupBy, **options: Any) -> UsageDocument:
    """Three turns with 1, 2 and 3 points, each of a thread of its own and in an hour of its own; 4 points elsewhere."""
    table = UsageTable(Grouping(by, **options), TimeRange(0, 10**6))
    for number in (1, 2, 3):
        key = CellKey(HOURS * number, f"t-{number}", model="m")
        table.add_turns(OWNER, key, TurnSums(turns=1, output_tokens=10, last_at=900.0), (number,))
        table.add_points(OWNER, key, number)
    table.add_unexplained(OWNER, 4.0, 50.0)
    table.add_readings(OWNER, Readings(5, 1, 4, 10.0))
    return table.document(0)


@pytest.mark.parametrize(
    ("by", "listed", "points"),
    [
        pytest.param("thread", ["t-3", "t-2"], 1, id="those with the most points"),
        pytest.param("hour", ["1970-01-01 02:00", "1970-01-01 03:00"], 1, id="the latest times"),
    ],
)
def test_so_many_rows_and_the_sum_of_the_others(by: GroupBy, listed: list[str], points: float) -> None:
    """Use elsewhere is listed besides."""
    import datetime as dt

    document = filled(by, most=2, zone=dt.UTC)
    assert [row["key"] for row in document["rows"]] == [*listed, None]
    others = document["others"]
    assert others
    assert (others["points"], others["turns"], others["threads"], others["amount"]) == (points, 1, 1, 2 * points)
    assert (document["other_rows"], document["total"]["points"], document["total"]["threads"]) == (1, 10, 3)


def test_without_a_limit_all_rows_are_listed() -> None:
    document = filled("thread")
    assert (len(document["rows"]), document["others"], document["other_rows"]) == (4, None, 0)
    assert (document["readings"], document["imported_readings"], document["rises"]) == (5, 1, 4)


@pytest.mark.parametrize("by", ["model", "project", "account", "tier"])
def test_a_row_counts_its_threads(by: GroupBy) -> None:
    """Each once, in the row and in the total."""
    document = filled(by)
    assert [row["threads"] for row in document["rows"] if not row["elsewhere"]] == [3]
    assert document["total"]["threads"] == 3
