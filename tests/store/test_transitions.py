"""The rule for two readings of a window: each row of its table, short and long windows, both sides of each bound."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from store.constants import RESET_JITTER_SECONDS, SKEW_SECONDS
from store.transitions import MAX_PACE, Transition, TransitionKind, WindowReading, transition
from tests.support.factories import NOON

K = TransitionKind
MINUTE, HOUR = 60, 3_600
LENGTHS = {"5h": 300, "7d": 10_080}
STEP = 10 * MINUTE
"""The time between two readings, unless a case says otherwise."""


class Case(NamedTuple):
    """Two readings of a window, ten minutes apart.

    ``due`` is the earlier reading's date, in seconds after the later reading. ``began`` is when the window of the later
    reading began, in seconds after the earlier reading; with ``moved`` that window's date is given by its distance from
    the earlier date instead.
    """

    before: float
    after: float
    due: float
    kind: TransitionKind
    points: float
    began: float | None = None
    moved: float | None = None


CASES = {
    "was reset when due": Case(89, 3, -MINUTE, K.RESET, 3, began=STEP - MINUTE),
    "was reset when due, and used more than before": Case(3, 5, -5 * MINUTE, K.RESET, 5, began=5 * MINUTE),
    "was reset when due, and shows the same figure": Case(1, 1, -6 * MINUTE, K.RESET, 1, began=4 * MINUTE),
    "was reset when due, without use": Case(89, 0, -MINUTE, K.RESET, 0, began=STEP - MINUTE),
    "due within the skew": Case(89, 3, SKEW_SECONDS, K.RESET, 3, began=STEP),
    "due just after the skew": Case(89, 3, SKEW_SECONDS + 1, K.RESET_EARLY, 3, began=STEP),
    "was due, and still full": Case(100, 100, -MINUTE, K.NOT_RESET, 0, began=STEP - MINUTE),
    "was due, and used more than is possible": Case(80, 90, -5, K.NOT_RESET, 10, began=STEP - 5),
    "due in a minute, and unused still": Case(0, 0, MINUTE, K.RESET, 0, began=STEP),
    "due this second, and used a little": Case(0.0625, 0.09375, 0, K.NOT_RESET, 0.03125, began=STEP),
    "due in a minute, and nothing fell": Case(89, 89, MINUTE, K.NOT_RESET, 0, began=STEP),
    "was due long ago and not reset, now due in the past": Case(89, 89, -HOUR, K.NOT_RESET, 0, moved=30 * MINUTE),
    "was due, and is due at a date that began before": Case(89, 90, -4, K.NOT_RESET, 1, moved=2 * HOUR),
    "was due, and is due sooner": Case(89, 90, -4, K.NOT_RESET, 1, moved=-2 * HOUR),
    "was reset early": Case(89, 3, 2 * HOUR, K.RESET_EARLY, 3, began=5 * MINUTE),
    "was reset early, just after the reading": Case(89, 3, 2 * HOUR, K.RESET_EARLY, 3, began=-RESET_JITTER_SECONDS + 1),
    "began before the reading, and fell": Case(89, 3, 2 * HOUR, K.LOWERED, 0, began=-RESET_JITTER_SECONDS),
    "moved on by a whole window": Case(40, 45, 2 * HOUR, K.MOVED, 5, began=5 * MINUTE),
    "moved on by a part of it": Case(40, 45, 2 * HOUR, K.MOVED, 5, moved=HOUR),
    "moved back": Case(40, 45, 2 * HOUR, K.MOVED, 5, moved=-HOUR),
    "moved on, the same figure": Case(40, 40, 2 * HOUR, K.MOVED, 0, moved=HOUR),
    "moved by just more than jitter": Case(40, 40, 2 * HOUR, K.MOVED, 0, moved=RESET_JITTER_SECONDS + 1),
    "moved back by just more than jitter": Case(40, 40, 2 * HOUR, K.MOVED, 0, moved=-RESET_JITTER_SECONDS - 1),
    "was given back, and the date moved back": Case(40, 5, 2 * HOUR, K.LOWERED, 0, moved=-HOUR),
    "was given back, the same date": Case(40, 5, 2 * HOUR, K.LOWERED, 0, moved=0),
    "was given back, due, at a date that began before": Case(89, 5, -4, K.LOWERED, 0, moved=2 * HOUR),
    "went on": Case(40, 45, 2 * HOUR, K.SAME, 5, moved=0),
    "went on, the same figure": Case(40, 40, 2 * HOUR, K.SAME, 0, moved=0),
    "jitters": Case(40, 45, 2 * HOUR, K.SAME, 5, moved=RESET_JITTER_SECONDS),
    "jitters back": Case(40, 45, 2 * HOUR, K.SAME, 5, moved=-RESET_JITTER_SECONDS),
    "was due, the same date still": Case(89, 90, -MINUTE, K.SAME, 1, moved=0),
    "slides": Case(0, 0, 2 * HOUR, K.SLID, 0, moved=STEP),
    "slides, a minute more": Case(0, 0, 2 * HOUR, K.SLID, 0, moved=STEP + RESET_JITTER_SECONDS),
    "slides, a minute less": Case(0, 0, 2 * HOUR, K.SLID, 0, moved=STEP - RESET_JITTER_SECONDS),
    "slides past its date": Case(0, 0, -MINUTE, K.SLID, 0, moved=STEP),
    "unused, and moved by more than the time between": Case(0, 0, 2 * HOUR, K.MOVED, 0, moved=STEP + 61),
    "unused, and began before it was due": Case(0, 0, 2 * HOUR, K.MOVED, 0, began=5 * MINUTE),
    "unused, the same date": Case(0, 0, 2 * HOUR, K.SAME, 0, moved=0),
    "was unused, and is used now": Case(0, 7, 2 * HOUR, K.MOVED, 7, moved=STEP),
}


def readings(case: Case, minutes: int) -> tuple[WindowReading, WindowReading]:
    seen_at = NOON + STEP
    due = seen_at + case.due
    resets_at = due + case.moved if case.moved is not None else NOON + (case.began or 0.0) + minutes * 60
    return WindowReading(case.before, minutes, due, NOON), WindowReading(case.after, minutes, resets_at, seen_at)


@pytest.mark.parametrize("minutes", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_row(case: Case, minutes: int) -> None:
    """Short and long windows follow the same table, but for what can have been used in a time."""
    kind, points = case.kind, case.points
    if minutes == LENGTHS["7d"] and kind is K.RESET and case.after == 5:
        # In five minutes a week's window can lose a single percent.
        kind, points = K.NOT_RESET, case.after - case.before
    assert transition(*readings(case, minutes)) == Transition(kind, points)


@pytest.mark.parametrize("minutes", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("more", [0.0, 0.001], ids=["possible", "impossible"])
def test_what_can_have_been_used(minutes: int, more: float) -> None:
    """A window that did not fall was reset if its figure can have been used since, at twenty times the even pace."""
    seconds = minutes * 60 / 100
    used = 20 + more
    before = WindowReading(10, minutes, NOON, NOON - HOUR)
    found = transition(before, WindowReading(used, minutes, NOON + minutes * 60, NOON + seconds))

    assert found == (Transition(K.NOT_RESET, used - 10) if more else Transition(K.RESET, used))


DUE, NOT_DUE = NOON + STEP + SKEW_SECONDS, NOON + STEP + SKEW_SECONDS + 1


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param((40, None, DUE), (5, None, NOON + 9 * HOUR), Transition(K.RESET, 5), id="no-length-fell-due"),
        pytest.param((40, None, NOT_DUE), (5, None, NOON + 9 * HOUR), Transition(K.LOWERED, 0), id="no-length-fell"),
        pytest.param((40, None, DUE), (45, None, NOON + 9 * HOUR), Transition(K.SAME, 5), id="no-length-rose-due"),
        pytest.param((40, None, DUE), (40, None, NOON + 9 * HOUR), Transition(K.SAME, 0), id="no-length-stayed-due"),
        pytest.param((40, 300, DUE), (5, 300, None), Transition(K.RESET, 5), id="no-later-date-fell-due"),
        pytest.param((40, 300, NOT_DUE), (5, 300, None), Transition(K.LOWERED, 0), id="no-later-date-fell"),
        pytest.param((40, 300, NOT_DUE), (39.5, 300, None), Transition(K.LOWERED, 0), id="no-later-date-fell-a-little"),
        pytest.param((40, 300, NOT_DUE), (45, 300, None), Transition(K.SAME, 5), id="no-later-date-rose"),
        pytest.param((40, 300, None), (5, 300, NOON + HOUR), Transition(K.LOWERED, 0), id="no-earlier-date-fell"),
        pytest.param((40, 10, None), (5, 10, NOON + HOUR), Transition(K.RESET, 5), id="no-date-whole-length-passed"),
        pytest.param((40, 11, None), (5, 11, None), Transition(K.LOWERED, 0), id="no-date-length-not-passed"),
        pytest.param((40, None, None), (5, None, None), Transition(K.LOWERED, 0), id="nothing-known-fell"),
        pytest.param((40, None, None), (45, None, None), Transition(K.SAME, 5), id="nothing-known-rose"),
        pytest.param((89, 300, DUE), (3, None, NOON + 5 * HOUR), Transition(K.RESET, 3), id="length-known-from-before"),
        pytest.param((40, 300, NOT_DUE), (45, None, NOON + 9 * HOUR), Transition(K.MOVED, 5), id="moved-length-before"),
        pytest.param((40, None, NOT_DUE), (45, 300, NOON + 9 * HOUR), Transition(K.MOVED, 5), id="moved-length-after"),
        pytest.param(
            (89, 300, NOT_DUE), (3, 10_080, NOON + 6 * HOUR), Transition(K.LOWERED, 0), id="the-later-length-counts"
        ),
        pytest.param((89, None, DUE), (3, 300, NOON + 5 * HOUR), Transition(K.RESET, 3), id="length-known-from-after"),
    ],
)
def test_an_unknown_length_or_date(
    before: tuple[float, int | None, float | None], after: tuple[float, int | None, float | None], expected: Transition
) -> None:
    """Without a length or a date, a fall is a reset if the window was due."""
    assert transition(WindowReading(*before, NOON), WindowReading(*after, NOON + STEP)) == expected


@pytest.mark.parametrize(
    ("passed", "expected"),
    [(5 * HOUR, Transition(K.RESET, 3)), (5 * HOUR - 1, Transition(K.LOWERED, 0))],
    ids=["whole-length", "a-second-less"],
)
def test_a_window_without_a_date_that_fell(passed: float, expected: Transition) -> None:
    """Without a date, a window is due once its whole length has passed."""
    assert transition(WindowReading(89, 300, None, NOON), WindowReading(3, 300, None, NOON + passed)) == expected


@pytest.mark.parametrize("kind", K)
def test_which_transitions_begin_a_period(kind: TransitionKind) -> None:
    """A reset, when it was due or before."""
    assert Transition(kind, 0).is_reset is (kind in {K.RESET, K.RESET_EARLY})


percents = st.one_of(st.just(0.0), st.integers(0, 100).map(float), st.floats(0, 250))
seconds = st.one_of(st.integers(-9 * 86_400, 9 * 86_400), st.integers(-300, 300)).map(float)


@st.composite
def any_readings(draw: st.DrawFn) -> tuple[WindowReading, WindowReading]:
    minutes = draw(st.sampled_from([300, 10_080, 43_200]))
    seen = [NOON + draw(st.integers(0, 1_000)) * 1.0, NOON + draw(st.integers(-1_000, 900_000)) * 1.0]
    dates = [NOON + draw(seconds), NOON + minutes * 60 + draw(seconds)]
    used = [draw(percents), draw(percents)]
    before, after = (WindowReading(u, minutes, at, seen_at) for u, at, seen_at in zip(used, dates, seen, strict=True))
    return before, after


@pytest.mark.parametrize(("minutes", "length"), [(0, 0), (0, None), (None, 0)])
def test_a_window_without_length(minutes: int | None, length: int | None) -> None:
    """No minutes are an unknown length: whether it was reset depends on the date alone."""
    before = WindowReading(89, length, NOON + HOUR, NOON)
    later = before._replace(window_minutes=minutes, resets_at=NOON + 9 * HOUR, seen_at=NOON + 2 * HOUR)
    assert transition(before, later) == Transition(K.SAME, 0)
    assert transition(before, later._replace(used_percent=3)) == Transition(K.RESET, 3)


@given(any_readings())
def test_the_rows_cover_everything_exactly_once(pair: tuple[WindowReading, WindowReading]) -> None:
    """Written as rows that exclude each other, exactly one holds, and it is what `transition` returns."""
    before, after = pair
    assert before.resets_at is not None
    assert after.resets_at is not None
    assert after.window_minutes is not None
    length = after.window_minutes * 60
    moved = after.resets_at - before.resets_at
    another = abs(moved) > RESET_JITTER_SECONDS
    began = another and after.resets_at - length > before.seen_at - RESET_JITTER_SECONDS
    due = before.resets_at <= after.seen_at + SKEW_SECONDS
    fell = after.used_percent < before.used_percent
    unused = before.used_percent == after.used_percent == 0
    slid = another and unused and abs(moved - (after.seen_at - before.seen_at)) <= RESET_JITTER_SECONDS
    most = MAX_PACE * 100 * max(0.0, after.seen_at - before.resets_at) / length
    possible = fell or after.used_percent <= most
    rows = {
        K.SLID: slid,
        K.RESET: not slid and began and due and possible,
        K.RESET_EARLY: not slid and began and not due and fell,
        K.LOWERED: not slid and not began and fell,
        K.NOT_RESET: not slid and not fell and another and due and not (began and possible),
        K.MOVED: not slid and not fell and another and not due,
        K.SAME: not fell and not another,
    }
    assert [kind for kind, holds in rows.items() if holds] == [transition(before, after).kind]


@given(any_readings())
def test_use_is_never_negative(pair: tuple[WindowReading, WindowReading]) -> None:
    """No more was used between two readings than the later one shows, and never less than nothing."""
    assert 0 <= transition(*pair).points <= pair[1].used_percent


@given(any_readings(), st.integers(-(10**8), 10**8))
def test_no_moment_is_special(pair: tuple[WindowReading, WindowReading], offset: int) -> None:
    """The same two readings at another time are the same transition."""
    found = transition(*pair)
    assume(found.kind is not K.SLID)
    later = (each._replace(resets_at=(each.resets_at or 0) + offset, seen_at=each.seen_at + offset) for each in pair)
    assert transition(*later).kind is found.kind
