"""The state of a limit after one more message, and the test whether it equals the previous state.

Pure functions over immutable values. A *state* is everything the store knows of one limit of one account at one time.
A new state keeps what the message does not report, and a row of the database stands for one state, from the first to
the last of the consecutive messages that agree with it.

The authority of the sources:

- **Windows**: every source, and always as a whole: a limit that is mentioned with windows has those and no others.
  A message that mentions a limit without its windows (an error body) leaves them as they were.
- **Verdict** (``allowed``, ``limit_reached``, ``reached_type``, ``reached_until``): `websocket`, `sse` and `usage`
  report ``allowed`` and ``limit_reached``; `headers` and `upgrade` only a ``reached_type``, on refused responses;
  `error` reports that the limit is reached. The latest verdict decides: an older contrary one is dropped with all its
  parts, an older one of the same kind completes it. A refused request says that nothing is allowed.
- A verdict not repeated holds for a while: an open one until the full windows are others; a refusal until the time
  that the server gave, until one of its full windows is no longer full, or until the server completes a turn (`headers`
  with a status below 400).
- **Account facts** (plan, credits, spend control, reset credits, model usage, promo): all sources report plan and
  credits; the others and overage come from `usage` alone (reset credits from `headers` on some responses). Credits are
  replaced as a whole. The plan in the token's claims counts only until a message reports one. What was reported of
  banked resets beside their number holds while the number stays.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from store.constants import RESET_JITTER_SECONDS, SKEW_SECONDS, is_full, is_zero
from store.models import Credits, Source, Window

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


class LimitVerdict(NamedTuple):
    """The server's own statement whether a limit is open or closed."""

    allowed: bool | None = None
    limit_reached: bool | None = None
    reached_type: str | None = None
    reached_until: int | None = None


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
    verdict: LimitVerdict = LimitVerdict()
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
    carried = old.verdict if _verdict_holds(snapshot, old, windows) else LimitVerdict()
    return State(
        limit_name=limit.limit_name or old.limit_name,
        windows=windows,
        verdict=_merge_verdict(_verdict(limit, snapshot), carried),
        facts=facts,
        budget=old.budget if limit.windows is None else limit.budget,
    )


def same(new: State, old: State) -> bool:
    """Return True if two states agree, so that one row stands for both."""
    return (
        new.facts == old.facts
        and new.verdict == old.verdict
        and new.limit_name == old.limit_name
        and new.budget == old.budget
        and new.windows.keys() == old.windows.keys()
        and all(_same_window(window, old.windows[slot]) for slot, window in new.windows.items())
    )


def with_current_resets(new: State, old: State) -> State:
    """Return `old` with the resets of unused windows from `new`; the server moves those forward with the clock."""
    windows = {slot: new.windows[slot] if _unused(window) else window for slot, window in old.windows.items()}
    return old._replace(windows=windows)


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
        slot in before and _same_timestamp(window.resets_at, before[slot].resets_at)
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
        False if refused else limit.allowed, limit.limit_reached, limit.reached_type, limit.reached_until
    )


def _merge_verdict(new: LimitVerdict, carried: LimitVerdict) -> LimitVerdict:
    """Complete a verdict by the parts of an earlier one, unless the two are contrary."""
    if new.allowed is None and new.limit_reached is None and new.reached_type is None:
        return carried
    if _opens(new) or _opens(carried):
        return new
    return LimitVerdict(
        _known(new.allowed, carried.allowed),
        _known(new.limit_reached, carried.limit_reached),
        _known(new.reached_type, carried.reached_type),
        _known(new.reached_until, carried.reached_until),
    )


def _opens(verdict: LimitVerdict) -> bool:
    """Return True if a verdict has a part that says outright that the limit is open."""
    return verdict.allowed is True or verdict.limit_reached is False


def _verdict_holds(snapshot: Snapshot, old: State, windows: Mapping[str, Window]) -> bool:
    verdict = old.verdict
    if not (verdict.allowed is False or verdict.limit_reached or verdict.reached_type):
        return _full(windows) == _full(old.windows)
    completed = snapshot.source is Source.HEADERS and snapshot.status is not None and snapshot.status < 400
    over = verdict.reached_until is not None and verdict.reached_until <= snapshot.observed_at
    return not (completed or over) and _full(old.windows) <= _full(windows)


def _full(windows: Mapping[str, Window]) -> set[str]:
    return {slot for slot, window in windows.items() if is_full(window.used_percent)}


def _same_window(new: Window, old: Window) -> bool:
    return (
        new.used_percent == old.used_percent
        and new.window_minutes == old.window_minutes
        and (_unused(new) or _same_timestamp(new.resets_at, old.resets_at))
    )


def _same_timestamp(new: int | None, old: int | None) -> bool:
    if new is None or old is None:
        return new is old
    return abs(new - old) <= RESET_JITTER_SECONDS


def _unused(window: Window) -> bool:
    """Return True if the window has not begun: its reset moves forward with the clock."""
    return window.used_percent == 0
