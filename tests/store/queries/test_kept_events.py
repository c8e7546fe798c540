"""The kept events of accounts are those that the rows say."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.database import open_reader
from store.kept.filling import Wish, fill
from store.queries.accounts import load_accounts
from store.queries.events import load_event_page, load_events
from store.queries.kept_events import EVENTS
from store.queries.recent import Recent
from tests.support.databases import record
from tests.support.event_factories import five, reported
from tests.support.factories import NOON, turn
from tests.support.kept_histories import DAY, EXAMPLES, HISTORIES, HOUR, History, Step, pieces_of, play, without_kept

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from store.documents import EventsDocument, EventsPageDocument


def document(history: History, **options: Any) -> EventsDocument:
    with closing(open_reader(history.path)) as connection:
        return load_events(connection, history.now, accounts=load_accounts(connection), **options)


def page(history: History, begin: float | None, recent: Recent | None) -> EventsPageDocument:
    with closing(open_reader(history.path)) as connection:
        accounts = load_accounts(connection)
        return load_event_page(connection, history.now, accounts=accounts, since=begin, most=10_000, recent=recent)


def comparable(found: EventsDocument) -> dict[str, Any]:
    """Return a document whose events of one time are in an order of their own."""
    return {**found, "events": sorted(json.dumps([each["at"], each], sort_keys=True) for each in found["events"])}


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    steps=HISTORIES,
    days=st.sampled_from((0.5, 3, 30)),
    since=st.floats(0, 80),
    some=st.sampled_from(({}, {"kinds": ("window_reset", "used_elsewhere")}, {"limit_id": "codex_bengalfox"})),
)
def test_kept_events_are_those_of_the_rows(
    path: Path, monkeypatch: pytest.MonkeyPatch, steps: list[Step], days: float, since: float, some: dict[str, Any]
) -> None:
    """Whatever happens to the database, in whatever pieces they were kept, and where they are used again."""
    recent = Recent()
    with monkeypatch.context() as patch:
        pieces_of(patch, days)
        for history in play(path, [EVENTS], steps):
            for begin in (None, history.now - since * DAY):
                found = document(history, since=begin, **some)
                with without_kept(patch):
                    expected = document(history, since=begin, **some)
                assert comparable(found) == comparable(expected)
                assert page(history, begin, recent) == page(history, begin, None)


def shown(path: Path, now: float) -> list[str]:
    """The kinds of the events at a time."""
    with closing(open_reader(path)) as connection:
        found = load_events(connection, now, accounts=load_accounts(connection))
    return [event["kind"] for event in found["events"]]


def test_a_turn_that_ends_late_explains_what_was_kept_as_used_elsewhere(path: Path) -> None:
    """It began before the increase, and was stored hours after that was kept."""
    now = NOON + 5 * HOUR
    record(path, reported(five(10)), reported(five(14), 60), reported(five(14), 4.5 * HOUR))
    assert fill(path, [Wish(EVENTS)], now)
    assert shown(path, now) == ["used_elsewhere"]
    long = turn(at=now, tokens={"input": 1_000, "output": 100})
    record(path, long.model_copy(update={"started_at": NOON, "first_byte_at": NOON + 10}))
    assert shown(path, now) == []


def test_what_was_final_before_the_clock_was_set_back_is_asked_of_the_rows(path: Path) -> None:
    """At the earlier time a turn under way may still explain the increase."""
    record(path, reported(five(10)), reported(five(14), 60), reported(five(14), 4.5 * HOUR))
    assert fill(path, [Wish(EVENTS)], NOON + 5 * HOUR)
    assert shown(path, NOON + 5 * HOUR) == ["used_elsewhere"]
    assert shown(path, NOON + HOUR / 2) == []


def test_events_are_not_remembered_beyond_when_a_turn_may_explain_an_increase(path: Path) -> None:
    """The clock was set back to before the increase; then it is an hour old."""
    record(path, reported(five(10)), reported(five(10), 1.5 * HOUR), reported(five(14), 4.1 * HOUR))
    recent = Recent()
    assert fill(path, [Wish(EVENTS)], NOON + 4.1 * HOUR)
    for at, number in ((-10, 1), (10, 0), (HOUR - 10, 0), (HOUR + 10, 1)):
        with closing(open_reader(path)) as connection:
            found = load_event_page(
                connection, NOON + 4.1 * HOUR + at, accounts=load_accounts(connection), most=9, recent=recent
            )
        assert len(found["events"]) == number


def test_a_reset_is_that_of_the_reading_that_arrived_last_before_the_clock_was_set_back(path: Path) -> None:
    """The limit is full by an earlier time than that of the reading before, and open days later."""
    record(path, reported(five(60, NOON + 5 * HOUR), HOUR), reported(five(100, NOON + 5 * HOUR)))
    assert fill(path, [Wish(EVENTS)], NOON + DAY)
    record(path, reported(five(0, NOON + 3 * DAY), 2 * DAY + 20 * HOUR))
    assert shown(path, NOON + 4 * DAY) == ["limit_reached", "window_reset", "limit_freed"]
    assert fill(path, [Wish(EVENTS)], NOON + 4 * DAY)
    assert shown(path, NOON + 4 * DAY) == ["limit_reached", "window_reset", "limit_freed"]
