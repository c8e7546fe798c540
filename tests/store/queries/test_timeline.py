"""Timelines of the limits in a database."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from store.database import open_reader, open_writer
from store.edits import forget_account
from store.queries.accounts import load_accounts
from store.queries.timeline import LimitTimeline, load_timelines
from tests.support.databases import record
from tests.support.factories import BOB, NOON, limit, snapshot, used, windows
from tests.support.timeline_factories import HOUR

if TYPE_CHECKING:
    from pathlib import Path


def loaded(
    path: Path, after: float = HOUR, since: float | None = None, limit_id: str | None = None
) -> list[LimitTimeline]:
    """Return the timelines of all accounts, in 10 columns, up to so many seconds after noon."""
    with closing(open_reader(path)) as reader:
        accounts = load_accounts(reader)
        return load_timelines(reader, NOON + after, 10, accounts=accounts, since=since, limit_id=limit_id)


@pytest.mark.parametrize(
    ("limit_id", "expected"),
    [
        (None, ["acct-a/user-a codex", "acct-a/user-a codex_bengalfox", "acct-b/user-b codex"]),
        ("codex", ["acct-a/user-a codex", "acct-b/user-b codex"]),
        ("codex_bengalfox", ["acct-a/user-a codex_bengalfox"]),
    ],
)
def test_each_limit_has_a_timeline(path: Path, limit_id: str | None, expected: list[str]) -> None:
    """The main limit of an account comes first; a limit id leaves the others out."""
    spark = limit(windows(3, 4), limit_id="codex_bengalfox", limit_name="Spark")
    record(path, snapshot(spark, limit(windows(13, 41))), used(50, who=BOB))
    found = loaded(path, limit_id=limit_id)
    assert [f"{each.account.key} {each.limit_id}" for each in found] == expected
    assert {each.limit_name for each in found} <= {None, "Spark"}
    assert all(set(each.windows) == {"5h", "7d"} for each in found)


def test_a_timeline_begins_with_the_first_snapshot(path: Path) -> None:
    """Without a time range it covers all that is stored."""
    record(path, used(10), used(20, at=NOON + HOUR))
    (found,) = loaded(path, 2 * HOUR)
    assert (found.begin, found.end) == (NOON, NOON + 2 * HOUR)
    assert [column and column.high for column in found.windows["5h"].columns] == [10] * 5 + [20] * 5


def test_a_time_range_begins_with_the_snapshot_before_it(path: Path) -> None:
    """Its value holds until the first snapshot of the range."""
    record(path, used(90), used(10, at=NOON + 60, seven=41), used(20, at=NOON + 2 * HOUR))
    (found,) = loaded(path, 2.25 * HOUR, since=NOON + HOUR)
    window = found.windows["5h"]
    assert (found.begin, window.readings, window.peak) == (NOON + HOUR, 1, 20)
    assert [column and column.high for column in window.columns] == [10] * 8 + [20] * 2


def test_timelines_show_one_state_of_the_database(path: Path) -> None:
    """All timelines show one state: an account deleted meanwhile is in all of them or in none."""
    record(path, used(13), used(13, who=BOB))
    forgotten: list[int] = []

    def forget(statement: str) -> None:
        if "SELECT min(first_seen_at)" in statement and not forgotten:
            forgotten.extend(account.id for account in known)
            with closing(open_writer(path)) as writer:
                for account in forgotten:
                    forget_account(writer, account)

    with closing(open_reader(path)) as reader:
        known = load_accounts(reader)
        before = load_timelines(reader, NOON + HOUR, 10, accounts=load_accounts(reader))
        reader.set_trace_callback(forget)
        assert load_timelines(reader, NOON + HOUR, 10, accounts=load_accounts(reader)) == before
        assert forgotten
        assert load_timelines(reader, NOON + HOUR, 10, accounts=load_accounts(reader)) == []
