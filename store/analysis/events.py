"""The events of an account and its limits: pure functions over its snapshots in the order of arrival.

An event comes from two consecutive snapshots of one limit, and carries both as evidence. Rows have the columns of
`snapshots`, without late ones; timestamps are Unix seconds. Nothing relies on the clock having gone forward: where the
clocks differ, rows with the server's own time are compared by that; without it, after the clock was set back, nothing
is concluded about when a window was due.

A value that is unknown in one row and known in the next is not an event. The sentences are in
`store.analysis.event_text`.
"""

from __future__ import annotations

import functools
from collections import Counter
from decimal import Decimal, localcontext
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from store.analysis.attribution import Interval, WindowSample, attribute, increase, is_pending
from store.analysis.limit_status import VERDICT_COLUMNS, WindowRow, row_state, row_verdict, slots, window_status
from store.constants import is_full, same_length
from store.reset_times import clock_skew, same_reset
from store.transitions import TransitionKind, WindowReading, transition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from store.analysis.attribution import TurnUse
    from store.analysis.limit_status import Row
    from store.constants import EventKind
    from store.documents import EventReading

KINDS: dict[EventKind, str] = {
    "limit_reached": "a window is full, or the server reports that the limit is reached",
    "limit_freed": "the limit is open again: after a reset, or because the server says so",
    "window_reset": "a window was reset when it was due",
    "window_reset_early": "a window was reset before it was due",
    "banked_reset_used": "a banked reset was used: there is one fewer, and a window was reset before it was due",
    "window_moved": "a window's reset time was moved, and its used percent stayed",
    "window_not_reset": "a window was due, and was not reset",
    "used_percent_fell": "a window's used percent fell without a reset",
    "window_appeared": "the limit has a new window",
    "window_vanished": "a window no longer exists",
    "plan_changed": "the account has another plan",
    "credits_bought": "the account has more credits",
    "credits_spent": "the account has fewer credits",
    "used_elsewhere": "a window was used, and no turn went through the tap meanwhile",
    "token_refreshed": "the account was seen with a new token",
}
"""What each of `store.constants.EVENT_KINDS` means."""

ACCOUNT_KINDS = frozenset({"plan_changed", "credits_bought", "credits_spent", "token_refreshed"})
"""The kinds that are about an account as a whole and not about one of its limits."""

FAR_APART_SECONDS = 3_600
"""From this distance on, two readings say little about when something happened between them."""

MIN_ELSEWHERE = 1.0
"""The least points of an increase that are an event of their own."""


_MAX_BALANCE_LENGTH = 40
"""Characters of a balance; a longer one is absurd."""


class EventEvidence(NamedTuple):
    """One of the two readings that an event comes from; `store.documents.EventReading` describes its fields."""

    id: int | None
    seen_at: float
    used_percent: float | None = None
    resets_at: int | None = None
    reached_type: str | None = None
    reached_until: int | None = None
    plan_type: str | None = None
    credits_balance: str | None = None
    source: str | None = None
    token_key: str | None = None

    @property
    def document(self) -> EventReading:
        """The reading as documents have it."""
        return {
            "id": self.id,
            "seen_at": self.seen_at,
            "used_percent": self.used_percent,
            "resets_at": self.resets_at,
            "reached_type": self.reached_type,
            "reached_until": self.reached_until,
            "plan_type": self.plan_type,
            "credits_balance": self.credits_balance,
            "source": self.source,
            "token_key": self.token_key,
        }


class Doubt(NamedTuple):
    """What is not sure about an event; ``seconds`` is the time between two readings that are far apart."""

    kind: Literal["far_apart", "clock_set_back", "reset_unknown"]
    seconds: float = 0.0


class Event(NamedTuple):
    """Something that happened; `store.documents.EventEntry` describes its fields."""

    at: float
    kind: EventKind
    limit_id: str | None
    limit_name: str | None
    slot: str | None
    window_minutes: int | None
    before: EventEvidence
    after: EventEvidence
    doubt: Doubt | None = None
    seconds: float | None = None
    points: float | None = None
    credits: str | None = None


class Increase(NamedTuple):
    """The use of a window between two readings; `unattributed` decides whether it is an event."""

    before: Row
    after: Row
    slot: str
    was: WindowSample
    now: WindowRow
    interval: Interval


def account_events(rows: Iterable[Row]) -> Iterator[Event | Increase]:
    """Yield the events and increases in the rows of all limits of one account, in the order of arrival.

    Of increases below `MIN_ELSEWHERE` points most are left out: `unattributed` makes no event of them.
    """
    newest: dict[str, _LimitRow] = {}
    passed: dict[str, Row] = {}
    banked = _BankedResets()
    last: Row | None = None
    for row in rows:
        limit_id = row["limit_id"]
        row_before = passed.get(limit_id)
        # Nearly all rows of a long history: the limit is used a little more, and that is all.
        if row_before is not None and last is not None and _only_grew(row_before, row, last):
            newest.pop(limit_id, None)
            passed[limit_id] = last = row
            continue
        current = _LimitRow(row)
        before = newest.get(limit_id)
        if before is None and row_before is not None:
            before = _LimitRow(row_before)
        passed[limit_id] = row
        if before is not None and (before.windows != current.windows or before.verdict != current.verdict):
            for event in _limit_events(_Transition(before, current)):
                yield event
                yield from banked.reset(event)
            yield from _increases(before, current)
        if last is not None:
            yield from _account_events(last, row)
            yield from banked.count(last, row)
        newest[limit_id], last = current, row


_SHAPE = itemgetter(
    *("window_5h_minutes", "window_7d_minutes", "other_windows", "allowed", "limit_reached", "reached_type"),
    *("reached_until", "reached_window_minutes", "refused_at"),
)
_ACCOUNT_FACTS = itemgetter("plan_type", "has_credits", "credits_unlimited", "credits_balance", "reset_credits")
_FIVE, _SEVEN = itemgetter("used_5h_percent", "resets_5h_at"), itemgetter("used_7d_percent", "resets_7d_at")


def _only_grew(before: Row, after: Row, last: Row) -> bool:
    """Return True if a row says no more than that its open limit's windows were used a little more, or nothing new.

    Args:
        before: The limit's row before.
        after: The row.
        last: The account's row before, of any limit.

    """
    return (
        _SHAPE(before) == _SHAPE(after)
        and _ACCOUNT_FACTS(last) == _ACCOUNT_FACTS(after)
        and _grew_little(_FIVE(before), _FIVE(after))
        and _grew_little(_SEVEN(before), _SEVEN(after))
        and not _closes(*_VERDICT(after))
        and server_skew(before) == server_skew(after) == 0.0
    )


_VERDICT = itemgetter(*VERDICT_COLUMNS)


@functools.lru_cache(maxsize=64)
def _closes(*values: Any) -> bool:
    """Return True if a verdict of these values closes its limit; consecutive rows have the same."""
    return row_verdict(dict(zip(VERDICT_COLUMNS, values, strict=True))).closes


def _grew_little(before: tuple[float | None, int | None], after: tuple[float | None, int | None]) -> bool:
    was, due_at = before
    used, resets_at = after
    if was is None or used is None:
        return before == after
    same = due_at == resets_at or same_reset(due_at, resets_at)
    return same and 0 <= used - was < MIN_ELSEWHERE and not is_full(used)


class _BankedResets:
    """Pairs a number of banked resets that fell by one with a window that was reset early.

    Messages report the two apart from each other, in either order, and at most an hour apart.
    """

    def __init__(self) -> None:
        self._fell_at: float | None = None
        self._reset: Event | None = None

    def reset(self, event: Event) -> Iterator[Event]:
        """Yield that a banked reset was used, if the number fell before this event."""
        if event.kind != "window_reset_early":
            return
        seen_at = event.after.seen_at
        if self._fell_at is not None and abs(seen_at - self._fell_at) <= FAR_APART_SECONDS:
            self._fell_at = None
            yield event._replace(kind="banked_reset_used")
        elif self._reset is None or self._reset.after.seen_at != seen_at:
            self._reset = event

    def count(self, before: Row, after: Row) -> Iterator[Event]:
        """Yield that a banked reset was used, if the number fell after an early reset."""
        old, new, seen_at = before["reset_credits"], after["reset_credits"], after["first_seen_at"]
        if old is None or new is None or old - new != 1:
            return
        reset, self._reset = self._reset, None
        if reset is not None and abs(seen_at - reset.after.seen_at) <= FAR_APART_SECONDS:
            yield reset._replace(kind="banked_reset_used")
        else:
            self._fell_at = seen_at


def is_routine(event: Event) -> bool:
    """Return True if a window was reset when it was due, and nothing about that is unsure."""
    return event.kind == "window_reset" and event.before.resets_at is not None and event.doubt is None


def unattributed(
    increases: Sequence[Increase], turns: Sequence[TurnUse], now: float, known_since: float
) -> Iterator[Event]:
    """Yield the events of increases of one limit that no turn explains, by the rule of `store.analysis.attribution`.

    An increase that a turn under way at `now` may still explain is left out.
    `turns` are those on the limit that ended after the start of the first interval, sorted by their end. Intervals that
    began before `known_since`, when turns were first recorded, or in which the clock was set back are left out. So are
    increases of less than a point: with decimals on the wire there would be too many events; ``usage`` counts them.
    """
    known = _known(increases, now, known_since)
    alone = _alone(known, turns)
    for each in known:
        _, end, points = each.interval
        if alone[end, points]:
            alone[end, points] -= 1
            yield _used_elsewhere(each)


def unexplained(
    increases: Sequence[Increase], turns: Sequence[TurnUse], now: float, known_since: float
) -> list[Increase]:
    """Return the increases that `unattributed` may make events of when it gets further turns than these."""
    known = _known(increases, now, known_since)
    alone = _alone(known, turns)
    return [each for each in known if alone[each.interval.end, each.interval.increase]]


def _known(increases: Sequence[Increase], now: float, known_since: float) -> list[Increase]:
    return [
        each
        for each in increases
        if known_since <= each.interval.start < each.interval.end
        and each.interval.increase >= MIN_ELSEWHERE
        and not is_pending(each.interval.end, now)
    ]


def _alone(known: Sequence[Increase], turns: Sequence[TurnUse]) -> Counter[tuple[float, float]]:
    """Return how many increases no turn explains, by the end and the points of their intervals."""
    parts = attribute([each.interval for each in known], turns, {}, float("-inf"), float("inf"))
    return Counter((part.at, part.points) for part in parts if part.turn is None)


def token_events(tokens: Iterable[Mapping[str, Any]]) -> Iterator[Event]:
    """Yield the changes of token in the rows of an account in `tokens`, in the order of arrival.

    In a team's database each machine has rows of its own. Their logins change independently of each other; a change
    that several of them saw is one.
    """
    last: dict[int | None, Mapping[str, Any]] = {}
    reported: set[str] = set()
    for token in tokens:
        machine, key = token.get("machine"), token["token_key"]
        former, last[machine] = last.get(machine), token
        if former is not None and key not in reported:
            reported.add(key)
            before = EventEvidence(None, former["last_seen_at"], token_key=former["token_key"])
            after = EventEvidence(None, token["first_seen_at"], token_key=key)
            yield _account_event("token_refreshed", before, after)


# A transition from one row of a limit to the next


class _LimitRow:
    """A row, its windows by slot, and the server's verdict on the limit."""

    __slots__ = ("row", "verdict", "windows")

    def __init__(self, row: Row) -> None:
        self.row = row
        self.windows = dict(slots(row))
        self.verdict = row_verdict(row)

    @property
    def samples(self) -> dict[str, WindowSample]:
        """The samples of the windows that it reports."""
        first_at, reported_at = self.row["first_seen_at"], _reported_at(self.row)
        return {
            slot: WindowSample(first_at, reported_at, each.used_percent, each.window_minutes, each.resets_at)
            for slot, each in self.windows.items()
            if each.used_percent is not None
        }

    @property
    def full(self) -> dict[str, WindowRow]:
        """The full windows."""
        return {slot: each for slot, each in self.windows.items() if is_full(each.used_percent)}

    @property
    def closed(self) -> bool:
        """Whether a window is full, or the server says that the limit is reached."""
        return self.verdict.closes or bool(self.full)

    @property
    def on_credits(self) -> bool:
        """Whether credits carried the limit when the row was opened."""
        seen_at = self.row["first_seen_at"]
        windows = {slot: window_status(each, seen_at, seen_at) for slot, each in self.windows.items()}
        return row_state(self.row, windows, self.row, seen_at, seen_at).state == "on_credits"


class _Transition:
    """Two consecutive rows of a limit, on one clock."""

    def __init__(self, before: _LimitRow, after: _LimitRow) -> None:
        self.was, self.now = before, after
        self.before, self.after = before.row, after.row
        self.skew_before, self.skew_after = server_skew(self.before), server_skew(self.after)
        self.left_at, self.seen_at = _reported_at(self.before), self.after["first_seen_at"]
        known = self.before["server_time"] is not None and self.after["server_time"] is not None
        self.clock_set_back = self.seen_at < self.left_at and not known

    @property
    def apart(self) -> float:
        """The seconds between the two rows, by the server's clock."""
        return float(self.seen_at + self.skew_after - self.left_at - self.skew_before)

    @property
    def far_apart(self) -> Doubt | None:
        """The doubt about when something happened, if the rows are far apart."""
        return None if self.apart < FAR_APART_SECONDS else Doubt("far_apart", self.apart)

    @staticmethod
    def reading(window: WindowRow, seen_at: float, skew: float) -> WindowReading:
        """Return a window of one of the rows, by the server's clock."""
        resets_at = None if window.resets_at is None else window.resets_at + skew
        return WindowReading(window.used_percent or 0.0, window.window_minutes, resets_at, seen_at + skew)

    def until(self, at: int) -> float:
        """Return the seconds from the later row to a reset that the earlier row reports, by the server's clock."""
        return float(at + self.skew_before - self.seen_at - self.skew_after)

    def moved(self, window: _WindowChange) -> float | None:
        """Return the seconds by which a window's reset moved, by the server's clock; None if either is unknown."""
        was, now = window.before.resets_at, window.after.resets_at
        return None if was is None or now is None else now + self.skew_after - was - self.skew_before

    def event(
        self,
        kind: EventKind,
        window: _WindowChange | None = None,
        *,
        at: float | None = None,
        doubt: Doubt | None = None,
        seconds: float | None = None,
        points: float | None = None,
    ) -> Event:
        """Return an event of this transition; without `at` it happened when the later row was first seen."""
        change = window or _WindowChange(None, WindowRow(), WindowRow())
        return Event(
            at=self.seen_at if at is None else at,
            kind=kind,
            limit_id=self.after["limit_id"],
            limit_name=self.after["limit_name"],
            slot=change.slot,
            window_minutes=change.minutes,
            before=_evidence(self.before, self.left_at if window else self.before["last_seen_at"], change.before),
            after=_evidence(self.after, self.seen_at, change.after),
            doubt=doubt,
            seconds=seconds,
            points=points,
        )


class _WindowChange(NamedTuple):
    """A window as both rows of a transition have it."""

    slot: str | None
    before: WindowRow
    after: WindowRow

    @property
    def minutes(self) -> int | None:
        """Its length, as it was last reported."""
        return self.after.window_minutes or self.before.window_minutes


def _limit_events(step: _Transition) -> Iterator[Event]:
    resets: dict[str, float] = {}
    if step.before["windows_seen_at"] is not None:
        for event in _window_events(step):
            yield event
            if event.slot and event.kind.startswith("window_reset"):
                resets[event.slot] = event.at
    yield from _limit_state_events(step, resets)


def _window_events(step: _Transition) -> Iterator[Event]:
    before, after = step.was.windows, step.now.windows
    for slot in sorted({**before, **after}):
        was, now = before.get(slot), after.get(slot)
        if was == now:
            continue
        if was and now and _same_length(was, now):
            yield from _window_change(step, _WindowChange(slot, was, now))
            continue
        if was:
            yield step.event("window_vanished", _WindowChange(slot, was, WindowRow()), doubt=step.far_apart)
        if now:
            yield step.event("window_appeared", _WindowChange(slot, WindowRow(), now), doubt=step.far_apart)


def _window_change(step: _Transition, window: _WindowChange) -> Iterator[Event]:
    """Yield what happened to a window that both rows have."""
    was, now = window.before, window.after
    # A window at 0 % has not begun, and its reset slides along with the clock.
    if not was.used_percent or now.used_percent is None:
        return
    kind = transition(
        step.reading(was, step.left_at, step.skew_before), step.reading(now, step.seen_at, step.skew_after)
    ).kind
    if step.clock_set_back:
        # How much time has passed is unknown, and with it what was due.
        if kind is not TransitionKind.SAME and now.used_percent < was.used_percent:
            yield step.event("window_reset", window, doubt=Doubt("clock_set_back"))
    elif kind is TransitionKind.RESET:
        yield _reset(step, window)
    elif kind is TransitionKind.RESET_EARLY:
        early = step.until(was.resets_at or 0)
        yield step.event("window_reset_early", window, seconds=early, doubt=step.far_apart)
    elif kind is TransitionKind.LOWERED:
        yield _fell(step, window)
    elif kind is TransitionKind.NOT_RESET:
        yield step.event("window_not_reset", window, seconds=step.moved(window))
    elif kind is TransitionKind.MOVED and now.used_percent:
        yield step.event("window_moved", window, seconds=step.moved(window), doubt=step.far_apart)


def _reset(step: _Transition, window: _WindowChange) -> Event:
    due = window.before.resets_at
    if due is None:
        return step.event("window_reset", window, doubt=step.far_apart)
    return step.event("window_reset", window, at=min(float(due), step.seen_at))


def _fell(step: _Transition, window: _WindowChange) -> Event:
    was, now = window.before, window.after
    points = (was.used_percent or 0.0) - (now.used_percent or 0.0)
    known = was.resets_at is not None and now.resets_at is not None
    doubt = step.far_apart if known else Doubt("reset_unknown")
    return step.event("used_percent_fell", window, points=points, doubt=doubt)


# Reached and freed


def _limit_state_events(step: _Transition, resets: Mapping[str, float]) -> Iterator[Event]:
    """Yield that a limit was reached or freed; `resets` has the windows reset in this transition, and when."""
    if not (step.was.closed or step.now.closed):
        return
    before, after = step.was.full, step.now.full
    freed_at = _freed_at(step, resets)
    if freed_at is not None:
        yield _freed(step, freed_at, resets)
    opened = freed_at is not None or not step.was.closed
    refused = step.now.verdict.refuses and not step.was.verdict.refuses
    if opened and step.now.closed:
        yield _reached(step, {} if refused and not after.keys() - before.keys() else after)
    elif refused and step.was.on_credits:
        yield _reached(step, {})
    elif before and (more := {slot: each for slot, each in after.items() if slot not in before}):
        yield _reached(step, more)


def _freed_at(step: _Transition, resets: Mapping[str, float]) -> float | None:
    """Return when a closed limit opened, even if it is closed again by now; None if it did not."""
    if not step.was.closed:
        return None
    full = step.was.full
    if full and full.keys() <= resets.keys():
        return max(resets[slot] for slot in full)
    until = step.before["reached_until"]
    passed = until is not None and not step.clock_set_back and step.left_at <= until and step.until(until) <= 0
    if passed and not full:
        return min(float(until), float(step.seen_at))
    return None if step.now.closed else float(step.seen_at)


def _freed(step: _Transition, at: float, resets: Mapping[str, float]) -> Event:
    full = step.was.full
    slot = max((each for each in full if each in resets), key=lambda each: resets[each], default=None)
    if slot is None:
        return step.event("limit_freed", at=at)
    return step.event("limit_freed", _WindowChange(slot, full[slot], step.now.windows.get(slot, full[slot])), at=at)


def _reached(step: _Transition, full: Mapping[str, WindowRow]) -> Event:
    if not full:
        return step.event("limit_reached", doubt=step.far_apart)
    slot = max(full, key=lambda each: full[each].resets_at or float("inf"))
    window = _WindowChange(slot, step.was.windows.get(slot, WindowRow()), full[slot])
    return step.event("limit_reached", window, doubt=step.far_apart)


# Used elsewhere


def _increases(before: _LimitRow, current: _LimitRow) -> Iterator[Increase]:
    """Yield the increases of windows between two consecutive rows of a limit.

    A window that the row before does not have begins anew: nothing tells what was used meanwhile.
    """
    samples = before.samples
    for slot, sample in current.samples.items():
        was = samples.get(slot)
        if was is not None and (points := increase(was, sample)) > 0:
            interval = Interval(was.last_at, sample.first_at, points)
            yield Increase(before.row, current.row, slot, was, current.windows[slot], interval)


def _used_elsewhere(each: Increase) -> Event:
    row = each.after
    start, end, points = each.interval
    far_apart = Doubt("far_apart", end - start) if end - start >= FAR_APART_SECONDS else None
    return Event(
        at=end,
        kind="used_elsewhere",
        limit_id=row["limit_id"],
        limit_name=row["limit_name"],
        slot=each.slot,
        window_minutes=each.now.window_minutes,
        before=_evidence(each.before, start, WindowRow(*each.was[2:])),
        after=_evidence(row, end, each.now),
        doubt=far_apart,
        points=points,
    )


# Plan and credits


def _account_events(before: Row, after: Row) -> Iterator[Event]:
    """Yield the events of the account as a whole, which a row of any of its limits may report."""
    old, new = before["plan_type"], after["plan_type"]
    if old is not None and new is not None and old != new:
        yield _row_event("plan_changed", before, after)
    had, has = _balance(before), _balance(after)
    if had is None or has is None or had == has:
        return
    with localcontext() as context:
        # No digit of a balance is rounded away.
        context.prec = 2 * _MAX_BALANCE_LENGTH
        amount = f"{abs(has - had).normalize():f}"
    yield _row_event("credits_bought" if has > had else "credits_spent", before, after)._replace(credits=amount)


def _row_event(kind: EventKind, before: Row, after: Row) -> Event:
    was, now = (before, before["last_seen_at"]), (after, after["first_seen_at"])
    return _account_event(kind, _evidence(*was, WindowRow()), _evidence(*now, WindowRow()))


def _account_event(kind: EventKind, before: EventEvidence, after: EventEvidence) -> Event:
    """Return an event of an account as a whole."""
    return Event(after.seen_at, kind, None, None, None, None, before, after)


def _balance(row: Row) -> Decimal | None:
    """Return an account's credits; None where they are unknown or not a number."""
    if row["has_credits"] is None or row["credits_unlimited"]:
        return None
    written = row["credits_balance"]
    if written is None:
        return None if row["has_credits"] else Decimal(0)
    if len(written) > _MAX_BALANCE_LENGTH or not (written.isascii() and written.replace(".", "", 1).isdigit()):
        return None
    return Decimal(written)


# Rows


def _reported_at(row: Row) -> float:
    """Return when the windows of a row were last reported."""
    reported = row["windows_seen_at"]
    return float(row["last_seen_at"] if reported is None else reported)


def server_skew(row: Row) -> float:
    """Return the seconds by which the server's clock was ahead of ours; 0 where they agree, or that is unknown.

    The server's time of a row is that of its last reading with one, so it is compared with the whole time of the row.
    """
    return clock_skew(row["server_time"], row["first_seen_at"], row["last_seen_at"])


def _evidence(row: Row, seen_at: float, window: WindowRow) -> EventEvidence:
    return EventEvidence(
        id=row["id"],
        seen_at=seen_at,
        used_percent=window.used_percent,
        resets_at=window.resets_at,
        reached_type=row["reached_type"],
        reached_until=row["reached_until"],
        plan_type=row["plan_type"],
        credits_balance=row["credits_balance"],
        source=row["source"],
        token_key=row["token_key"],
    )


def _same_length(one: WindowRow, other: WindowRow) -> bool:
    a, b = one.window_minutes, other.window_minutes
    return a is None or b is None or same_length(a, b)
