"""The course of limits in a bounded number of points."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from store.database import open_reader
from store.documents import HistoryPoint
from store.queries.accounts import load_accounts
from store.queries.history_points import PointRange, load_history_points
from tests.support.databases import record
from tests.support.factories import BOB, NOON, limit, snapshot, used, windows

if TYPE_CHECKING:
    from pathlib import Path

    from store.documents import HistoryPointsDocument


HOUR = 3_600


def points(path: Path, span: PointRange, most: int = 1_000) -> HistoryPointsDocument:
    """The points of all accounts."""
    with closing(open_reader(path)) as connection:
        return load_history_points(connection, span, accounts=load_accounts(connection), most=most)


def figures(document: HistoryPointsDocument) -> list[float | None]:
    return [entry["windows"]["5h"]["used_percent"] for entry in document["entries"]]


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (NOON, NOON + HOUR, [0, 1, 2, 3]),
        (NOON + 700, NOON + HOUR, [2, 3]),  # 1 was last seen before the range
        (NOON + 650, NOON + HOUR, [1, 2, 3]),  # 1 was still seen in it
        (NOON, NOON + 600, [0, 1]),
        (NOON + HOUR, NOON + HOUR, []),
    ],
)
def test_a_range_has_the_snapshots_that_were_seen_in_it(
    path: Path, since: float, until: float, expected: list[float]
) -> None:
    """The snapshot that stood at its start is included."""
    record(
        path,
        used(0),
        used(1, at=NOON + 600),
        used(1, at=NOON + 660),
        used(2, at=NOON + 1_200),
        used(3, at=NOON + 1_800),
    )
    assert figures(points(path, PointRange(since, until))) == expected


def test_a_step_has_its_first_and_last_snapshot(path: Path) -> None:
    """Steps begin at multiples of their length."""
    record(path, *(used(number, at=NOON + 60 * number) for number in range(30)))
    document = points(path, PointRange(NOON, NOON + HOUR, step=600))
    assert document["step_seconds"] == 600
    assert figures(document) == [0, 9, 10, 19, 20, 29]
    later = points(path, PointRange(NOON + 1, NOON + HOUR, step=600))
    assert figures(later) == [0, 1, 9, 10, 19, 20, 29][1:]


@pytest.mark.parametrize(("most", "expected"), [(2, [3, 4]), (5, [0, 1, 2, 3, 4]), (0, [])])
def test_the_newest_points_are_returned(path: Path, most: int, expected: list[float]) -> None:
    """The document counts those that are left out."""
    record(path, *(used(number, at=NOON + 60 * number) for number in range(5)))
    document = points(path, PointRange(NOON, NOON + HOUR), most)
    assert (figures(document), document["left_out"]) == (expected, 5 - len(expected))


def test_an_entry_has_every_field(path: Path) -> None:
    """A limit id leaves the other limits out; accounts are listed once."""
    spark = limit(windows(7), limit_id="codex_bengalfox", limit_name="Spark", limit_reached=True)
    record(path, used(1), snapshot(spark, at=NOON + 1, plan_type="pro"), used(2, who=BOB))
    (entry,) = points(path, PointRange(NOON, NOON + HOUR, limit_id="codex_bengalfox"))["entries"]
    assert set(entry) == set(HistoryPoint.__annotations__)
    assert (entry["account"], entry["limit_name"], entry["limit_reached"]) == ("acct-a/user-a", "Spark", True)
    document = points(path, PointRange(NOON, NOON + HOUR))
    assert [account["email"] for account in document["accounts"]] == ["alice@example.com", "bob@example.com"]
    assert [entry["limit_id"] for entry in document["entries"]] == ["codex", "codex_bengalfox", "codex"]
