"""The state of a limit after one more message, and the test whether it equals the previous state.

Pure functions over immutable values. A *state* is everything the store knows of one limit of one account at one time.
A new state keeps what the message does not report, and a row of the database stands for one state, from the first to
the last of the consecutive messages that agree with it.

The authority of the sources:

- **Windows**: every source, and always as a whole: a limit that is mentioned with windows has those and no others.
  A message that mentions a limit without its windows (an error body) leaves them as they were.
- **Verdict** (whether the limit is open or closed): `store.limit_state` says what each source may say of it, and what
  ends it.
- **Account facts** (plan, credits, spend control, reset credits, model usage, promo): all sources report plan and
  credits; the others and overage come from `usage` alone (reset credits from `headers` on some responses). Credits are
  replaced as a whole. The plan in the token's claims counts only until a message reports one. What was reported of
  banked resets beside their number holds while the number stays.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from store.constants import SKEW_SECONDS, is_full, is_zero
from store.limit_state import NO_VERDICT, LimitVerdict, credits_carry, ended_by_turn, next_verdict, refuses_for
from store.models import Credits, Source, Window
from store.reset_times import same_reset
from store.transitions import TransitionKind, WindowReading, transition

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.models import Budget, Limit, ModelUsage, RateLimits, Snapshot

SERVER_CLOCK_GRAIN_SECONDS = 1
"""reset-at less reset-after is rounded to whole seconds by the server: closer readings have no order."""

T = TypeVar("T")


class Facts(NamedTuple):
    """The facts of an account as a whole, independent of the limit that a message was about."""

    plan_type: str | None = None
    has_credits: bool | None = None
    credits_unlimited: bool | None = None
    credits_balance: str | None = None
    overage_limit_reached: bool | None = None
    spend_control_reached: bool | None = None
    reset_credits: int | None = None
    promo: str | None = None
    model_usage: str | None = None
    """JSON: model to [available, available at, credits would enable]."""
    reset_credits_applicable: int | None = None
    reset_credits_expire: str | None = None
    """JSON: the timestamps at which the banked resets expire, earliest first."""

    @property
    def credits_carry(self) -> bool:
        """Whether credits carry a limit that is used up."""
        return credits_carry(self)


class Clock(NamedTuple):
    """The server's time as a message reported it, and when that message arrived by the local clock; Unix seconds."""

    server_time: float
    arrived_at: float

    @property
    def skew(self) -> float:
        """How far the server's clock is ahead of the local one, in seconds."""
        return self.server_time - self.arrived_at


class State(NamedTuple):
    """Everything that is known of one limit of one account."""

    limit_name: str | None = None
    windows: Mapping[str, Window] = {}
    verdict: LimitVerdict = NO_VERDICT
    facts: Facts = Facts()
    budget: Budget | None = None


def merge_facts(snapshot: Snapshot, known: Facts | None) -> Facts:
    """Return the account's facts after a message; facts that it does not report stay as they were."""
    reading = snapshot.reading
    old = known or Facts(plan_type=snapshot.identity.plan_type)
    facts = _credits(reading.credits, old) if reading.credits else old
    return facts._replace(
        plan_type=reading.plan_type or old.plan_type,
        spend_control_reached=_known(reading.spend_control_reached, old.spend_control_reached),
        promo=_known(reading.promo, old.promo) or None,
        model_usage=old.model_usage if reading.model_usage is None else _model_usage(reading.model_usage),
        **_banked_resets(reading, old),
    )


def merge(limit: Limit, snapshot: Snapshot, known: State | None, facts: Facts) -> State:
    """Return the limit's state after a message that mentions it."""
    old = known or State()
    windows = old.windows if limit.windows is None else limit.windows
    held = old.verdict if _verdict_holds(snapshot, old, windows, facts) else NO_VERDICT
    return State(
        limit_name=limit.limit_name or old.limit_name,
        windows=windows,
        verdict=next_verdict(_verdict(limit, snapshot), held),
        facts=facts,
        budget=old.budget if limit.windows is None else limit.budget,
    )


def same(new: State, old: State, between: float = 0.0) -> bool:
    """Return True if two states agree, so that one row stands for both; `between` is the time between them."""
    return (
        new.facts == old.facts
        and _same_verdict(new.verdict, old.verdict)
        and new.limit_name == old.limit_name
        and new.budget == old.budget
        and new.windows.keys() == old.windows.keys()
        and all(_same_window(window, old.windows[slot], between) for slot, window in new.windows.items())
    )


def renewed(new: State, old: State) -> State:
    """Return `old` with what goes on while a state stays the same: the resets of unused windows, and the last refusal.

    The server moves the resets of unused windows forward with the clock.
    """
    windows = {slot: new.windows[slot] if _unused(window) else window for slot, window in old.windows.items()}
    return old._replace(windows=windows, verdict=new.verdict)


def read_clock(snapshot: Snapshot) -> Clock | None:
    """Return the server's time and the local one of a message; None if the message has no server time."""
    server_time = snapshot.reading.server_time
    return None if server_time is None else Clock(server_time, snapshot.observed_at)


def is_late(snapshot: Snapshot, current: Clock | None) -> bool:
    """Return True if a message was written before the current one and was overtaken on its way.

    Responses to parallel turns overtake each other, and the server's clock tells their order. A message is written
    between the start of its request and its arrival, and messages of one websocket keep their order. So only a message
    whose request began before the current one arrived can have been overtaken. Both server times have to be possible,
    give or take the skew: no later than the arrival, and no earlier than the request (than the arrival, if the request
    is unknown). If one is not, a clock is wrong or the reset figures of that message contradict each other, and the
    order of arrival decides.
    """
    clock = read_clock(snapshot)
    if clock is None or current is None or current.skew > SKEW_SECONDS:
        return False
    began_at = snapshot.observed_at if snapshot.requested_at is None else snapshot.requested_at
    if not began_at - SKEW_SECONDS <= clock.server_time <= clock.arrived_at + SKEW_SECONDS:
        return False
    may_be_overtaken = snapshot.requested_at is None or began_at < current.arrived_at
    return may_be_overtaken and current.server_time - clock.server_time > SERVER_CLOCK_GRAIN_SECONDS


def is_credible(clock: Clock, windows: Mapping[str, Window], known: Clock | None, before: Mapping[str, Window]) -> bool:
    """Return True if the server's time of a message may be stored as the clock of its row.

    A local clock that is set moves every reset, as the local clock shows it. A skew that is new while a reset stays
    comes from reset figures that contradict each other.

    Args:
        clock: The clock of the message.
        windows: The windows after the message.
        known: The latest clock of the limit.
        before: The windows before the message.

    """
    if known is None or abs(clock.skew) <= SKEW_SECONDS or abs(clock.skew - known.skew) <= SKEW_SECONDS:
        return True
    return not any(
        slot in before and same_reset(window.resets_at, before[slot].resets_at)
        for slot, window in windows.items()
        if window.resets_at is not None and not _unused(window)
    )


def _known(new: T | None, old: T | None) -> T | None:
    return old if new is None else new


def _credits(new: Credits, old: Facts) -> Facts:
    """Replace the credits as a whole; a zero balance without credits has one spelling: none."""
    balance = new.balance
    if not new.has_credits and is_zero(balance):
        balance = None
    return old._replace(
        has_credits=new.has_credits,
        credits_unlimited=new.unlimited,
        credits_balance=balance,
        overage_limit_reached=_known(new.overage_limit_reached, old.overage_limit_reached),
    )


def _banked_resets(reading: RateLimits, old: Facts) -> dict[str, Any]:
    number = _known(reading.reset_credits, old.reset_credits)
    held = old if number == old.reset_credits else Facts()
    expire = reading.reset_credits_expire
    return {
        "reset_credits": number,
        "reset_credits_applicable": _known(reading.reset_credits_applicable, held.reset_credits_applicable),
        "reset_credits_expire": held.reset_credits_expire if expire is None else json.dumps(expire),
    }


def _model_usage(found: Mapping[str, ModelUsage]) -> str | None:
    usage = {model: [each.available, each.available_at, each.credits_would_enable] for model, each in found.items()}
    return json.dumps(usage, sort_keys=True) if usage else None


def _verdict(limit: Limit, snapshot: Snapshot) -> LimitVerdict:
    """Return the verdict of a message; one that refuses a request because of the limit says that nothing is allowed."""
    failed = snapshot.source is Source.ERROR or (snapshot.status is not None and snapshot.status >= 400)
    refused = failed and (limit.limit_reached or limit.reached_type is not None)
    return LimitVerdict(
        False if refused else limit.allowed,
        limit.limit_reached,
        limit.reached_type,
        _known_end(limit.reached_until, snapshot.observed_at),
        limit.reached_window_minutes,
        snapshot.observed_at if refused or refuses_for(limit.reached_type) else None,
    )


def _known_end(reached_until: int | None, observed_at: float) -> int | None:
    """Return until when a limit is refused; None for a time that was over before the refusal: a clock is wrong."""
    return None if reached_until is None or reached_until < observed_at - SKEW_SECONDS else reached_until


def _same_verdict(new: LimitVerdict, old: LimitVerdict) -> bool:
    return new[:-1] == old[:-1] and (new.refused_at is None) == (old.refused_at is None)


def _verdict_holds(snapshot: Snapshot, old: State, windows: Mapping[str, Window], facts: Facts) -> bool:
    verdict = old.verdict
    if not verdict.closes:
        return _full(windows) == _full(old.windows)
    over = verdict.reached_until is not None and verdict.reached_until <= snapshot.observed_at
    ended = is_answer(snapshot) and ended_by_turn(verdict, snapshot.requested_at, on_credits=facts.credits_carry)
    return not (over or ended) and _full(old.windows) <= _full(windows)


def is_answer(snapshot: Snapshot) -> bool:
    """Return True if a message says that the server answered a turn: the headers of its response, or its end.

    The end of a turn on a websocket has the status 200; no message on the wire of a websocket has.
    """
    of_turn = snapshot.source is Source.HEADERS or snapshot.source is Source.WEBSOCKET
    return of_turn and snapshot.status is not None and snapshot.status < 400


def _full(windows: Mapping[str, Window]) -> set[str]:
    return {slot for slot, window in windows.items() if is_full(window.used_percent)}


def _same_window(new: Window, old: Window, between: float) -> bool:
    if new.used_percent != old.used_percent or new.window_minutes != old.window_minutes:
        return False
    if same_reset(new.resets_at, old.resets_at) or new.resets_at == old.resets_at:
        return True
    return _unused(new) and _slides(new, old, between)


def _slides(new: Window, old: Window, between: float) -> bool:
    before = WindowReading(0.0, old.window_minutes, old.resets_at, 0.0)
    after = WindowReading(0.0, new.window_minutes, new.resets_at, between)
    # Without a length or a date nothing says that it does not.
    return transition(before, after).kind in (TransitionKind.SLID, TransitionKind.SAME)


def _unused(window: Window) -> bool:
    """Return True if the window has not begun: its reset moves forward with the clock."""
    return window.used_percent == 0
