"""Whether a limit is closed: what each message leaves standing, and what follows from it when it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.limit_state import (
    NO_VERDICT,
    LimitState,
    LimitVerdict,
    WindowFigures,
    credits_carry,
    ended_by_turn,
    limit_state,
    next_verdict,
    refuses_for,
)
from store.record.merge import Facts
from tests.support.factories import NOON

if TYPE_CHECKING:
    from collections.abc import Mapping

HOUR = 3_600
IN_2H, IN_3D = NOON + 2 * HOUR, NOON + 3 * 24 * HOUR
MONEY = "workspace_owner_credits_depleted"

OPEN = LimitVerdict(allowed=True, limit_reached=False)
USED_UP = LimitVerdict(allowed=False, limit_reached=True)
REFUSED = LimitVerdict(allowed=False, limit_reached=True, refused_at=NOON - 60)
UNTIL = REFUSED._replace(reached_until=IN_2H)


def five(used: float | None, resets_at: int | None = IN_2H, **fields: Any) -> dict[str, WindowFigures]:
    return {"5h": WindowFigures(used, 300, resets_at, **fields)}


def seven(used: float | None, resets_at: int | None = IN_3D, **fields: Any) -> dict[str, WindowFigures]:
    return {"7d": WindowFigures(used, 10_080, resets_at, **fields)}


def overdue(used: float, age: float) -> dict[str, WindowFigures]:
    return five(used, NOON - 9_000, overdue=True, age_seconds=age)


class Case(NamedTuple):
    """The server's word and the windows, and the state with and without credits."""

    verdict: LimitVerdict
    windows: Mapping[str, WindowFigures]
    without: LimitState
    with_credits: LimitState


def _refused(by: str, until: int | None = None, **fields: Any) -> LimitState:
    return LimitState("refused", by, until, **fields)


def _carried(until: int | None = None) -> LimitState:
    return LimitState("on_credits", None, until)


ANY_OPEN = LimitState("open")
UNKNOWN = LimitState("unknown")
JUST, LONG = HOUR - 1, HOUR

CASES = {
    "nothing is known": Case(NO_VERDICT, {}, UNKNOWN, UNKNOWN),
    "a window without a figure": Case(NO_VERDICT, five(None), UNKNOWN, UNKNOWN),
    "allowed, without a window": Case(OPEN, {}, ANY_OPEN, ANY_OPEN),
    "free": Case(NO_VERDICT, five(99.9) | seven(41), ANY_OPEN, ANY_OPEN),
    "free and allowed": Case(OPEN, five(13), ANY_OPEN, ANY_OPEN),
    "full": Case(NO_VERDICT, five(100), _refused("5h", IN_2H), _carried(IN_2H)),
    "both full": Case(NO_VERDICT, five(100) | seven(100), _refused("7d", IN_3D), _carried(IN_3D)),
    "full, its reset unknown": Case(NO_VERDICT, five(100, None) | seven(100), _refused("5h"), _carried()),
    "full and allowed": Case(OPEN, five(100), ANY_OPEN, _carried(IN_2H)),
    "full, allowed and reached": Case(
        LimitVerdict(allowed=True, limit_reached=True), five(100), _refused("5h", IN_2H), _carried(IN_2H)
    ),
    "not allowed": Case(USED_UP, five(60), _refused("limit"), _carried()),
    "not allowed alone": Case(LimitVerdict(allowed=False), five(60), _refused("limit"), _carried()),
    "reached alone": Case(LimitVerdict(limit_reached=True), five(60), _refused("limit"), _carried()),
    "not allowed and full": Case(USED_UP, five(100), _refused("5h", IN_2H), _carried(IN_2H)),
    "reported as used up": Case(
        LimitVerdict(reached_type="rate_limit_reached"), five(60), _refused("limit"), _carried()
    ),
    "refused": Case(REFUSED, five(60), _refused("limit"), _refused("limit")),
    "refused and full": Case(REFUSED, five(100), _refused("5h", IN_2H), _refused("5h", IN_2H)),
    "refused until a time": Case(UNTIL, seven(60), _refused("limit", IN_2H), _refused("limit", IN_2H)),
    "refused until the time": Case(
        UNTIL._replace(reached_until=NOON + 1), seven(60), _refused("limit", NOON + 1), _refused("limit", NOON + 1)
    ),
    "refused until a time that is over": Case(
        UNTIL._replace(reached_until=NOON), seven(60), ANY_OPEN._replace(lapsed=True), ANY_OPEN._replace(lapsed=True)
    ),
    "the time is over, and another window is full": Case(
        UNTIL._replace(reached_until=NOON),
        seven(100),
        _refused("7d", IN_3D, lapsed=True),
        _carried(IN_3D)._replace(lapsed=True),
    ),
    "refused until a time, a window full longer": Case(UNTIL, seven(100), _refused("7d", IN_3D), _refused("7d", IN_3D)),
    "refused until a time, the full window's reset unknown": Case(
        UNTIL, seven(100, None), _refused("7d", IN_2H), _refused("7d", IN_2H)
    ),
    "refused by a window": Case(
        UNTIL._replace(reached_window_minutes=300), five(99) | seven(100), _refused("5h", IN_3D), _refused("5h", IN_3D)
    ),
    "refused by a window of about that length": Case(
        UNTIL._replace(reached_window_minutes=10_079), seven(9), _refused("7d", IN_2H), _refused("7d", IN_2H)
    ),
    "refused by a window that was never seen": Case(
        UNTIL._replace(reached_window_minutes=300), seven(9), _refused("5h", IN_2H), _refused("5h", IN_2H)
    ),
    "refused by a month that was never seen": Case(
        UNTIL._replace(reached_window_minutes=43_200), {}, _refused("30d", IN_2H), _refused("30d", IN_2H)
    ),
    "refused by many hours that were never seen": Case(
        UNTIL._replace(reached_window_minutes=61 * 60), {}, _refused("61h", IN_2H), _refused("61h", IN_2H)
    ),
    "refused by a window, the length of another is unknown": Case(
        UNTIL._replace(reached_window_minutes=300),
        {"7d": WindowFigures(9, None, IN_3D)},
        _refused("5h", IN_2H),
        _refused("5h", IN_2H),
    ),
    "refused by a window of an odd length": Case(
        UNTIL._replace(reached_window_minutes=301), {}, _refused("limit", IN_2H), _refused("limit", IN_2H)
    ),
    "a window of no minutes is no window": Case(
        UNTIL._replace(reached_window_minutes=0), five(100), _refused("5h", IN_2H), _refused("5h", IN_2H)
    ),
    "out of credits": Case(
        REFUSED._replace(reached_type=MONEY), five(100), _refused("credits", IN_2H), _refused("credits", IN_2H)
    ),
    "reported as out of credits": Case(
        LimitVerdict(reached_type=MONEY), five(60), _refused("credits"), _refused("credits")
    ),
    "an old row: a time beside an older allowed": Case(
        LimitVerdict(allowed=True, limit_reached=False, reached_until=IN_2H),
        five(60),
        _refused("limit", IN_2H),
        _refused("limit", IN_2H),
    ),
    "an old row: a type beside an older allowed": Case(
        LimitVerdict(allowed=True, limit_reached=False, reached_type="rate_limit_reached"),
        five(60),
        _refused("limit"),
        _carried(),
    ),
    "used up, and its window was reset since": Case(
        USED_UP,
        five(0, NOON - 9, was_reset=True),
        ANY_OPEN._replace(lapsed=True),
        ANY_OPEN._replace(lapsed=True),
    ),
    "used up, and another window was reset since": Case(
        USED_UP, five(0, NOON - 9, was_reset=True) | seven(100), _refused("7d", IN_3D), _carried(IN_3D)
    ),
    "refused beyond the reset of a window": Case(
        UNTIL, five(0, NOON - 9, was_reset=True), _refused("limit", IN_2H), _refused("limit", IN_2H)
    ),
    "due and not reset, just seen": Case(USED_UP, overdue(100, JUST), _refused("5h"), _carried()),
    "due and not reset, an hour ago": Case(USED_UP, overdue(100, LONG), UNKNOWN, UNKNOWN),
    "due and not reset, not full": Case(NO_VERDICT, overdue(60, JUST), ANY_OPEN, ANY_OPEN),
    "due and not reset, not full, an hour ago": Case(NO_VERDICT, overdue(60, LONG), UNKNOWN, UNKNOWN),
    "due and not reset an hour ago, another is full": Case(
        NO_VERDICT, overdue(100, LONG) | seven(100), _refused("7d", IN_3D), _carried(IN_3D)
    ),
    "due and not reset an hour ago, another is free": Case(NO_VERDICT, overdue(100, LONG) | seven(9), UNKNOWN, UNKNOWN),
    "due and not reset an hour ago, refused until a time": Case(
        UNTIL, overdue(100, LONG), _refused("limit", IN_2H), _refused("limit", IN_2H)
    ),
    "due and not reset an hour ago, refused": Case(REFUSED, overdue(100, LONG), UNKNOWN, UNKNOWN),
    "due and not reset, refused until a time": Case(
        UNTIL, overdue(100, JUST), _refused("5h", IN_2H), _refused("5h", IN_2H)
    ),
    "reset unknown, seen an hour ago": Case(
        NO_VERDICT, five(100, age_seconds=LONG), _refused("5h", IN_2H), _carried(IN_2H)
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_state(case: Case) -> None:
    """Each row of the table, with and without credits that carry."""
    found = [limit_state(case.verdict, case.windows, credits_carry=carry, now=NOON) for carry in (False, True)]
    assert found == [case.without, case.with_credits]


@pytest.mark.parametrize(
    ("new", "held", "expected"),
    [
        pytest.param(NO_VERDICT, UNTIL, UNTIL, id="nothing-after-a-refusal"),
        pytest.param(NO_VERDICT, OPEN, OPEN, id="nothing-after-open"),
        pytest.param(OPEN, UNTIL, OPEN, id="open-after-a-refusal"),
        pytest.param(LimitVerdict(limit_reached=False), UNTIL, LimitVerdict(limit_reached=False), id="not-reached"),
        pytest.param(LimitVerdict(allowed=True), UNTIL, LimitVerdict(allowed=True), id="allowed-alone"),
        pytest.param(UNTIL, OPEN, UNTIL, id="a-refusal-after-open"),
        pytest.param(
            LimitVerdict(refused_at=NOON), OPEN, LimitVerdict(refused_at=NOON), id="a-refusal-without-figures"
        ),
        pytest.param(USED_UP, OPEN, USED_UP, id="used-up-after-open"),
        pytest.param(LimitVerdict(limit_reached=True), OPEN, LimitVerdict(limit_reached=True), id="reached-after-open"),
        pytest.param(USED_UP, UNTIL, UNTIL, id="used-up-after-a-refusal"),
        pytest.param(UNTIL, USED_UP, UNTIL, id="a-refusal-after-used-up"),
        pytest.param(REFUSED, UNTIL, UNTIL, id="a-refusal-without-a-time-after-one-with"),
        pytest.param(
            UNTIL._replace(refused_at=NOON), UNTIL, UNTIL._replace(refused_at=NOON), id="refused-again-at-another-time"
        ),
        pytest.param(
            UNTIL._replace(reached_until=IN_3D),
            UNTIL._replace(reached_window_minutes=300),
            UNTIL._replace(reached_until=IN_3D),
            id="the-named-window-goes-with-its-time",
        ),
        pytest.param(
            LimitVerdict(limit_reached=True, reached_until=IN_3D),
            UNTIL._replace(reached_window_minutes=300),
            UNTIL._replace(reached_until=IN_3D),
            id="the-named-window-goes-with-its-time-without-a-refusal",
        ),
        pytest.param(
            UNTIL._replace(reached_until=IN_2H + 60),
            UNTIL._replace(reached_window_minutes=300),
            UNTIL._replace(reached_until=IN_2H + 60, reached_window_minutes=300),
            id="the-same-time-keeps-the-named-window",
        ),
        pytest.param(
            REFUSED,
            UNTIL._replace(reached_window_minutes=300),
            UNTIL._replace(reached_window_minutes=300),
            id="no-time-keeps-the-named-window",
        ),
        pytest.param(
            UNTIL,
            REFUSED._replace(reached_window_minutes=300),
            UNTIL._replace(reached_window_minutes=300),
            id="a-first-time-keeps-the-named-window",
        ),
        pytest.param(
            LimitVerdict(limit_reached=False, reached_type=MONEY),
            UNTIL,
            UNTIL._replace(limit_reached=False, reached_type=MONEY),
            id="a-refusal-with-an-open-part-after-a-refusal",
        ),
        pytest.param(
            LimitVerdict(reached_type=MONEY), USED_UP, USED_UP._replace(reached_type=MONEY), id="the-reason-completes"
        ),
        pytest.param(
            LimitVerdict(limit_reached=False, reached_type=MONEY),
            OPEN,
            LimitVerdict(limit_reached=False, reached_type=MONEY),
            id="a-refusal-with-an-open-part",
        ),
    ],
)
def test_what_a_message_leaves_standing(new: LimitVerdict, held: LimitVerdict, expected: LimitVerdict) -> None:
    """A contrary word goes with all its parts; one of the same kind is completed."""
    assert next_verdict(new, held) == expected


@pytest.mark.parametrize(
    ("held", "requested_at", "ends", "ends_on_credits"),
    [
        pytest.param(UNTIL, None, True, True, id="refused, request unknown"),
        pytest.param(UNTIL, NOON - 60, True, True, id="refused, then requested"),
        pytest.param(UNTIL, NOON - 61, False, False, id="requested before the refusal"),
        pytest.param(USED_UP, NOON - 999, True, False, id="used up"),
        pytest.param(LimitVerdict(reached_type="rate_limit_reached"), NOON, True, False, id="used up by its type"),
        pytest.param(LimitVerdict(reached_type=MONEY), NOON, True, True, id="out of credits"),
        pytest.param(LimitVerdict(reached_until=IN_2H), NOON, True, True, id="an old row"),
        pytest.param(OPEN, NOON, False, False, id="open"),
        pytest.param(NO_VERDICT, NOON, False, False, id="nothing"),
    ],
)
def test_what_an_answered_turn_ends(
    held: LimitVerdict, requested_at: float | None, ends: bool, ends_on_credits: bool
) -> None:
    """It ends an older refusal, and "used up" unless credits carried the turn."""
    assert ended_by_turn(held, requested_at, on_credits=False) is ends
    assert ended_by_turn(held, requested_at, on_credits=True) is ends_on_credits


@pytest.mark.parametrize(
    ("reached_type", "expected"),
    [(None, False), ("rate_limit_reached", False), (MONEY, True), ("workspace_member_usage_limit_reached", True)],
)
def test_reasons_that_credits_do_not_help(reached_type: str | None, expected: bool) -> None:
    """All but the one that says no more than "used up"."""
    assert refuses_for(reached_type) is expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param(Facts(), False, id="unknown"),
        pytest.param(Facts(has_credits=True, credits_balance="12.5"), True, id="some"),
        pytest.param(Facts(has_credits=True), True, id="balance-unknown"),
        pytest.param(Facts(has_credits=True, credits_balance="0.00"), False, id="spent"),
        pytest.param(Facts(has_credits=False, credits_balance="12.5"), False, id="none"),
        pytest.param(Facts(has_credits=False, credits_unlimited=True), True, id="unlimited"),
        pytest.param(Facts(has_credits=True, overage_limit_reached=True), False, id="overage-limit"),
        pytest.param(Facts(credits_unlimited=True, spend_control_reached=True), False, id="spend-control"),
    ],
)
def test_credits_that_carry(facts: Facts, expected: bool) -> None:
    """Some are left, and no cap on spending them is reached."""
    assert credits_carry(facts) is expected
    assert facts.credits_carry is expected


flags = st.none() | st.booleans()
verdicts = st.builds(
    LimitVerdict,
    flags,
    flags,
    st.sampled_from([None, "rate_limit_reached", MONEY]),
    st.none() | st.integers(NOON - 99, NOON + 99),
    st.sampled_from([None, 300, 10_080, 301]),
    st.none() | st.floats(NOON - 99, NOON),
)
any_windows = st.dictionaries(
    st.sampled_from(["5h", "7d", "30d"]),
    st.builds(
        WindowFigures,
        st.none() | st.floats(0, 120),
        st.sampled_from([None, 300, 10_080, 43_200]),
        st.none() | st.integers(NOON - 99, NOON + 99),
        st.booleans(),
        st.booleans(),
        st.floats(0, 9_999),
    ),
)


@given(verdicts, any_windows, st.booleans())
def test_by_and_until_follow_from_the_state(
    verdict: LimitVerdict, windows: dict[str, WindowFigures], carry: bool
) -> None:
    """Something refuses exactly where the state is refused; only credits can carry."""
    found = limit_state(verdict, windows, credits_carry=carry, now=NOON)
    assert (found.by is not None) == (found.state == "refused")
    assert found.state != "on_credits" or carry
    assert found.until is None or found.state in {"refused", "on_credits"}


@given(verdicts, verdicts)
def test_the_latest_word_decides(new: LimitVerdict, held: LimitVerdict) -> None:
    """After a word that opens the limit nothing of an older one is left; after one that closes it, it is closed."""
    found = next_verdict(new, held)
    if new.opens and not new.refuses:
        assert found == new
    elif new.closes:
        assert found.closes
