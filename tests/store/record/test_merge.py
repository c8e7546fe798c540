"""The state of a limit after a message, and the comparison of states and of clocks."""

from __future__ import annotations

from typing import Any

import pytest

from store.models import Credits, Limit, ModelUsage, Source, Window
from store.record.merge import (
    Clock,
    Facts,
    LimitVerdict,
    State,
    is_credible,
    is_late,
    merge,
    merge_facts,
    same,
    with_current_resets,
)
from tests.support.factories import ALICE, NOON, limit, snapshot, windows

FREE = windows(13, 41)
FULL = windows(100, 41)
BANKED = Facts(reset_credits=2, reset_credits_applicable=0, reset_credits_expire=f"[{NOON}, {NOON + 5}]")
REFUSED = LimitVerdict(allowed=False, limit_reached=True, reached_type="rate_limit_reached")


@pytest.mark.parametrize(
    ("new", "known", "expected"),
    [
        pytest.param({}, None, Facts(), id="nothing-mentioned"),
        pytest.param({"plan_type": "plus"}, None, Facts(plan_type="plus"), id="first-plan"),
        pytest.param({}, Facts(plan_type="plus"), Facts(plan_type="plus"), id="plan-kept"),
        pytest.param({"plan_type": "pro"}, Facts(plan_type="plus"), Facts(plan_type="pro"), id="plan-changed"),
        pytest.param(
            {"credits": Credits(has_credits=False, unlimited=False, balance="0")},
            None,
            Facts(has_credits=False, credits_unlimited=False),
            id="balance-0-without-credits-is-none",
        ),
        pytest.param(
            {"credits": Credits(has_credits=True, unlimited=False, balance="0")},
            None,
            Facts(has_credits=True, credits_unlimited=False, credits_balance="0"),
            id="balance-0-with-credits-is-0",
        ),
        pytest.param(
            {"credits": Credits(has_credits=False, unlimited=False)},
            Facts(has_credits=True, credits_balance="9.5", overage_limit_reached=True),
            Facts(has_credits=False, credits_unlimited=False, overage_limit_reached=True),
            id="credits-are-replaced-as-a-whole",
        ),
        pytest.param(
            {"spend_control_reached": False, "reset_credits": 0},
            Facts(spend_control_reached=True, reset_credits=2),
            Facts(spend_control_reached=False, reset_credits=0),
            id="no-and-zero-count",
        ),
        pytest.param({"promo": ""}, Facts(promo="half price"), Facts(), id="a-promo-ends"),
        pytest.param(
            {"reset_credits": 2, "reset_credits_applicable": 0, "reset_credits_expire": (NOON, NOON + 5)},
            None,
            BANKED,
            id="banked-resets",
        ),
        pytest.param({"reset_credits": 2}, BANKED, BANKED, id="as-many-banked-resets-as-before"),
        pytest.param({}, BANKED, BANKED, id="banked-resets-not-mentioned-stay"),
        pytest.param({"reset_credits": 1}, BANKED, Facts(reset_credits=1), id="which-one-was-used-is-unknown"),
        pytest.param(
            {"reset_credits": 1, "reset_credits_expire": (NOON,)},
            BANKED,
            Facts(reset_credits=1, reset_credits_expire=f"[{NOON}]"),
            id="the-others-are-listed",
        ),
        pytest.param(
            {"model_usage": {"sol": ModelUsage(available=True), "astra": ModelUsage(available_at=NOON)}},
            None,
            Facts(model_usage=f'{{"astra": [null, {NOON}, null], "sol": [true, null, null]}}'),
            id="models",
        ),
        pytest.param({}, Facts(model_usage="{}"), Facts(model_usage="{}"), id="models-not-mentioned-stay"),
        pytest.param({"model_usage": {}}, Facts(model_usage='{"sol": []}'), Facts(), id="no-models-any-more"),
        pytest.param({}, Facts(promo="half price"), Facts(promo="half price"), id="a-promo-not-mentioned-stays"),
    ],
)
def test_facts(new: dict[str, Any], known: Facts | None, expected: Facts) -> None:
    """Facts that a message does not mention stay as they were."""
    assert merge_facts(snapshot(**new), known) == expected


def test_the_plan_in_the_token_is_used_until_a_message_has_one() -> None:
    """A token is days old; a response is new."""
    who = ALICE.model_copy(update={"plan_type": "plus"})

    assert merge_facts(snapshot(who=who), None).plan_type == "plus"
    assert merge_facts(snapshot(who=who), Facts(plan_type="pro")).plan_type == "pro"


def merged(new: Limit, known: State | None = None, **message: Any) -> State:
    return merge(new, snapshot(new, **message), known, Facts())


def test_windows_are_replaced_as_a_whole() -> None:
    """A limit mentioned without one of its earlier windows no longer has that window."""
    assert merged(limit(windows(seven=42)), State(windows=FREE)).windows == windows(seven=42)
    assert merged(limit({}), State(windows=FREE)).windows == {}


def test_windows_that_are_not_mentioned_stay() -> None:
    """An error body mentions no windows, and removes none."""
    assert merged(limit(None, limit_reached=True), State(windows=FREE)).windows == FREE


def test_a_name_stays() -> None:
    """Only some sources name a limit."""
    assert merged(limit(FREE), State(limit_name="Spark")).limit_name == "Spark"


@pytest.mark.parametrize(
    ("new", "known", "message", "expected"),
    [
        pytest.param(
            {}, LimitVerdict(allowed=True, limit_reached=False), {}, (True, False, None), id="headers-tell-none"
        ),
        pytest.param({"limit_reached": True}, LimitVerdict(), {}, (None, True, None), id="mentioned"),
        pytest.param(
            {"limit_reached": True},
            LimitVerdict(reached_type="rate_limit_reached"),
            {"source": Source.ERROR, "status": 429},
            (False, True, "rate_limit_reached"),
            id="completed-by-another-source",
        ),
        pytest.param(
            {"limit_reached": True},
            LimitVerdict(allowed=True, limit_reached=False),
            {"source": Source.ERROR, "status": 429},
            (False, True, None),
            id="a-refusal-ends-an-older-allowed",
        ),
        pytest.param(
            {"reached_type": "rate_limit_reached"},
            LimitVerdict(allowed=True, limit_reached=False),
            {"status": 429},
            (False, None, "rate_limit_reached"),
            id="so-does-a-reached-type",
        ),
        pytest.param(
            {"limit_reached": True},
            LimitVerdict(limit_reached=False),
            {"source": Source.WEBSOCKET},
            (None, True, None),
            id="reached-after-not-reached",
        ),
        pytest.param({"allowed": False}, REFUSED, {"source": Source.USAGE}, tuple(REFUSED[:3]), id="refused-again"),
        pytest.param(
            {"limit_reached": True},
            REFUSED._replace(reached_type="old", reached_until=NOON),
            {"source": Source.ERROR, "status": 429},
            (False, True, None),
            id="a-refusal-that-is-over-completes-nothing",
        ),
        pytest.param({}, REFUSED._replace(reached_until=NOON), {"status": 429}, (None, None, None), id="over"),
        pytest.param(
            {}, REFUSED._replace(reached_until=NOON + 1), {"status": 429}, tuple(REFUSED[:3]), id="not-over-yet"
        ),
        pytest.param({"allowed": True}, REFUSED, {"source": Source.WEBSOCKET}, (True, None, None), id="opened-again"),
        pytest.param({"limit_reached": False}, REFUSED, {"source": Source.USAGE}, (None, False, None), id="freed"),
        pytest.param({}, REFUSED, {"status": 200}, (None, None, None), id="an-answered-turn-ends-a-refusal"),
        pytest.param({}, REFUSED, {"status": 429}, tuple(REFUSED[:3]), id="a-refused-one-does-not"),
        pytest.param(
            {}, REFUSED, {"source": Source.UPGRADE, "status": 101}, tuple(REFUSED[:3]), id="nor-does-an-upgrade"
        ),
    ],
)
def test_verdict(
    new: dict[str, Any], known: LimitVerdict, message: dict[str, Any], expected: tuple[object, ...]
) -> None:
    """A verdict is completed with those of other sources, until a message contradicts them."""
    state = merged(limit(FREE, **new), State(windows=FREE, verdict=known), **message)

    assert state.verdict[:3] == expected


@pytest.mark.parametrize(
    ("before", "after", "verdict", "stays"),
    [
        (FULL, FULL, REFUSED, True),
        (FREE, FULL, REFUSED, True),
        (FULL, FREE, REFUSED, False),
        (FULL, windows(100, 100), REFUSED, True),
        (FREE, FREE, LimitVerdict(allowed=True), True),
        (FREE, FULL, LimitVerdict(allowed=True), False),
        (FULL, FREE, LimitVerdict(limit_reached=False), False),
    ],
)
def test_how_long_a_verdict_holds(before: Any, after: Any, verdict: LimitVerdict, stays: bool) -> None:
    """A refusal ends when a full window empties, an open verdict when other windows are full."""
    known = State(windows=before, verdict=verdict)

    state = merged(limit(after), known, source=Source.UPGRADE, status=101)

    assert (state.verdict == known.verdict) is stays


def window(used: float | None = 50.0, minutes: int = 300, resets_at: int | None = NOON) -> State:
    return State(windows={"5h": Window(used_percent=used, window_minutes=minutes, resets_at=resets_at)})


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        pytest.param(window(), window(), True, id="equal"),
        pytest.param(window(50.5), window(), False, id="used"),
        pytest.param(window(None), window(), False, id="used-unknown"),
        pytest.param(window(minutes=301), window(), False, id="length"),
        pytest.param(window(resets_at=NOON + 60), window(), True, id="reset-jitters"),
        pytest.param(window(resets_at=NOON - 60), window(), True, id="reset-jitters-back"),
        pytest.param(window(resets_at=NOON + 61), window(), False, id="reset-moved"),
        pytest.param(window(resets_at=None), window(), False, id="reset-unknown"),
        pytest.param(window(0, resets_at=NOON + 9_999), window(0), True, id="unused-reset-slides"),
        pytest.param(window(0, resets_at=NOON + 9_999), window(1), False, id="used-again"),
        pytest.param(window()._replace(facts=Facts(plan_type="pro")), window(), False, id="plan"),
        pytest.param(window()._replace(verdict=REFUSED), window(), False, id="verdict"),
        pytest.param(window()._replace(limit_name="Spark"), window(), False, id="name"),
        pytest.param(State(windows=windows(50, 50)), State(windows=windows(50)), False, id="window-appeared"),
    ],
)
def test_same(new: State, old: State, expected: bool) -> None:
    """One row stands for equal states, apart from jitter and the resets of unused windows."""
    assert same(new, old) is expected


def test_only_resets_of_unused_windows_move() -> None:
    """A reset that jitters stays as it was first reported, so that jitter cannot add up."""
    old = State(windows=windows(0, 41, at=NOON))
    new = State(windows=windows(0, 41, at=NOON + 30))

    renewed = with_current_resets(new, old)

    assert renewed.windows["5h"] == new.windows["5h"]
    assert renewed.windows["7d"] == old.windows["7d"]


HOUR = 3_600


@pytest.mark.parametrize(
    ("new", "requested", "current", "expected"),
    [
        pytest.param(0, None, 0, False, id="at-once"),
        pytest.param(5, None, 0, False, id="newer"),
        pytest.param(-1, None, 0, False, id="within-rounding"),
        pytest.param(-2, None, 0, True, id="overtaken"),
        pytest.param(-2, -3, 0, True, id="overtaken-by-a-parallel-response"),
        pytest.param(-2, -1, 0, True, id="the-servers-clock-is-a-little-behind"),
        pytest.param(-2, 0.5, 0, False, id="requested-after-the-current-one-arrived"),
        pytest.param(1, -3, 120, True, id="the-servers-clock-is-ahead-within-the-skew"),
        pytest.param(1, -3, 121, False, id="the-current-one-is-from-the-future"),
        pytest.param(-119, None, 0, True, id="old-within-the-skew"),
        pytest.param(-120, None, 0, False, id="old-and-its-request-unknown"),
        pytest.param(-600, -600, 0, True, id="under-way-for-ten-minutes"),
        pytest.param(-600, -400, 0, False, id="older-than-its-request"),
        pytest.param(-HOUR, -5, -HOUR + 9, False, id="our-clock-is-an-hour-ahead"),
        pytest.param(HOUR, -5, HOUR + 9, False, id="our-clock-is-an-hour-behind"),
        pytest.param(None, None, 0, False, id="no-server-time"),
        pytest.param(0, None, None, False, id="no-current-server-time"),
    ],
)
def test_is_late(new: float | None, requested: float | None, current: float | None, expected: bool) -> None:
    """A message is late if it can have been overtaken and the server's clock says so; it arrives a second later."""
    message = snapshot(
        at=NOON + 1,
        server_time=None if new is None else NOON + new,
        requested_at=None if requested is None else NOON + requested,
    )

    assert is_late(message, None if current is None else Clock(NOON + current, NOON)) is expected


@pytest.mark.parametrize(
    ("new", "known", "after", "before", "expected"),
    [
        pytest.param(5, 0, windows(50), windows(40), True, id="clocks-agree"),
        pytest.param(HOUR, None, windows(50), windows(40), True, id="nothing-to-compare-with"),
        pytest.param(HOUR, 0, windows(50), windows(40), False, id="our-clock-shows-the-same-reset"),
        pytest.param(HOUR, 0, windows(50, at=NOON + 60), windows(40), False, id="the-same-reset-within-jitter"),
        pytest.param(HOUR, 0, windows(50, at=NOON - HOUR), windows(40), True, id="our-clock-was-set"),
        pytest.param(HOUR, HOUR - 120, windows(50), windows(40), True, id="our-clock-is-as-wrong-as-before"),
        pytest.param(HOUR, 0, windows(0), windows(40), True, id="an-unused-reset-slides"),
        pytest.param(HOUR, 0, windows(50), {}, True, id="a-new-window"),
        pytest.param(HOUR, 0, {}, windows(40), True, id="no-window"),
    ],
)
def test_is_credible(new: float, known: float | None, after: Any, before: Any, expected: bool) -> None:
    """A changed clock moves every reset; a skew beside a reset that stays is not credible."""
    clock = Clock(NOON + 1 + new, NOON + 1)

    assert is_credible(clock, after, None if known is None else Clock(NOON + known, NOON), before) is expected
