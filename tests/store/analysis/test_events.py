from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.analysis.event_text import event_note, event_text
from store.analysis.events import (
    KINDS,
    Doubt,
    Event,
    EventEvidence,
    Increase,
    account_events,
    is_routine,
    token_events,
    unattributed,
)
from store.constants import EVENT_KINDS
from store.database import open_reader
from store.models import Credits, Source, Window
from store.queries.accounts import load_accounts
from store.queries.events import load_events
from tests.support.databases import record
from tests.support.event_factories import (
    DAY,
    HOUR,
    NOW,
    RESET_5H,
    RESET_7D,
    events_document,
    five,
    happened,
    kinds,
    reported,
    samples,
    seven,
    turn_use,
    window,
)
from tests.support.factories import ALICE, BOB, NOON, AccountHistory, insert_history, limit, snapshot, turn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from store.analysis.attribution import TurnUse
    from store.models import Snapshot

MINUTE = 60


def test_each_kind_has_a_meaning() -> None:
    """The kinds of the command line and the API are those with a meaning, in the same order."""
    assert tuple(KINDS) == EVENT_KINDS


# Windows


@pytest.mark.parametrize(
    ("before", "after", "later", "expected"),
    [
        (five(40), five(60), HOUR, []),
        (five(40), five(60, RESET_5H + 60), HOUR, []),
        (five(40), five(40, RESET_5H + 60), HOUR, []),
        (five(40), five(2, RESET_5H + 6 * HOUR), 3 * HOUR, ["window_reset"]),
        (five(40), five(55, RESET_5H + 6 * HOUR), 3 * HOUR, ["window_reset"]),
        (five(40), five(0, RESET_5H + 6 * HOUR), 3 * HOUR, ["window_reset"]),
        (five(40), five(0), 3 * HOUR, ["used_percent_fell"]),
        (five(40), five(30, RESET_5H + HOUR), HOUR, ["used_percent_fell"]),
        (five(40), five(40, RESET_5H + 5 * HOUR), 2 * HOUR + 5, ["window_not_reset"]),
        (five(40), five(42, RESET_5H + HOUR), 3 * HOUR, ["window_not_reset"]),
        (five(40), five(0, None), 3 * HOUR, ["window_reset"]),
        (five(40), five(2, RESET_5H + 5 * HOUR), 2 * HOUR - 30, ["window_reset"]),
        (five(40), five(2, RESET_5H + 4 * HOUR), HOUR, ["window_reset_early"]),
        (five(40), five(0, NOON + 6 * HOUR), HOUR, ["window_reset_early"]),
        (five(40), five(40, RESET_5H + DAY), HOUR, ["window_moved"]),
        (five(40), five(45, RESET_5H - 1_000), HOUR, ["window_moved"]),
        (five(40), five(30), HOUR, ["used_percent_fell"]),
        (five(40), five(30, None), HOUR, ["used_percent_fell"]),
        (five(40, None), five(30, None), HOUR, ["used_percent_fell"]),
        (five(40, None), five(3, None), 6 * HOUR, ["window_reset"]),
        (five(40, None), five(3, None, None), HOUR, ["used_percent_fell"]),
        (five(0), five(0, RESET_5H + DAY), HOUR, []),
        (five(0), five(13, RESET_5H + DAY), HOUR, []),
        (five(None), five(13), HOUR, []),
        (five(40), five(None, RESET_5H + DAY), HOUR, []),
        (five(40), five(40, None), HOUR, []),
        (seven(40), {**five(1), **seven(40)}, HOUR, ["window_appeared"]),
        ({**five(1), **seven(40)}, seven(40), HOUR, ["window_vanished"]),
        (seven(40), seven(40, minutes=10_079), HOUR, []),
        (seven(40), seven(40, minutes=20_160), HOUR, ["window_vanished", "window_appeared"]),
        ({"30d": window(40, RESET_7D, 43_200)}, {"30d": window(9, RESET_7D, 43_200)}, HOUR, ["used_percent_fell"]),
    ],
)
def test_what_happened_to_a_window(
    path: Path, before: dict[str, Window], after: dict[str, Window], later: float, expected: list[str]
) -> None:
    """Consecutive readings show it; jitter, use, and a reset that slides at 0 % are not events."""
    found = happened(path, reported(before), reported(after, later))
    assert [event["kind"] for event in found] == expected


def test_a_reset_on_time_has_the_time_it_was_due(path: Path) -> None:
    """The reset was noticed only later, when Codex ran again."""
    (reset,) = happened(path, reported(five(40)), reported(five(2, RESET_5H + 9 * DAY), 9 * DAY))
    assert (reset["at"], reset["before"]["id"], reset["after"]["id"]) == (RESET_5H, 1, 2)
    assert (reset["before"]["seen_at"], reset["after"]["seen_at"]) == (NOON, NOON + 9 * DAY)
    assert (reset["before"]["used_percent"], reset["after"]["used_percent"]) == (40.0, 2.0)
    assert reset["text"] == "The 5 h window was reset when it was due, 2026-11-21 14:00, from 40 % used to 2 %."


@pytest.mark.parametrize(
    ("before", "after", "later", "routine"),
    [
        (five(40), five(2, RESET_5H + 6 * HOUR), 3 * HOUR, True),
        (five(40), five(2, RESET_5H + 4 * HOUR), HOUR, False),
        (five(40, None), five(3, None), 6 * HOUR, False),
        (five(40), five(30), HOUR, False),
    ],
    ids=["when it was due", "early", "when it was due is unknown", "no reset"],
)
def test_a_reset_that_was_due_is_routine(
    path: Path, before: dict[str, Window], after: dict[str, Window], later: float, routine: bool
) -> None:
    """Lists may leave it out."""
    (found,) = happened(path, reported(before), reported(after, later))
    assert found["routine"] is routine


def test_what_is_unsure_is_not_routine() -> None:
    """A reset across a step of the clock may have been early."""
    due = EventEvidence(1, NOON, used_percent=40.0, resets_at=NOON)
    reset = Event(NOON, "window_reset", "codex", None, "5h", 300, due, due)
    assert is_routine(reset)
    assert not is_routine(reset._replace(doubt=Doubt("clock_set_back")))


def test_an_early_reset_has_both_times(path: Path) -> None:
    """It has both readings, both reset times, and the seconds by which the reset was early."""
    (reset,) = happened(
        path, reported(seven(40)), reported(seven(1, NOON + 8 * DAY), DAY), kinds=["window_reset_early"]
    )
    assert (reset["at"], reset["seconds"]) == (NOON + DAY, 2 * DAY)
    assert (reset["before"]["resets_at"], reset["after"]["resets_at"]) == (RESET_7D, NOON + 8 * DAY)
    assert reset["text"] == (
        "The 7 d window was reset 2 d before it was due, from 40 % used to 1 %: it was due 2026-11-24 12:00,"
        " and the next reset is 2026-11-29 12:00."
    )
    assert reset["note"] == "It happened at some time in the 1 d before it was seen."


def test_a_window_that_was_due_and_not_reset(path: Path) -> None:
    """It stays as full as it was, and nothing of it was used elsewhere."""
    document = events_document(record(path, reported(seven(89)), reported(seven(89, RESET_7D + 4 * DAY), 3 * DAY + 5)))
    (event,) = document["events"]
    assert (event["kind"], event["at"], event["seconds"]) == ("window_not_reset", NOON + 3 * DAY + 5, 4 * DAY)
    assert event["text"] == (
        "The 7 d window was due 2026-11-24 12:00 and was not reset, still 89 % used; now due 2026-11-28 12:00."
    )
    assert event["note"] is None


def test_a_moved_reset_has_both_times(path: Path) -> None:
    """Later is positive, sooner is negative; readings close to each other have no note."""
    later, sooner = happened(
        path,
        reported(seven(40)),
        reported(seven(40, RESET_7D + DAY), MINUTE),
        reported(seven(41, RESET_7D + DAY - HOUR), 2 * MINUTE),
    )
    assert (later["seconds"], sooner["seconds"], later["note"]) == (DAY, -HOUR, None)
    assert later["text"] == (
        "The 7 d window now resets 1 d later, 2026-11-25 12:00 instead of 2026-11-24 12:00, at 40 % used after 40 %."
    )
    assert "resets 1 h sooner" in sooner["text"]


def test_another_limit_is_named(path: Path) -> None:
    """The sentence names a limit that is not the main one."""
    spark = {"limit_id": "codex_bengalfox", "limit_name": "Spark"}
    (event,) = happened(
        path,
        snapshot(limit(five(40)), limit(five(40), **spark), at=NOON),
        snapshot(limit(five(50)), limit(five(30), **spark), at=NOON + HOUR),
    )
    assert (event["limit_id"], event["limit_name"]) == ("codex_bengalfox", "Spark")
    assert event["text"].startswith("The 5 h window of Spark fell from 40 % used to 30 %")


def test_late_readings_are_not_events(path: Path) -> None:
    """A response that was overtaken on its way is neither a fall nor an increase."""
    server = float(NOON)
    found = happened(
        path,
        reported(five(40), 0, server_time=server),
        reported(five(60), 10, server_time=server + 10),
        reported(five(40), 11, server_time=server + 1),
        reported(five(61), 12, server_time=server + 12),
    )
    assert found == []


# Limits that are reached and freed


def test_a_full_window_closes_and_its_reset_opens(path: Path) -> None:
    """A refusal after a full window is the same event; the limit is free when the reset was due."""
    refused: dict[str, Any] = {"source": Source.ERROR, "status": 429}
    found = happened(
        path,
        reported(five(90)),
        reported(five(100), MINUTE),
        snapshot(limit(five(100), limit_reached=True), at=NOON + 2 * MINUTE, **refused),
        reported(five(3, RESET_5H + 6 * HOUR), 5 * HOUR),
    )
    assert kinds(found) == [("limit_reached", "5h"), ("window_reset", "5h"), ("limit_freed", "5h")]
    assert [event["at"] for event in found] == [NOON + MINUTE, RESET_5H, RESET_5H]
    assert found[0]["text"] == "The 5 h window is full, at 100 % used; it resets 2026-11-21 14:00."
    assert found[2]["text"] == "The limit is open again: its 5 h window was reset."


def test_freed_and_reached_again_unseen(path: Path) -> None:
    """A window that is full before and after an unseen reset was free in between."""
    found = happened(path, reported(five(100)), reported(five(100, RESET_5H + 7 * HOUR), 5 * HOUR))
    assert kinds(found) == [("window_reset", "5h"), ("limit_freed", "5h"), ("limit_reached", "5h")]
    assert [event["at"] for event in found] == [RESET_5H, RESET_5H, NOON + 5 * HOUR]


def test_a_limit_is_free_when_all_windows_are(path: Path) -> None:
    """With two full windows the reset of one does not free the limit; a second full window is an event."""
    week = RESET_7D + 7 * DAY
    found = happened(
        path,
        reported({**five(99), **seven(99)}),
        reported({**five(100), **seven(99)}, MINUTE),
        reported({**five(100), **seven(100)}, 2 * MINUTE),
        reported({**five(0, RESET_5H + DAY), **seven(100)}, 5 * HOUR),
        reported({**five(1, RESET_7D + DAY), **seven(1, week)}, 4 * DAY),
    )
    assert kinds(found) == [
        ("limit_reached", "5h"),
        ("limit_reached", "7d"),
        ("window_reset", "5h"),
        ("window_reset", "7d"),
        ("limit_freed", "7d"),
    ]


def test_a_verdict_of_the_server(path: Path) -> None:
    """It blocks a limit without a full window, and frees it again."""
    refused = limit(None, limit_reached=True, reached_type="workspace_owner_credits_depleted")
    found = happened(
        path,
        reported(seven(40)),
        snapshot(refused, at=NOON + 1, source=Source.ERROR, status=429),
        reported(seven(41), 2),
    )
    assert kinds(found) == [("limit_reached", None), ("limit_freed", None)]
    assert found[0]["text"] == "The limit is reached, as the server says (workspace_owner_credits_depleted)."
    assert found[0]["after"]["reached_type"] == "workspace_owner_credits_depleted"
    assert found[1]["text"] == "The limit is open again, as the server says."


def test_a_refusal_until_a_time(path: Path) -> None:
    """The limit is free at the time that the server gave."""
    found = happened(
        path,
        reported(seven(40)),
        snapshot(limit(None, limit_reached=True, reached_until=NOON + HOUR), at=NOON + 1, source=Source.ERROR),
        reported(seven(41), DAY),
    )
    assert [(event["kind"], event["at"]) for event in found] == [
        ("limit_reached", NOON + 1),
        ("limit_freed", NOON + HOUR),
    ]


def test_the_first_reading_is_not_an_event(path: Path) -> None:
    """An event is a difference between two readings."""
    assert happened(path, reported(five(100))) == []


# The account


def test_a_plan_change_is_one_event(path: Path) -> None:
    """A message with several limits makes one event; a first known plan makes none."""
    both = (limit(five(40)), limit(five(1), limit_id="codex_bengalfox"))
    found = happened(
        path,
        snapshot(*both, at=NOON),
        snapshot(*both, at=NOON + 1, plan_type="plus"),
        snapshot(*both, at=NOON + 2, plan_type="pro"),
        snapshot(*both, at=NOON + 3, plan_type="pro"),
    )
    (event,) = found
    assert (event["kind"], event["limit_id"], event["slot"], event["at"]) == ("plan_changed", None, None, NOON + 2)
    assert (event["before"]["plan_type"], event["after"]["plan_type"]) == ("plus", "pro")
    assert event["text"] == "The plan changed from plus to pro."


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("9.5", "7.25", ("credits_spent", "2.25")),
        ("0.1", "0.30", ("credits_bought", "0.2")),
        ("100000000000000.000000000000001", "0", ("credits_spent", "100000000000000.000000000000001")),
        ("10", "110", ("credits_bought", "100")),
        ("9.5", "9.50", None),
        (None, "5", None),
        ("what", "5", None),
        ("NaN", "5", None),
        ("1" * 50, "5", None),
    ],
)
def test_credits_are_counted_to_the_last_digit(
    path: Path, before: str | None, after: str | None, expected: tuple[str, str] | None
) -> None:
    """Balances are decimal strings; anything else is not an event."""

    def balance(written: str | None, at: float) -> Snapshot:
        balance_now = Credits(has_credits=True, unlimited=False, balance=written)
        return reported(five(40), at, credits=balance_now)

    found = happened(path, balance(before, 0), balance(after, 1))
    assert [(event["kind"], event["credits"]) for event in found] == ([expected] if expected else [])


def test_the_last_credit_is_spent(path: Path) -> None:
    """No credits are a balance of 0 in any spelling; unlimited credits are not counted."""
    balances = [
        Credits(has_credits=True, unlimited=False, balance="2"),
        Credits(has_credits=False, unlimited=False, balance=""),
        Credits(has_credits=True, unlimited=True, balance=None),
        Credits(has_credits=False, unlimited=False, balance="0"),
    ]
    found = happened(path, *(reported(five(40), at, credits=each) for at, each in enumerate(balances)))
    assert [(event["kind"], event["credits"]) for event in found] == [("credits_spent", "2")]
    assert found[0]["text"] == "2 credits were spent: 2 before, 0 now."


def test_a_new_token_of_a_known_account(path: Path) -> None:
    """The event has both token keys; the first token of another account is not an event."""
    renewed = ALICE.model_copy(update={"token_key": "alice~0000000009"})
    found = happened(path, reported(five(40)), reported(five(40), 1, who=BOB), reported(five(40), DAY, who=renewed))
    (event,) = found
    assert (event["kind"], event["account"], event["at"]) == ("token_refreshed", "acct-a/user-a", NOON + DAY)
    assert (event["before"]["token_key"], event["after"]["token_key"]) == (ALICE.token_key, renewed.token_key)


# Used elsewhere


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([], [5.0]),
        ([turn_use(10, 50)], []),
        ([turn_use(10, 500)], []),
        ([turn_use(-50, -1)], [5.0]),
        ([turn_use(101, 150)], [5.0]),
        ([turn_use(10, 50, status=429)], [5.0]),
    ],
)
def test_an_increase_without_a_turn_was_elsewhere(path: Path, turns: list[TurnUse], expected: list[float]) -> None:
    """By the rule of ``usage``: no turn ended between the two readings, and none was running."""
    insert_history(path, AccountHistory(samples((0, 40), (100, 45)), turns))
    found = events_document(path)["events"]
    assert [event["points"] for event in found if event["kind"] == "used_elsewhere"] == expected


def test_use_elsewhere_has_its_evidence(path: Path) -> None:
    """It has both readings and the points."""
    insert_history(path, AccountHistory(samples((0, 40), (100, 45.5)), []))
    (event,) = events_document(path)["events"]
    assert (event["kind"], event["slot"], event["points"]) == ("used_elsewhere", "7d", 5.5)
    assert (event["before"]["used_percent"], event["after"]["used_percent"]) == (40, 45.5)
    assert event["text"] == (
        "Used elsewhere: 5.5 points of the 7 d window (40 % used before, 45.5 % now), and no turn was seen meanwhile."
    )
    assert event["note"] is None


@pytest.mark.parametrize(
    ("after", "turns", "expected"),
    [
        pytest.param(0, [], 0, id="just read"),
        pytest.param(3_599, [], 0, id="a turn may be under way"),
        pytest.param(3_600, [], 1, id="no turn lasts so long"),
        pytest.param(60, [turn_use(10, 150)], 0, id="a turn ended since"),
        pytest.param(3_600, [turn_use(10, 150)], 0, id="explained"),
        pytest.param(4_000, [turn_use(10, 3_900)], 0, id="explained late: withdrawn"),
        pytest.param(4_000, [turn_use(101, 3_900)], 1, id="a turn that began later explains nothing"),
        pytest.param(4_000, [turn_use(-90, -10)], 1, id="a turn that ended before explains nothing"),
    ],
)
def test_use_elsewhere_waits_for_the_turns_under_way(
    path: Path, after: float, turns: list[TurnUse], expected: int
) -> None:
    """A turn is stored when it ends, so an increase is used elsewhere only once no turn can explain it any more."""
    insert_history(path, AccountHistory(samples((0, 40), (100, 45.5)), turns))
    with closing(open_reader(path)) as connection:
        found = load_events(connection, NOON + 100 + after, accounts=load_accounts(connection))["events"]
    assert len(found) == expected


# Clocks


@pytest.mark.parametrize("step", [-30 * DAY, -2 * HOUR, -200, 200, 2 * HOUR, 30 * DAY])
def test_a_clock_that_is_set_is_not_an_event(path: Path, step: float) -> None:
    """By the server's time the windows did not move, whatever the local clock shows."""
    found = happened(
        path,
        reported(seven(40), 0, server_time=float(NOON)),
        reported(seven(41, RESET_7D + step), HOUR + step, server_time=float(NOON + HOUR)),
        reported(seven(42, RESET_7D + step), 2 * HOUR + step, server_time=float(NOON + 2 * HOUR)),
        reported(seven(43), 3 * HOUR, server_time=float(NOON + 3 * HOUR)),
    )
    assert found == []


def test_a_clock_that_steps_back_without_the_servers_time(path: Path) -> None:
    """A moved reset is not an event then, and a reset is not early."""
    moved = happened(path, reported(seven(40), HOUR), reported(seven(41, RESET_7D - 2 * HOUR), -HOUR))
    assert moved == []
    (reset,) = happened(path, reported(seven(2, RESET_7D + DAY), -2 * HOUR))
    assert (reset["kind"], reset["note"] is None) == ("window_reset", False)


def test_an_increase_across_a_step_of_the_clock_is_not_elsewhere(path: Path) -> None:
    """The turns that ran meanwhile are unknown."""
    insert_history(path, AccountHistory(samples((100, 40), (0, 45)), []))
    assert events_document(path)["events"] == []


# Any history


rows = st.lists(
    st.fixed_dictionaries(
        {
            "at": st.integers(-5, 20).map(lambda hours: NOON + hours * HOUR),
            "stay": st.integers(0, 3).map(lambda hours: hours * HOUR),
            "limit_id": st.sampled_from(["codex", "codex_bengalfox"]),
            "has_windows": st.booleans(),
            "used_5h_percent": st.none() | st.sampled_from([0.0, 1.0, 50.0, 99.9, 100.0, 104.0]),
            "window_5h_minutes": st.sampled_from([None, 300, 300, 60]),
            "resets_5h_at": st.none() | st.integers(1, 30).map(lambda hours: NOON + hours * HOUR) | st.just(10**15),
            "used_7d_percent": st.none() | st.floats(0, 120),
            "window_7d_minutes": st.just(10_080),
            "resets_7d_at": st.none() | st.integers(1, 300).map(lambda hours: NOON + hours * HOUR),
            "other_windows": st.sampled_from([None, '{"30d": [5.0, 43200, null]}', '{"unknown": [null, null, null]}']),
            "allowed": st.sampled_from([None, 0, 1]),
            "limit_reached": st.sampled_from([None, 0, 1]),
            "reached_type": st.sampled_from([None, "rate_limit_reached"]),
            "reached_until": st.sampled_from([None, NOON, NOON + 5 * HOUR]),
            "plan_type": st.sampled_from([None, "plus", "pro"]),
            "has_credits": st.sampled_from([None, 0, 1]),
            "reset_credits": st.sampled_from([None, 0, 1, 2]),
            "credits_unlimited": st.sampled_from([None, 0, 1]),
            "credits_balance": st.sampled_from([None, "", "0", "9.5", ".", "1e9", "-1", "NaN", "x", "٣"]),
            "server_time": st.none() | st.integers(-50, 50).map(lambda hours: float(NOON + hours * HOUR)),
            "refused_at": st.sampled_from([None, float(NOON)]),
            "reached_window_minutes": st.sampled_from([None, 300]),
            "overage_limit_reached": st.sampled_from([None, 0, 1]),
            "spend_control_reached": st.sampled_from([None, 0, 1]),
        }
    ),
    max_size=8,
)


def arrived(made: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows as the table has them."""
    return [
        {
            **row,
            "id": number,
            "limit_name": None,
            "token_key": "k~1",
            "source": "headers",
            "first_seen_at": row["at"],
            "last_seen_at": row["at"] + row["stay"],
            "windows_seen_at": row["at"] if row["has_windows"] else None,
        }
        for number, row in enumerate(made, 1)
    ]


def all_events(found: Sequence[Mapping[str, Any]]) -> list[Event]:
    made = list(account_events(found))
    increases = [each for each in made if isinstance(each, Increase)]
    events = [each for each in made if isinstance(each, Event)]
    return events + list(unattributed(increases, [], NOW, float("-inf")))


@given(rows)
def test_any_history_has_events(made: list[dict[str, Any]]) -> None:
    """Each event has its kind, a sentence, and two readings in the order of arrival."""
    found = arrived(made)
    by_id = {row["id"]: row for row in found}
    for event in all_events(found):
        assert event.kind in KINDS
        assert event_text(event).endswith(".")
        assert (event_note(event) or ".").endswith(".")
        assert event.before.id is not None
        assert event.after.id is not None
        assert event.before.id < event.after.id
        assert event.at <= by_id[event.after.id]["first_seen_at"]


@given(rows, st.integers(2, 5))
def test_an_unchanged_state_is_not_an_event(made: list[dict[str, Any]], times: int) -> None:
    """The same state, reported several times, has no events."""
    for row in arrived(made):
        again = [
            {
                **row,
                "id": number,
                "resets_5h_at": None,
                "resets_7d_at": None,
                "server_time": None,
                "reached_until": None,
                "refused_at": None,
            }
            for number in range(1, times + 1)
        ]
        assert all_events(again) == []


@given(st.lists(st.tuples(st.integers(1, 90), st.integers(0, 2)), min_size=2, max_size=12), st.data())
def test_a_step_of_the_clock_adds_no_event(steps: list[tuple[int, int]], data: st.DataObject) -> None:
    """With the server's time, a history has the same kinds of events after the clock was set."""
    index = data.draw(st.integers(1, len(steps) - 1))
    step = data.draw(st.sampled_from([-40 * DAY, -3 * HOUR, 3 * HOUR, 40 * DAY]))
    straight: list[dict[str, Any]] = []
    stepped: list[dict[str, Any]] = []
    used, clock = 0.0, float(NOON)
    resets_at = NOON + 7 * DAY
    for number, (minutes, more) in enumerate(steps):
        clock += minutes * MINUTE
        used += more
        shift = step if number >= index else 0
        for target, by in ((straight, 0), (stepped, shift)):
            target.append(
                {
                    **dict.fromkeys(_COLUMNS),
                    "id": number + 1,
                    "limit_id": "codex",
                    "source": "headers",
                    "token_key": "k~1",
                    "first_seen_at": clock + by,
                    "last_seen_at": clock + by,
                    "windows_seen_at": clock + by,
                    "server_time": clock,
                    "used_7d_percent": used,
                    "window_7d_minutes": 10_080,
                    "resets_7d_at": resets_at + by,
                }
            )
    for history in (straight, stepped):
        assert [each for each in account_events(history) if isinstance(each, Event)] == []


_COLUMNS = (
    *("limit_name", "used_5h_percent", "window_5h_minutes", "resets_5h_at", "other_windows", "allowed"),
    *("limit_reached", "reached_type", "reached_until", "plan_type", "has_credits", "credits_unlimited"),
    *("credits_balance", "reached_window_minutes", "refused_at", "overage_limit_reached", "spend_control_reached"),
    "reset_credits",
)


def with_banked(number: int, used: float, after: float, resets_at: float = RESET_7D, **fields: Any) -> Snapshot:
    return reported(seven(used, resets_at), after, reset_credits=number, **fields)


@pytest.mark.parametrize(
    ("snapshots", "expected"),
    [
        pytest.param(
            [with_banked(2, 90, 0), with_banked(1, 0, MINUTE, NOON + 7 * DAY)],
            ["window_reset_early", "banked_reset_used"],
            id="both in one message",
        ),
        pytest.param(
            [
                with_banked(2, 90, 0),
                reported(seven(0, NOON + 7 * DAY), MINUTE),
                snapshot(at=NOON + 5 * MINUTE, source=Source.USAGE, reset_credits=1),
            ],
            ["window_reset_early", "banked_reset_used"],
            id="the reset first",
        ),
        pytest.param(
            [
                with_banked(2, 90, 0),
                snapshot(at=NOON + MINUTE, source=Source.USAGE, reset_credits=1),
                reported(seven(0, NOON + 7 * DAY), 5 * MINUTE),
            ],
            ["window_reset_early", "banked_reset_used"],
            id="the number first",
        ),
        pytest.param(
            [
                reported({**five(50), **seven(90)}, 0, reset_credits=2),
                reported({**five(0, NOON + 5 * HOUR), **seven(0, NOON + 7 * DAY)}, MINUTE, reset_credits=1),
            ],
            ["window_reset_early", "window_reset_early", "banked_reset_used"],
            id="two windows at once",
        ),
        pytest.param([with_banked(2, 90, 0), with_banked(1, 91, MINUTE)], [], id="one that expired"),
        pytest.param(
            [with_banked(2, 90, 0), with_banked(2, 0, MINUTE, NOON + 7 * DAY)], ["window_reset_early"], id="none used"
        ),
        pytest.param(
            [with_banked(3, 90, 0), with_banked(1, 0, MINUTE, NOON + 7 * DAY)], ["window_reset_early"], id="two fewer"
        ),
        pytest.param(
            [with_banked(1, 90, 0), with_banked(2, 0, MINUTE, NOON + 7 * DAY)], ["window_reset_early"], id="one more"
        ),
        pytest.param(
            [
                with_banked(2, 90, 0),
                with_banked(2, 0, MINUTE, NOON + 7 * DAY),
                with_banked(1, 0, 2 * HOUR, NOON + 7 * DAY),
            ],
            ["window_reset_early"],
            id="hours apart",
        ),
        pytest.param(
            [with_banked(2, 90, 0), with_banked(1, 0, 4 * DAY, RESET_7D + 7 * DAY)],
            ["window_reset"],
            id="a reset that was due",
        ),
    ],
)
def test_a_banked_reset_that_was_used(path: Path, snapshots: list[Snapshot], expected: list[str]) -> None:
    """The number of banked resets falls by one, and a window is reset early, in whatever order they are told."""
    assert [event["kind"] for event in happened(path, *snapshots)] == expected


def test_turns_of_any_limit_use_a_budget(path: Path) -> None:
    """A budget counts what all turns of a member cost: none of it was used elsewhere."""

    def budget(used: float, after: float) -> Snapshot:
        return snapshot(limit({"budget": window(used, RESET_7D, None)}, limit_id="spend_control"), at=NOON + after)

    record(path, budget(10, 0), turn(at=NOON + MINUTE), budget(14, 2 * MINUTE), budget(20, 10 * MINUTE))
    found = [event for event in events_document(path)["events"] if event["kind"] == "used_elsewhere"]
    assert [(event["slot"], event["points"]) for event in found] == [("budget", 6.0)]


def test_each_machine_has_tokens_of_its_own() -> None:
    """In a team's database; a change that two machines saw is one, and the first token of a machine is none."""
    tokens = [
        {"token_key": key, "machine": machine, "first_seen_at": NOON + at, "last_seen_at": NOON + at + 9}
        for at, (key, machine) in enumerate([("a", 1), ("b", 2), ("c", 1), ("c", 2), ("d", 2), ("e", 3)])
    ]
    found = [(each.before.token_key, each.after.token_key, each.at - NOON) for each in token_events(tokens)]
    assert found == [("a", "c", 2), ("c", "d", 4)]
