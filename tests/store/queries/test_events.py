"""The events of a database: what narrows them, and the turns that they are compared with."""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from typing import TYPE_CHECKING

from store.database import open_reader, open_writer
from store.queries.accounts import load_accounts
from store.queries.events import load_events
from tests.support.databases import record
from tests.support.event_factories import (
    DAY,
    HOUR,
    NOW,
    events_document,
    five,
    happened,
    kinds,
    reported,
    samples,
    seven,
    turn_use,
)
from tests.support.factories import BOB, NOON, AccountHistory, insert_history, limit, snapshot

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


# The question


def test_options_narrow_the_events(path: Path) -> None:
    """Accounts, a start, kinds or a limit; with a limit the events of whole accounts are left out."""
    record(
        path,
        reported(five(40), 0, plan_type="plus"),
        reported(five(30), 10, plan_type="pro"),
        reported(five(0, NOON + 5 * DAY + HOUR), 5 * DAY, plan_type="pro"),
        snapshot(limit(five(9), limit_id="other"), at=NOON + 5 * DAY),
        reported(five(9), 0, who=BOB),
        reported(five(8), 10, who=BOB),
    )
    with closing(open_reader(path)) as connection:
        alice, bob = both = load_accounts(connection)
        documents = {
            "all": load_events(connection, NOW, accounts=both),
            "since": load_events(connection, NOW, accounts=both, since=NOON + DAY),
            "kinds": load_events(connection, NOW, accounts=both, kinds=["plan_changed"]),
            "limit": load_events(connection, NOW, limit_id="codex", accounts=[alice]),
            "bob": load_events(connection, NOW, accounts=[bob]),
            "none": load_events(connection, NOW, accounts=[]),
        }
    counted = {
        name: [(each["kind"], each["before"]["id"]) for each in document["events"]]
        for name, document in documents.items()
    }
    fell, changed, reset = "used_percent_fell", "plan_changed", "window_reset"
    assert sorted(counted["all"]) == [(changed, 1), (fell, 1), (fell, 5), (reset, 2)]
    assert [kind for kind, _ in counted["kinds"]] == ["plan_changed"]
    assert "plan_changed" not in [kind for kind, _ in counted["limit"]]
    assert len(counted["limit"]) == 2
    assert len(counted["bob"]) == 1
    assert counted["none"] == []
    assert all(each["at"] >= NOON + DAY for each in documents["since"]["events"])


def test_a_time_range_is_compared_with_the_snapshot_before_it(path: Path) -> None:
    """The first change of the time range is found against the last snapshot before it, however old that is."""
    found = happened(path, reported(five(40)), reported(seven(3), 20 * DAY), since=NOON + 19 * DAY)
    assert kinds(found) == [("window_vanished", "5h"), ("window_appeared", "7d")]


def test_an_increase_from_before_turns_were_recorded(path: Path) -> None:
    """Snapshots from before the migration that added turns have no use elsewhere."""
    insert_history(path, AccountHistory(samples((0, 40), (100, 45), (200, 50)), []))
    migrated_at = dt.datetime.fromtimestamp(NOON + 100, dt.UTC).isoformat(sep=" ")
    with closing(open_writer(path)) as connection:
        connection.execute("UPDATE _sqlite_migrations SET applied_at = '2026-01-01 00:00:00+00:00' WHERE id = 1")
        connection.execute("UPDATE _sqlite_migrations SET applied_at = ? WHERE name = 'm002_requests'", (migrated_at,))
    document = events_document(path)
    assert [event["after"]["seen_at"] for event in document["events"]] == [NOON + 200]
    assert document["turns_known_since"] == NOON + 100


def test_an_increase_from_before_the_turns_that_are_stored(path: Path) -> None:
    """Where the oldest turns were deleted, increases from before the first one that is left are not events."""
    insert_history(
        path, AccountHistory(samples((0, 40), (100, 45), (300, 46), (400, 50)), [turn_use(10, 50), turn_use(200, 250)])
    )
    with closing(open_writer(path)) as connection:
        connection.execute("DELETE FROM requests WHERE id = 1")
    assert [event["points"] for event in events_document(path)["events"]] == [4.0]


def test_many_increases_are_attributed_in_batches(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of a batch does not change the events."""
    figures = samples(*((100 * number, number) for number in range(40)))
    turns = [turn_use(100 * number + 10, 100 * number + 60) for number in range(0, 40, 3)]
    insert_history(path, AccountHistory(figures, turns))
    whole = events_document(path)["events"]
    monkeypatch.setattr("store.queries.event_rows._BATCH", 7)
    assert events_document(path)["events"] == whole
    assert len(whole) == 39 - 13
