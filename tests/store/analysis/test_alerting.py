from __future__ import annotations

import datetime as dt
import os
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.alerts.state import State, load, save
from store.analysis.alerting import (
    EMPTY_STATE,
    About,
    Alert,
    AlertInput,
    AlertState,
    Rule,
    firing,
    record_sent,
    track,
)
from store.analysis.forecast import TOO_LITTLE_HISTORY
from store.database import open_reader, open_writer
from store.edits import forget_account
from store.models import Window
from store.queries.accounts import load_accounts
from store.queries.alert_input import load_alert_input
from store.transitions import WindowReading, transition
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, NOON, limit, snapshot, turn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from store.documents import ForecastDocument, StatusDocument
    from store.models import Identity, Snapshot

MINUTE, HOUR, DAY = 60, 3_600, 86_400
RESET = NOON + 3 * DAY + 2 * HOUR  # Tue 14:00
NEXT = RESET + 7 * DAY

AT = Rule(at=(80.0, 95.0), targets=("phone",))


def asks(*kinds: str, **fields: Any) -> Rule:
    """A rule about kinds of events."""
    return Rule(kinds=frozenset(kinds), targets=("phone",), **fields)


def reported(used: float | None, after: float = 0, resets_at: int | None = RESET, **fields: Any) -> Snapshot:
    """The 7d window, so many seconds after noon; `fields` are those of its snapshot, `limit_fields` of its limit."""
    window = Window(used_percent=used, window_minutes=10_080, resets_at=resets_at)
    limit_fields = fields.pop("limit_fields", {})
    return snapshot(limit({"7d": window}, **limit_fields), at=NOON + after, **fields)


class Evaluator:
    """Evaluates rules from time to time; after each evaluation the state is saved and loaded."""

    def __init__(self, path: Path, *rules: Rule) -> None:
        self.path, self.rules = path, rules
        self.state: AlertState = EMPTY_STATE

    def record(self, *entries: Any) -> Evaluator:
        """Record snapshots and turns."""
        record(self.path, *entries)
        return self

    def alerts(self, after: float, *, quiet: bool = False) -> list[Alert]:
        """Return the alerts that fire so many seconds after noon, and record them as sent unless it is quiet."""
        now = NOON + after
        with closing(open_reader(self.path)) as connection:
            found = load_alert_input(connection, now, self.rules, accounts=load_accounts(connection), zone=dt.UTC)
        state = track(self.state, self.rules, found, now)
        alerts = firing(self.rules, found, state, now, dt.UTC)
        self.state = saved_and_loaded(state if quiet else record_sent(state, alerts, now), self.path)
        return alerts

    def texts(self, after: float, **options: Any) -> list[str]:
        """Return the sentences of the alerts that fire, without the account."""
        return [alert.text.removeprefix("alice@example.com: ") for alert in self.alerts(after, **options)]


def saved_and_loaded(state: AlertState, database: Path) -> AlertState:
    """Return the state as it is read back from a file."""
    path = database.with_name("memory.json")
    save(path, State(state))
    return load(path).memory


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tap.sqlite3"


# Thresholds


def test_a_threshold_fires_once_in_each_period(path: Path) -> None:
    """Each threshold fires once, and again only after a reset of the window."""
    evaluator = Evaluator(path, AT)
    assert evaluator.record(reported(79.9)).texts(1) == []
    assert evaluator.record(reported(81, 60)).texts(61) == ["7 d limit at 81 % used, resets Tue 14:00"]
    assert evaluator.texts(62) == []
    assert evaluator.record(reported(94, 120)).texts(121) == []
    assert evaluator.record(reported(95, 180)).texts(181) == ["7 d limit at 95 % used, resets Tue 14:00"]
    assert evaluator.record(reported(99, 240)).texts(241) == []
    assert evaluator.record(reported(1, RESET - NOON + 60, NEXT)).texts(RESET - NOON + 61) == []
    assert evaluator.record(reported(85, RESET - NOON + 90, NEXT)).texts(RESET - NOON + 91) == [
        "7 d limit at 85 % used, resets 2026-12-01 14:00"
    ]


def test_the_highest_passed_threshold_fires(path: Path) -> None:
    """The lower one does not fire later."""
    evaluator = Evaluator(path, AT).record(reported(97))
    (alert,) = evaluator.alerts(1)
    assert (alert.threshold, alert.used_percent, alert.resets_at, len(alert.marks)) == (95.0, 97.0, RESET, 2)
    assert evaluator.texts(2) == []


@pytest.mark.parametrize(
    ("second", "again"),
    [
        (reported(80, 60, RESET + 60), False),
        (reported(80, 60, RESET - 60), False),
        (reported(85, 60, RESET + 5 * HOUR), False),  # moved, and the used percent stayed
        (reported(85, 60, RESET - 5 * HOUR), False),
        (reported(80, 60, RESET), False),
        (reported(80, 60, NOON + 7 * DAY + 60), True),  # reset early, and used again
        (reported(80, 60, RESET + 5 * HOUR), False),  # the server gave use back
        (reported(90, RESET - NOON + 2 * DAY, NEXT), True),
        (reported(81, RESET - NOON + 60, NEXT), False),  # was due, and not reset
        (reported(80, RESET - NOON - 60, NEXT), True),  # the server's clock is ahead
        (reported(81, RESET - NOON - 100, RESET - 90), False),  # as late, and not reset
        (reported(85, 60, None), False),
        (reported(85, RESET - NOON + 60, None), False),
        (reported(80, RESET - NOON + 60, None), True),
    ],
)
def test_what_begins_a_period(path: Path, second: Snapshot, again: bool) -> None:
    """A reset that passed or a fall begins a period; a reset that moves while the used percent stays does not."""
    evaluator = Evaluator(path, AT).record(reported(81))
    assert len(evaluator.texts(1)) == 1
    assert bool(evaluator.record(second).texts(second.observed_at - NOON + 1)) is again


def test_a_window_without_a_reported_reset(path: Path) -> None:
    """A fall is a reset once the window's whole length has passed."""
    evaluator = Evaluator(path, AT).record(reported(85, 0, None))
    assert evaluator.texts(1) == ["7 d limit at 85 % used"]
    assert evaluator.record(reported(79, 60, None)).texts(61) == []
    assert evaluator.record(reported(86, 120, None)).texts(121) == []
    assert evaluator.record(reported(83, 120 + 7 * DAY, None)).texts(121 + 7 * DAY) == ["7 d limit at 83 % used"]


def test_a_window_that_was_due_and_not_reset(path: Path) -> None:
    """It is as full as it was, until it is not known any more."""
    seen = RESET - NOON + 600
    assert Evaluator(path, AT).record(reported(97, seen)).texts(seen + 3_599) == [
        "7 d limit at 97 % used, was due Tue 14:00 and was not reset"
    ]
    assert Evaluator(path, AT, asks("window_reset", "limit_reached")).texts(seen + 3_600) == []


def test_an_unused_window_has_no_period(path: Path) -> None:
    """Use after it begins a period, whatever the reset time."""
    evaluator = Evaluator(path, AT).record(reported(81))
    assert len(evaluator.texts(1)) == 1
    assert evaluator.record(reported(0, 60)).texts(61) == []
    assert len(evaluator.record(reported(85, 120, RESET + 5 * HOUR)).texts(121)) == 1


def test_a_new_lower_threshold_does_not_fire(path: Path) -> None:
    """After an alert at 80 %, one at 50 % has no news."""
    evaluator = Evaluator(path, AT).record(reported(81))
    assert len(evaluator.texts(1)) == 1
    evaluator.rules = (AT._replace(at=(50.0, 80.0)),)
    assert evaluator.texts(2) == []


def test_a_window_after_an_unseen_reset_does_not_fire(path: Path) -> None:
    """The use after the reset is unknown."""
    assert Evaluator(path, AT).record(reported(97)).texts(RESET - NOON + 1) == []


@pytest.mark.parametrize(
    ("rule", "texts"),
    [
        (AT, 3),
        (AT._replace(account="acct-a/user-a"), 2),
        (AT._replace(account="acct-b/user-b"), 1),
        (AT._replace(limit="codex_bengalfox"), 1),
        (AT._replace(limit="codex"), 2),
        (AT._replace(window="5h"), 0),
        (AT._replace(account="acct-a/user-a", limit="codex", window="7d"), 1),
    ],
)
def test_a_rule_applies_to_what_it_names(path: Path, rule: Rule, texts: int) -> None:
    """To an account, a limit, a window, or all of them."""
    other = {"limit_id": "codex_bengalfox", "limit_name": "Spark"}
    evaluator = Evaluator(path, rule).record(reported(90), reported(91, limit_fields=other), reported(92, who=BOB))
    found = evaluator.texts(1)
    assert len(found) == texts
    if rule.limit == "codex_bengalfox":
        assert found == ["7 d limit of Spark at 91 % used, resets Tue 14:00"]


def test_rules_of_several_targets_make_one_alert(path: Path) -> None:
    """It goes to the targets whose thresholds are news."""
    bar = Rule(at=(50.0,), targets=("bar",))
    evaluator = Evaluator(path, AT, bar, bar).record(reported(60))
    (first,) = evaluator.alerts(1)
    assert (first.targets, first.threshold) == (("bar",), 50.0)
    (second,) = evaluator.record(reported(81, 60)).alerts(61)
    assert (second.targets, second.threshold) == (("phone",), 80.0)


# Events


def test_a_limit_that_is_reached(path: Path) -> None:
    """Once in a period, however often the limit is blocked and freed; a threshold passed with it does not fire."""
    evaluator = Evaluator(path, AT, asks("limit_reached")).record(reported(90))
    assert len(evaluator.texts(1)) == 1
    assert evaluator.record(reported(100, 60)).texts(61) == ["7 d limit reached, 100 % used, resets Tue 14:00"]
    assert evaluator.texts(62) == []
    assert evaluator.record(reported(99, 120), reported(100, 180)).texts(181) == []


def test_a_limit_that_is_reached_in_the_next_period(path: Path) -> None:
    """The alert fires again."""
    evaluator = Evaluator(path, asks("limit_reached")).record(reported(90))
    assert evaluator.texts(1) == []
    assert len(evaluator.record(reported(100, 60)).texts(61)) == 1
    assert evaluator.record(reported(3, 2 * HOUR, NEXT)).texts(2 * HOUR + 1) == []
    assert evaluator.record(reported(100, 3 * HOUR, NEXT)).texts(3 * HOUR + 1) == [
        "7 d limit reached, 100 % used, resets 2026-12-01 14:00"
    ]


def test_an_alert_of_quiet_hours_fires_later_if_it_holds(path: Path) -> None:
    """A limit that is open again by then does not fire."""
    evaluator = Evaluator(path, asks("limit_reached")).record(reported(90), reported(100, 60))
    assert len(evaluator.texts(61, quiet=True)) == 1
    assert len(evaluator.texts(62)) == 1
    other = Evaluator(path.with_name("other.sqlite3"), asks("limit_reached")).record(reported(90), reported(100, 60))
    assert len(other.texts(61, quiet=True)) == 1
    assert other.record(reported(50, 120)).texts(121) == []


def test_a_limit_that_the_server_reports_as_reached(path: Path) -> None:
    """Without a full window the alert is about the limit as a whole, with the server's reason."""
    closed = reported(90, 60, limit_fields={"limit_reached": True, "reached_type": "rate_limit_reached"}, status=429)
    evaluator = Evaluator(path, asks("limit_reached")).record(reported(90), closed)
    assert evaluator.texts(61) == ["limit reached, as the server says (rate_limit_reached)"]
    assert evaluator.texts(62) == []


def test_a_refusal_after_an_allowed_response(path: Path) -> None:
    """The alert has the time that the server gave."""
    allowed = reported(25, limit_fields={"allowed": True, "limit_reached": False})
    closed = reported(25, 60, limit_fields={"limit_reached": True, "reached_until": RESET}, status=429)
    assert Evaluator(path, asks("limit_reached")).record(allowed, closed).texts(61) == [
        "limit reached, as the server says, resets Tue 14:00"
    ]


def test_a_reset_fires_when_it_is_due(path: Path) -> None:
    """It does not fire again when a reading confirms the reset."""
    evaluator = Evaluator(path, asks("window_reset")).record(reported(100))
    assert evaluator.texts(RESET - NOON - 1) == []
    assert evaluator.texts(RESET - NOON) == ["7 d limit was due to reset Tue 14:00, and has not been seen since"]
    assert evaluator.texts(RESET - NOON + HOUR) == []
    assert evaluator.record(reported(1, RESET - NOON + 2 * HOUR, NEXT)).texts(RESET - NOON + 2 * HOUR + 1) == []


def test_a_reset_that_is_seen(path: Path) -> None:
    """The alert has the present used percent and the next reset."""
    evaluator = Evaluator(path, asks("window_reset"))
    assert evaluator.record(reported(60)).texts(1) == []
    assert evaluator.record(reported(2, RESET - NOON + 60, NEXT)).texts(RESET - NOON + 61) == [
        "7 d limit was reset Tue 14:00, 2 % used now, resets next 2026-12-01 14:00"
    ]
    assert evaluator.texts(RESET - NOON + 62) == []


def test_a_reset_of_a_window_that_is_full_again_does_not_fire(path: Path) -> None:
    """The limit cannot be used by then."""
    evaluator = Evaluator(path, asks("window_reset", "window_reset_early")).record(reported(60))
    assert evaluator.texts(1) == []
    assert evaluator.record(reported(2, HOUR, NEXT), reported(100, 2 * HOUR, NEXT)).texts(2 * HOUR + 1) == []


def test_a_reset_of_an_unused_window_does_not_fire(path: Path) -> None:
    """Its reset time slides with the clock."""
    evaluator = Evaluator(path, asks("window_reset")).record(reported(0))
    assert evaluator.texts(1) == []
    assert evaluator.texts(RESET - NOON + 1) == []


def test_an_early_reset(path: Path) -> None:
    """The alert has the time by which it was early and the next reset; a reset that is due does not fire too."""
    evaluator = Evaluator(path, asks("window_reset", "window_reset_early")).record(reported(60))
    assert evaluator.texts(1) == []
    assert evaluator.record(reported(3, DAY, NOON + 8 * DAY)).texts(DAY + 1) == [
        "7 d limit was reset 2 d 2 h early: it was due Tue 14:00, 3 % used now, resets next 2026-11-29 12:00"
    ]
    assert evaluator.texts(DAY + 2) == []


def test_use_elsewhere_fires_when_no_turn_can_explain_it(path: Path) -> None:
    """An hour later, and once in a period, however often it happens."""
    evaluator = Evaluator(path, asks("used_elsewhere")).record(reported(10), turn(at=NOON))
    assert evaluator.texts(1) == []
    evaluator.record(reported(15, 30 * MINUTE), reported(22, 40 * MINUTE))
    assert evaluator.texts(HOUR) == []
    assert evaluator.texts(40 * MINUTE + HOUR) == [
        "7 d limit used elsewhere, 12 points of it past the tap; now 22 % used, resets Tue 14:00"
    ]
    assert evaluator.record(reported(30, 3 * HOUR)).texts(5 * HOUR) == []


def test_use_elsewhere_that_a_turn_explains_after_all(path: Path) -> None:
    """The turn is written when it ends."""
    evaluator = Evaluator(path, asks("used_elsewhere")).record(reported(10))
    assert evaluator.texts(1) == []
    late = turn(at=NOON + 50 * MINUTE).model_copy(
        update={"started_at": NOON + MINUTE, "first_byte_at": NOON + 2 * MINUTE}
    )
    evaluator.record(reported(15, 30 * MINUTE), late)
    assert evaluator.texts(2 * HOUR) == []


def test_use_elsewhere_in_an_earlier_period_does_not_count(path: Path) -> None:
    """Only the points of the present period count."""
    evaluator = Evaluator(path, asks("used_elsewhere")).record(reported(10))
    assert evaluator.texts(1) == []
    evaluator.record(reported(15, 30 * MINUTE), reported(3, 40 * MINUTE, NEXT))
    (text,) = evaluator.texts(2 * HOUR)
    assert "3 points of it past the tap" in text


def test_a_rule_may_ignore_a_few_points_used_elsewhere(path: Path) -> None:
    """It fires from so many points on."""
    evaluator = Evaluator(path, asks("used_elsewhere", elsewhere_points=5.0)).record(reported(10))
    assert evaluator.texts(1) == []
    assert evaluator.record(reported(14, MINUTE)).texts(2 * HOUR) == []
    assert len(evaluator.record(reported(16, 2 * HOUR)).texts(4 * HOUR)) == 1


def test_a_window_that_will_run_dry(path: Path) -> None:
    """Once in a period, with the time before the reset; a window that lasts, or is full, does not fire."""
    evaluator = Evaluator(path, asks("runs_dry"))
    readings = [reported(10 + hour * 2, hour * HOUR) for hour in range(36)]
    found = evaluator.record(*readings).texts(35 * HOUR + 60)
    assert len(found) == 1
    assert found[0].startswith("7 d limit runs dry ")
    assert " before its reset Tue 14:00 (80 % used" in found[0]
    assert evaluator.record(reported(83, 36 * HOUR)).texts(36 * HOUR + 60) == []
    lasts = Evaluator(path.with_name("lasts.sqlite3"), asks("runs_dry")).record(reported(1), reported(2, 2 * DAY))
    assert lasts.texts(2 * DAY + 60) == []
    full = Evaluator(path.with_name("full.sqlite3"), asks("runs_dry")).record(reported(90), reported(100, HOUR))
    assert full.texts(HOUR + 60) == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "7 d limit runs dry Mon 14:00 at this pace, 1 d before its reset Tue 14:00 (50 % used)"),
        ({"chance_dry": 0.5}, "7 d limit runs dry Mon 14:00"),
        ({"chance_dry": 0.49}, None),
        ({"chance_dry": None, "runs_dry_at": None, "note": TOO_LITTLE_HISTORY}, None),
        ({"runs_dry_at": None}, None),
        ({"runs_dry_at": RESET + 1}, None),
        ({"resets_at": None}, None),
    ],
)
def test_a_forecast_fires(changed: dict[str, Any], expected: str | None) -> None:
    """If the window more likely than not runs dry before its reset."""
    window = {"runs_dry_at": RESET - DAY, "resets_at": RESET, "chance_dry": 0.9, "note": None} | changed
    shown = Shown(50.0, RESET, NOON)
    limits = [{"limit_id": "codex", "windows": {"7d": window}}]
    forecasts = {"generated_at": NOON, "accounts": [{"account": shown.account, "limits": limits}]}
    found = shown.seen()._replace(forecasts=cast("ForecastDocument", forecasts))
    texts = [alert.text for alert in firing((asks("runs_dry"),), found, EMPTY_STATE, NOON, dt.UTC)]
    assert len(texts) == (expected is not None)
    assert expected is None or expected in texts[0]


def test_a_new_rule_does_not_fire_for_the_past(path: Path) -> None:
    """Of the earlier events only a limit that is still reached fires."""
    kinds = ("window_reset_early", "used_elsewhere", "window_reset", "limit_reached")
    past = [reported(60), reported(3, HOUR, NEXT), reported(9, 2 * HOUR, NEXT), reported(100, 3 * HOUR, NEXT)]
    evaluator = Evaluator(path, AT).record(*past)
    evaluator.texts(5 * HOUR)
    evaluator.rules = (asks(*kinds),)
    assert [alert.kind for alert in evaluator.alerts(5 * HOUR + 1)] == ["limit_reached"]
    assert evaluator.texts(6 * HOUR) == []


def test_events_of_more_than_a_day_ago_do_not_fire(path: Path) -> None:
    """After days without an evaluation, old events are left out."""
    evaluator = Evaluator(path, asks("window_reset", "window_reset_early", "limit_reached")).record(reported(60))
    assert evaluator.texts(1) == []
    assert evaluator.record(reported(100, HOUR), reported(3, 2 * HOUR, NEXT)).texts(2 * DAY) == []
    assert evaluator.texts(NEXT - NOON + 2 * DAY) == []


def test_a_deleted_account_leaves_the_state(path: Path) -> None:
    """The next evaluation removes its periods and alerts."""
    evaluator = Evaluator(path, AT).record(reported(90), reported(90, who=BOB))
    assert len(evaluator.texts(1)) == 2
    with closing(open_writer(path)) as connection:
        forget_account(connection, 1)
    evaluator.texts(2)
    assert {mark.about.account for mark in evaluator.state.told} == {about.account for about in evaluator.state.runs}
    assert {mark.about.account for mark in evaluator.state.told} == {"acct-b/user-b"}


def test_sent_alerts_leave_the_state(path: Path) -> None:
    """Some days after the reset of their window they cannot fire again."""
    evaluator = Evaluator(path, AT).record(reported(97))
    evaluator.texts(1)
    assert len(evaluator.state.told) == 2
    evaluator.texts(RESET - NOON + 4 * DAY)
    assert not evaluator.state.told


def test_the_name_of_an_account_and_the_file_of_the_state(path: Path) -> None:
    """Alerts have the name that the user gave; only the owner can read the file."""
    evaluator = Evaluator(path, AT).record(reported(90))
    with closing(open_writer(path)) as connection:
        connection.execute("UPDATE accounts SET name = 'work'")
    assert evaluator.texts(1) == ["work: 7 d limit at 90 % used, resets Tue 14:00"]
    if os.name == "posix":
        assert path.with_name("memory.json").stat().st_mode & 0o777 == 0o600


# Properties


class Shown:
    """A status document of one window; a database for each step would take too long."""

    def __init__(self, used: float | None, resets_at: int | None, at: int, who: Identity = ALICE) -> None:
        self.used, self.resets_at, self.at = used, resets_at, at
        self.account = f"{who.account_id}/{who.user_id}"

    def seen(self) -> AlertInput:
        """Return the input of an evaluation."""
        window = {
            "used_percent": self.used,
            "window_minutes": 10_080,
            "resets_at": self.resets_at,
            "reset_unseen": False,
            "reset_overdue": False,
        }
        limit = {"limit_id": "codex", "limit_name": None, "state": "open"}
        shown = {**limit, "windows": {"7d": window}, "observed_at": self.at}
        account = {"account": self.account, "label": self.account, "name": None, "email": None, "limits": [shown]}
        status = {"generated_at": self.at, "accounts": [account]}
        return AlertInput(cast("StatusDocument", status), None, None, {})


def play(steps: Sequence[Shown], rules: Sequence[Rule], folder: Path | None = None) -> list[list[Alert]]:
    """Return the alerts of each step; with a folder, the state is saved and loaded after each step."""
    state, found = EMPTY_STATE, []
    for step in steps:
        state = track(state, rules, step.seen(), step.at)
        alerts = firing(rules, step.seen(), state, step.at, dt.UTC)
        state = record_sent(state, alerts, step.at)
        if folder is not None:
            state = saved_and_loaded(state, folder / "tap.sqlite3")
        found.append(alerts)
    return found


THRESHOLDS = (30.0, 60.0, 80.0, 95.0)
RULES = (Rule(at=THRESHOLDS[1:], targets=("a",)), Rule(at=THRESHOLDS[:3], targets=("b",)))


@st.composite
def courses(draw: st.DrawFn) -> list[list[Shown]]:
    """Periods of a window as a server reports them: use only increases, and the reset jitters by half a minute."""
    at, periods = NOON, []
    for _ in range(draw(st.integers(1, 4))):
        resets_at = at + draw(st.integers(HOUR, 7 * DAY))
        period = []
        for used in sorted(draw(st.lists(st.floats(0, 120), min_size=1, max_size=6))):
            at = min(at + draw(st.integers(1, HOUR)), resets_at - 200)
            period.append(Shown(used, resets_at + draw(st.integers(-30, 30)), at))
        periods.append(period)
        at = draw(st.sampled_from([at, resets_at])) + draw(st.integers(60, DAY))
    return periods


@given(st.lists(st.tuples(st.floats(0, 120), st.integers(0, 5), st.integers(-40, 40), st.integers(0, 2 * DAY))))
def test_a_threshold_fires_above_it_and_once_before_a_reset(
    steps: list[tuple[float, int, int, int]],
) -> None:
    """For any readings in any order."""
    shown, at = [], NOON
    for used, number, jitter, after in steps:
        at += after
        shown.append(Shown(used, NOON + (number + 1) * 5 * HOUR + jitter // 2, at))
    fired: set[tuple[float, int]] = set()
    previous = None
    for step, alerts in zip(shown, play(shown, RULES), strict=True):
        reset = round((step.resets_at or 0) / HOUR)
        if reset != previous:
            fired.clear()  # another reset may begin another period
        previous = reset
        assert len(alerts) <= 1
        for mark in (mark for alert in alerts for mark in alert.marks):
            assert mark.threshold is not None
            assert (step.used or 0) >= mark.threshold
            assert (mark.threshold, reset) not in fired
            fired.add((mark.threshold, reset))


@given(courses())
def test_each_passed_threshold_fires_once_in_a_period(periods: list[list[Shown]]) -> None:
    """Whether the period ended when it was due or before."""
    alerts = iter(play([step for period in periods for step in period], RULES))
    seen: list[Shown] = []
    for period in periods:
        marked = [mark.threshold for _ in period for alert in next(alerts) for mark in alert.marks]
        assert len(marked) == len(set(marked))
        if not seen or _begins_period(seen, period[0]):
            assert set(marked) == {each for each in THRESHOLDS if each <= max(step.used or 0 for step in period)}
        seen += period


def _begins_period(seen: Sequence[Shown], first: Shown) -> bool:
    """Return True if a period is visibly another one: a reset was seen, or the window had not begun."""
    # A reset jitters by half a minute, and one within a minute is the same: nearer than this it may be either.
    if any(abs((first.resets_at or 0) - (each.resets_at or 0)) <= 3 * MINUTE for each in seen):
        return False
    readings = (WindowReading(each.used or 0, 10_080, each.resets_at, each.at) for each in (seen[-1], first))
    return not seen[-1].used or transition(*readings).is_reset


@given(
    st.lists(
        st.tuples(
            st.floats(0, 120) | st.none(),
            st.none() | st.integers(NOON, NOON + 7 * DAY),
            st.integers(-HOUR, DAY),
        ),
        max_size=12,
    )
)
def test_a_restart_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[float | None, int | None, int]]
) -> None:
    """The state can be saved and loaded between any two evaluations, also after the clock stepped back."""
    shown, at = [], NOON
    for used, resets_at, after in steps:
        at += after
        shown.append(Shown(used, resets_at, at))
    assert play(shown, RULES) == play(shown, RULES, tmp_path_factory.getbasetemp())


@pytest.mark.parametrize(
    ("asked", "slot", "minutes", "covered"),
    [
        (None, "7d", 43_200, True),
        (None, None, None, True),
        ("30d", "7d", 43_200, True),
        ("30 d", "7d", 43_200, True),
        ("7d", "7d", 43_200, True),
        ("7d", "7d", 10_080, True),
        ("30d", "7d", 10_080, False),
        ("30d", "30d", 43_200, True),
        ("7d", "7d", None, True),
        ("budget", "budget", None, True),
        ("5h", "7d", 10_080, False),
        ("7d", None, None, False),
    ],
)
def test_a_rule_about_a_window(asked: str | None, slot: str | None, minutes: int | None, covered: bool) -> None:
    """It names the window by its real length or by its slot; an alert about a whole limit is about no window."""
    assert Rule(window=asked).covers(About("a", "codex", slot), minutes) is covered
