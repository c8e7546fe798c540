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
    Alert,
    AlertInput,
    AlertState,
    Rule,
    firing,
    record_sent,
    track,
)
from store.database import open_reader, open_writer
from store.edits import forget_account
from store.models import Window
from store.queries.accounts import load_accounts
from store.queries.alert_input import load_alert_input
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
    """A rule about kinds of what happens."""
    return Rule(kinds=frozenset(kinds), targets=("phone",), **fields)


def told(used: float | None, after: float = 0, resets_at: int | None = RESET, **fields: Any) -> Snapshot:
    """The 7d window so many seconds after noon; `fields` are those of a snapshot, `limit_fields` those of its limit."""
    window = Window(used_percent=used, window_minutes=10_080, resets_at=resets_at)
    limit_fields = fields.pop("limit_fields", {})
    return snapshot(limit({"7d": window}, **limit_fields), at=NOON + after, **fields)


class Desk:
    """Somebody who looks now and then, and whose memory is written down and read back after each look."""

    def __init__(self, path: Path, *rules: Rule) -> None:
        self.path, self.rules = path, rules
        self.memory: AlertState = EMPTY_STATE

    def see(self, *entries: Any) -> Desk:
        """Let the proxy record something."""
        record(self.path, *entries)
        return self

    def alerts(self, after: float, *, quiet: bool = False) -> list[Alert]:
        """Look so many seconds after noon, and remember what was due."""
        now = NOON + after
        with closing(open_reader(self.path)) as connection:
            found = load_alert_input(connection, now, self.rules, accounts=load_accounts(connection), zone=dt.UTC)
        memory = track(self.memory, self.rules, found, now)
        alerts = firing(self.rules, found, memory, now, dt.UTC)
        self.memory = through_a_file(memory if quiet else record_sent(memory, alerts, now), self.path)
        return alerts

    def look(self, after: float, **options: Any) -> list[str]:
        """Return the sentences of what is due, without whose it is."""
        return [alert.text.removeprefix("alice@example.com: ") for alert in self.alerts(after, **options)]


def through_a_file(memory: AlertState, database: Path) -> AlertState:
    path = database.with_name("memory.json")
    save(path, State(memory))
    return load(path).memory


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tap.sqlite3"


# Thresholds


def test_a_threshold_is_told_once_in_each_run_of_a_window(path: Path) -> None:
    """Above it and above the next; then not again until the window was reset."""
    desk = Desk(path, AT)
    assert desk.see(told(79.9)).look(1) == []
    assert desk.see(told(81, 60)).look(61) == ["7 d limit at 81 % used, resets Tue 14:00"]
    assert desk.look(62) == []
    assert desk.see(told(94, 120)).look(121) == []
    assert desk.see(told(95, 180)).look(181) == ["7 d limit at 95 % used, resets Tue 14:00"]
    assert desk.see(told(99, 240)).look(241) == []
    assert desk.see(told(1, RESET - NOON + 60, NEXT)).look(RESET - NOON + 61) == []
    assert desk.see(told(85, RESET - NOON + 90, NEXT)).look(RESET - NOON + 91) == [
        "7 d limit at 85 % used, resets 2026-12-01 14:00"
    ]


def test_of_several_thresholds_that_were_passed_the_highest_is_told(path: Path) -> None:
    """One message, and none for the lower one later."""
    desk = Desk(path, AT).see(told(97))
    (alert,) = desk.alerts(1)
    assert (alert.threshold, alert.used_percent, alert.resets_at, len(alert.marks)) == (95.0, 97.0, RESET, 2)
    assert desk.look(2) == []


@pytest.mark.parametrize(
    ("second", "again"),
    [
        (told(80, 60, RESET + 60), False),
        (told(80, 60, RESET - 60), False),
        (told(85, 60, RESET + 5 * HOUR), False),  # moved, and what was used stayed used
        (told(85, 60, RESET - 5 * HOUR), False),
        (told(80, 60, RESET), False),
        (told(80, 60, RESET + 5 * HOUR), True),  # reset early, and used again
        (told(90, RESET - NOON + 60, NEXT), True),
        (told(81, RESET - NOON - 60, NEXT), True),  # the server's clock is ahead
        (told(81, RESET - NOON - 100, RESET - 90), False),  # as late as that, and yet not reset
        (told(85, 60, None), False),
        (told(85, RESET - NOON + 60, None), True),
    ],
)
def test_what_is_another_run(path: Path, second: Snapshot, again: bool) -> None:
    """A reset that moves by up to a minute, or under what stays used, begins no run; one that passed or a fall does."""
    desk = Desk(path, AT).see(told(81))
    assert len(desk.look(1)) == 1
    assert bool(desk.see(second).look(second.observed_at - NOON + 1)) is again


def test_a_window_of_which_no_reset_is_told(path: Path) -> None:
    """A fall to less than half is taken for a reset; a smaller one is not."""
    desk = Desk(path, AT).see(told(85, 0, None))
    assert desk.look(1) == ["7 d limit at 85 % used"]
    assert desk.see(told(79, 60, None)).look(61) == []
    assert desk.see(told(86, 120, None)).look(121) == []
    assert desk.see(told(20, 180, None)).look(181) == []
    assert desk.see(told(88, 240, None)).look(241) == ["7 d limit at 88 % used"]


def test_a_window_of_which_nothing_was_used_had_not_begun(path: Path) -> None:
    """Whatever its reset does then, use after it is a run of its own."""
    desk = Desk(path, AT).see(told(81))
    assert len(desk.look(1)) == 1
    assert desk.see(told(0, 60)).look(61) == []
    assert len(desk.see(told(85, 120, RESET + 5 * HOUR)).look(121)) == 1


def test_a_lower_threshold_that_is_new_says_nothing_more(path: Path) -> None:
    """Whoever was told of 80 % need not hear of 50."""
    desk = Desk(path, AT).see(told(81))
    assert len(desk.look(1)) == 1
    desk.rules = (AT._replace(at=(50.0, 80.0)),)
    assert desk.look(2) == []


def test_a_window_whose_reset_has_passed_unseen_is_not_at_its_old_figure(path: Path) -> None:
    """What was 97 % used before the reset is unknown after it."""
    assert Desk(path, AT).see(told(97)).look(RESET - NOON + 1) == []


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
def test_a_rule_is_about_what_it_names(path: Path, rule: Rule, texts: int) -> None:
    """An account, a limit, a window, or all of them."""
    other = {"limit_id": "codex_bengalfox", "limit_name": "Spark"}
    desk = Desk(path, rule).see(told(90), told(91, limit_fields=other), told(92, who=BOB))
    found = desk.look(1)
    assert len(found) == texts
    if rule.limit == "codex_bengalfox":
        assert found == ["7 d limit of Spark at 91 % used, resets Tue 14:00"]


def test_rules_of_several_people_make_one_message(path: Path) -> None:
    """Each who asked gets it; who asked for no more than was told before does not."""
    bar = Rule(at=(50.0,), targets=("bar",))
    desk = Desk(path, AT, bar, bar).see(told(60))
    (first,) = desk.alerts(1)
    assert (first.targets, first.threshold) == (("bar",), 50.0)
    (second,) = desk.see(told(81, 60)).alerts(61)
    assert (second.targets, second.threshold) == (("phone",), 80.0)


# What happens


def test_a_limit_that_is_reached(path: Path) -> None:
    """Once in a run of its window, however often it opens and closes; the threshold that comes with it says no more."""
    desk = Desk(path, AT, asks("limit_reached")).see(told(90))
    assert len(desk.look(1)) == 1
    assert desk.see(told(100, 60)).look(61) == ["7 d limit reached, 100 % used, resets Tue 14:00"]
    assert desk.look(62) == []
    assert desk.see(told(99, 120), told(100, 180)).look(181) == []


def test_a_limit_that_is_reached_in_the_next_run(path: Path) -> None:
    """It is told again, and the time before is not."""
    desk = Desk(path, asks("limit_reached")).see(told(90))
    assert desk.look(1) == []
    assert len(desk.see(told(100, 60)).look(61)) == 1
    assert desk.see(told(3, 2 * HOUR, NEXT)).look(2 * HOUR + 1) == []
    assert desk.see(told(100, 3 * HOUR, NEXT)).look(3 * HOUR + 1) == [
        "7 d limit reached, 100 % used, resets 2026-12-01 14:00"
    ]


def test_a_limit_that_is_open_again_is_not_told_to_be_reached(path: Path) -> None:
    """What was held back, in quiet hours, is told after them if it still holds."""
    desk = Desk(path, asks("limit_reached")).see(told(90), told(100, 60))
    assert len(desk.look(61, quiet=True)) == 1
    assert len(desk.look(62)) == 1
    other = Desk(path.with_name("other.sqlite3"), asks("limit_reached")).see(told(90), told(100, 60))
    assert len(other.look(61, quiet=True)) == 1
    assert other.see(told(50, 120)).look(121) == []


def test_a_limit_that_the_server_says_is_reached(path: Path) -> None:
    """Without a full window it is the limit as a whole, and its word is told."""
    closed = told(90, 60, limit_fields={"limit_reached": True, "reached_type": "rate_limit_reached"}, status=429)
    desk = Desk(path, asks("limit_reached")).see(told(90), closed)
    assert desk.look(61) == ["limit reached, as the server says (rate_limit_reached)"]
    assert desk.look(62) == []


def test_a_refusal_after_an_allowed(path: Path) -> None:
    """It is told with the time that the server gave, whatever was allowed before."""
    allowed = told(25, limit_fields={"allowed": True, "limit_reached": False})
    closed = told(25, 60, limit_fields={"limit_reached": True, "reached_until": RESET}, status=429)
    assert Desk(path, asks("limit_reached")).see(allowed, closed).look(61) == [
        "limit reached, as the server says, resets Tue 14:00"
    ]


def test_a_reset_is_told_when_it_is_due_and_not_again_when_it_is_seen(path: Path) -> None:
    """Who waits for it wants to know before Codex is run again."""
    desk = Desk(path, asks("window_reset")).see(told(100))
    assert desk.look(RESET - NOON - 1) == []
    assert desk.look(RESET - NOON) == ["7 d limit was due to reset Tue 14:00, and has not been seen since"]
    assert desk.look(RESET - NOON + HOUR) == []
    assert desk.see(told(1, RESET - NOON + 2 * HOUR, NEXT)).look(RESET - NOON + 2 * HOUR + 1) == []


def test_a_reset_that_is_seen(path: Path) -> None:
    """With what is used by now, and the next reset."""
    desk = Desk(path, asks("window_reset"))
    assert desk.see(told(60)).look(1) == []
    assert desk.see(told(2, RESET - NOON + 60, NEXT)).look(RESET - NOON + 61) == [
        "7 d limit was reset Tue 14:00, 2 % used now, resets next 2026-12-01 14:00"
    ]
    assert desk.look(RESET - NOON + 62) == []


def test_a_window_that_is_full_again_is_not_told_to_be_reset(path: Path) -> None:
    """Nobody is called back for nothing."""
    desk = Desk(path, asks("window_reset", "window_reset_early")).see(told(60))
    assert desk.look(1) == []
    assert desk.see(told(2, HOUR, NEXT), told(100, 2 * HOUR, NEXT)).look(2 * HOUR + 1) == []


def test_a_window_of_which_nothing_was_used_is_not_told_to_reset(path: Path) -> None:
    """Its reset slides along with the clock and means nothing."""
    desk = Desk(path, asks("window_reset")).see(told(0))
    assert desk.look(1) == []
    assert desk.look(RESET - NOON + 1) == []


def test_an_early_reset(path: Path) -> None:
    """By how much, and what comes next; it is no reset that was due."""
    desk = Desk(path, asks("window_reset", "window_reset_early")).see(told(60))
    assert desk.look(1) == []
    assert desk.see(told(3, DAY, NOON + 8 * DAY)).look(DAY + 1) == [
        "7 d limit was reset 2 d 2 h early: it was due Tue 14:00, 3 % used now, resets next 2026-11-29 12:00"
    ]
    assert desk.look(DAY + 2) == []


def test_use_elsewhere_is_told_when_no_turn_can_explain_it(path: Path) -> None:
    """An hour later, and once in a run of the window, however often it happens."""
    desk = Desk(path, asks("used_elsewhere")).see(told(10), turn(at=NOON))
    assert desk.look(1) == []
    desk.see(told(15, 30 * MINUTE), told(22, 40 * MINUTE))
    assert desk.look(HOUR) == []
    assert desk.look(40 * MINUTE + HOUR) == [
        "7 d limit used elsewhere, 12 points of it past the tap; now 22 % used, resets Tue 14:00"
    ]
    assert desk.see(told(30, 3 * HOUR)).look(5 * HOUR) == []


def test_use_elsewhere_that_a_turn_explains_after_all(path: Path) -> None:
    """The turn is written when it ends."""
    desk = Desk(path, asks("used_elsewhere")).see(told(10))
    assert desk.look(1) == []
    late = turn(at=NOON + 50 * MINUTE).model_copy(
        update={"started_at": NOON + MINUTE, "first_byte_at": NOON + 2 * MINUTE}
    )
    desk.see(told(15, 30 * MINUTE), late)
    assert desk.look(2 * HOUR) == []


def test_use_elsewhere_in_a_run_that_is_over_is_no_news(path: Path) -> None:
    """Only what is of the present run counts."""
    desk = Desk(path, asks("used_elsewhere")).see(told(10))
    assert desk.look(1) == []
    desk.see(told(15, 30 * MINUTE), told(3, 40 * MINUTE, NEXT))
    (text,) = desk.look(2 * HOUR)
    assert "3 points of it past the tap" in text


def test_a_few_points_used_elsewhere_can_be_let_pass(path: Path) -> None:
    """A rule may say how many it takes."""
    desk = Desk(path, asks("used_elsewhere", elsewhere_points=5.0)).see(told(10))
    assert desk.look(1) == []
    assert desk.see(told(14, MINUTE)).look(2 * HOUR) == []
    assert len(desk.see(told(16, 2 * HOUR)).look(4 * HOUR)) == 1


def test_a_window_that_will_run_dry(path: Path) -> None:
    """Once in a run, with when and how long before its reset; not of one that lasts or is full."""
    desk = Desk(path, asks("runs_dry"))
    readings = [told(10 + hour * 2, hour * HOUR) for hour in range(36)]
    found = desk.see(*readings).look(35 * HOUR + 60)
    assert len(found) == 1
    assert found[0].startswith("7 d limit runs dry ")
    assert " before its reset Tue 14:00 (80 % used" in found[0]
    assert desk.see(told(83, 36 * HOUR)).look(36 * HOUR + 60) == []
    lasts = Desk(path.with_name("lasts.sqlite3"), asks("runs_dry")).see(told(1), told(2, 2 * DAY))
    assert lasts.look(2 * DAY + 60) == []
    full = Desk(path.with_name("full.sqlite3"), asks("runs_dry")).see(told(90), told(100, HOUR))
    assert full.look(HOUR + 60) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "7 d limit runs dry Mon 14:00 at this pace, 1 d before its reset Tue 14:00 (50 % used)"),
        ({"chance_dry": 0.5}, "7 d limit runs dry Mon 14:00"),
        ({"note": "few readings"}, "before its reset Tue 14:00 (50 % used, from few readings)"),
        ({"chance_dry": 0.49}, None),
        ({"chance_dry": None}, None),
        ({"runs_dry_at": None}, None),
        ({"runs_dry_at": RESET + 1}, None),
        ({"resets_at": None}, None),
    ],
)
def test_what_of_a_forecast_is_told(changed: dict[str, Any], said: str | None) -> None:
    """That it rather runs dry than not, before its reset."""
    told_of = {"runs_dry_at": RESET - DAY, "resets_at": RESET, "chance_dry": 0.9, "note": None} | changed
    shown = Shown(50.0, RESET, NOON)
    limits = [{"limit_id": "codex", "windows": {"7d": told_of}}]
    forecasts = {"generated_at": NOON, "accounts": [{"account": shown.account, "limits": limits}]}
    found = shown.seen()._replace(forecasts=cast("ForecastDocument", forecasts))
    texts = [alert.text for alert in firing((asks("runs_dry"),), found, EMPTY_STATE, NOON, dt.UTC)]
    assert len(texts) == (said is not None)
    assert said is None or said in texts[0]


def test_a_rule_that_is_new_does_not_tell_of_the_past(path: Path) -> None:
    """Of what happened before it was there, it tells only of a limit that still is reached."""
    kinds = ("window_reset_early", "used_elsewhere", "window_reset", "limit_reached")
    past = [told(60), told(3, HOUR, NEXT), told(9, 2 * HOUR, NEXT), told(100, 3 * HOUR, NEXT)]
    desk = Desk(path, AT).see(*past)
    desk.look(5 * HOUR)
    desk.rules = (asks(*kinds),)
    assert [alert.kind for alert in desk.alerts(5 * HOUR + 1)] == ["limit_reached"]
    assert desk.look(6 * HOUR) == []


def test_what_happened_more_than_a_day_ago_is_told_no_more(path: Path) -> None:
    """Somebody whose machine was off for days is not told of each of them."""
    desk = Desk(path, asks("window_reset", "window_reset_early", "limit_reached")).see(told(60))
    assert desk.look(1) == []
    assert desk.see(told(100, HOUR), told(3, 2 * HOUR, NEXT)).look(2 * DAY) == []
    assert desk.look(NEXT - NOON + 2 * DAY) == []


def test_a_forgotten_account_is_forgotten_here_too(path: Path) -> None:
    """Nothing of it is remembered after the next look."""
    desk = Desk(path, AT).see(told(90), told(90, who=BOB))
    assert len(desk.look(1)) == 2
    with closing(open_writer(path)) as connection:
        forget_account(connection, 1)
    desk.look(2)
    assert {mark.about.account for mark in desk.memory.told} == {about.account for about in desk.memory.runs}
    assert {mark.about.account for mark in desk.memory.told} == {"acct-b/user-b"}


def test_what_was_told_is_not_kept_for_ever(path: Path) -> None:
    """Some days after the reset of its window nothing can bring it up again."""
    desk = Desk(path, AT).see(told(97))
    desk.look(1)
    assert len(desk.memory.told) == 2
    desk.look(RESET - NOON + 4 * DAY)
    assert not desk.memory.told


def test_the_name_of_an_account_and_the_file_of_the_memory(path: Path) -> None:
    """People read the name that they gave; the file is its owner's alone."""
    desk = Desk(path, AT).see(told(90))
    with closing(open_writer(path)) as connection:
        connection.execute("UPDATE accounts SET name = 'work'")
    assert desk.look(1) == ["work: 7 d limit at 90 % used, resets Tue 14:00"]
    if os.name == "posix":
        assert path.with_name("memory.json").stat().st_mode & 0o777 == 0o600


# Properties


class Shown:
    """A status document of one window, made by hand: a database for each step would take too long."""

    def __init__(self, used: float | None, resets_at: int | None, at: int, who: Identity = ALICE) -> None:
        self.used, self.resets_at, self.at = used, resets_at, at
        self.account = f"{who.account_id}/{who.user_id}"

    def seen(self) -> AlertInput:
        """Return what a look at it sees."""
        window = {
            "used_percent": self.used,
            "window_minutes": 10_080,
            "resets_at": self.resets_at,
            "reset_unseen": False,
        }
        shown = {"limit_id": "codex", "limit_name": None, "windows": {"7d": window}, "observed_at": self.at}
        account = {"account": self.account, "name": None, "email": None, "limits": [shown]}
        status = {"generated_at": self.at, "accounts": [account]}
        return AlertInput(cast("StatusDocument", status), None, None, {})


def play(steps: Sequence[Shown], rules: Sequence[Rule], folder: Path | None = None) -> list[list[Alert]]:
    """Return what is due at each step; with a folder, all that is remembered is written down and read back between."""
    memory, found = EMPTY_STATE, []
    for step in steps:
        memory = track(memory, rules, step.seen(), step.at)
        alerts = firing(rules, step.seen(), memory, step.at, dt.UTC)
        memory = record_sent(memory, alerts, step.at)
        if folder is not None:
            memory = through_a_file(memory, folder / "tap.sqlite3")
        found.append(alerts)
    return found


THRESHOLDS = (30.0, 60.0, 80.0, 95.0)
RULES = (Rule(at=THRESHOLDS[1:], targets=("a",)), Rule(at=THRESHOLDS[:3], targets=("b",)))


@st.composite
def courses(draw: st.DrawFn) -> list[list[Shown]]:
    """Runs of a window as a server tells them: use only rises in one, and its reset is told within half a minute."""
    at, runs = NOON, []
    for _ in range(draw(st.integers(1, 4))):
        resets_at = at + draw(st.integers(HOUR, 7 * DAY))
        run = []
        for used in sorted(draw(st.lists(st.floats(0, 120), min_size=1, max_size=6))):
            at = min(at + draw(st.integers(1, HOUR)), resets_at - 200)
            run.append(Shown(used, resets_at + draw(st.integers(-30, 30)), at))
        runs.append(run)
        at = draw(st.sampled_from([at, resets_at])) + draw(st.integers(60, DAY))
    return runs


@given(st.lists(st.tuples(st.floats(0, 120), st.integers(0, 5), st.integers(-40, 40), st.integers(0, 2 * DAY))))
def test_no_threshold_is_told_while_below_or_twice_before_a_reset(
    steps: list[tuple[float, int, int, int]],
) -> None:
    """Whatever is read, in whatever order: what is told holds, and the same reset brings it up once."""
    shown, at = [], NOON
    for used, number, jitter, after in steps:
        at += after
        shown.append(Shown(used, NOON + (number + 1) * 5 * HOUR + jitter // 2, at))
    told_of: set[tuple[float, int]] = set()
    previous = None
    for step, alerts in zip(shown, play(shown, RULES), strict=True):
        reset = round((step.resets_at or 0) / HOUR)
        if reset != previous:
            told_of.clear()  # another reset may begin another run
        previous = reset
        assert len(alerts) <= 1
        for mark in (mark for alert in alerts for mark in alert.marks):
            assert mark.threshold is not None
            assert (step.used or 0) >= mark.threshold
            assert (mark.threshold, reset) not in told_of
            told_of.add((mark.threshold, reset))


@given(courses())
def test_each_threshold_that_a_run_passes_is_told_once_in_it(runs: list[list[Shown]]) -> None:
    """Neither missed nor told twice, whether the run ended when it was due or before."""
    alerts = iter(play([step for run in runs for step in run], RULES))
    before: Shown | None = None
    for run in runs:
        marked = [mark.threshold for _ in run for alert in next(alerts) for mark in alert.marks]
        assert len(marked) == len(set(marked))
        if before is None or _begins_anew(before, run[0]):
            assert set(marked) == {each for each in THRESHOLDS if each <= max(step.used or 0 for step in run)}
        before = run[-1]


def _begins_anew(before: Shown, first: Shown) -> bool:
    """Tell whether anybody could see that a run is another one: its reset passed, or what was used fell."""
    assert before.resets_at is not None
    assert first.resets_at is not None
    if abs(first.resets_at - before.resets_at) <= MINUTE:
        return False
    return first.at >= before.resets_at or (first.used or 0) < (before.used or 0) or not before.used


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
    """All that is remembered can be written down and read back between any two looks; clocks may step back, too."""
    shown, at = [], NOON
    for used, resets_at, after in steps:
        at += after
        shown.append(Shown(used, resets_at, at))
    assert play(shown, RULES) == play(shown, RULES, tmp_path_factory.getbasetemp())
