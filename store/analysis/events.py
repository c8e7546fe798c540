"""What happened to an account's limits: pure functions over its rows in the order of their arrival.

Each event comes from two rows of one limit that follow each other, and carries both as evidence. Rows are mappings
with the columns of `snapshots`, without late ones; moments are Unix seconds. Nothing relies on the clock having gone
forward: rows whose server told its own time are compared by that where the clocks differ, and where none did and the
clock stepped back, nothing is said of when a window was due.

`KINDS` says what can happen. That something is unknown in one row and known in the next is no event.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from store.analysis.attribution import Interval, WindowSample, attribute, increase
from store.analysis.formatting import clock_time, duration, in_points, percent, window_length
from store.analysis.limit_status import WindowRow, slots
from store.constants import FULL_PERCENT, MAIN_LIMIT, RESET_JITTER_SECONDS, SKEW_SECONDS

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from store.analysis.attribution import TurnUse

    Row = Mapping[str, Any]

KINDS = {
    "limit_reached": "a window is full, or the server says that the limit is reached",
    "limit_freed": "the limit is open again: after a reset, or because the server says so",
    "window_reset": "a window was reset when it was due",
    "window_reset_early": "a window was reset before it was due",
    "window_moved": "a window's reset was moved, and what was used stayed used",
    "used_percent_fell": "what was used of a window became less, and its reset stayed",
    "window_appeared": "the limit has a window that it had not",
    "window_vanished": "a window is gone",
    "plan_changed": "the account has another plan",
    "credits_bought": "the account has more credits",
    "credits_spent": "the account has fewer credits",
    "used_elsewhere": "a window was used, and no turn went through the tap meanwhile",
    "token_refreshed": "the account was seen with a new token",
}
"""What can happen, and what it means."""

ACCOUNT_KINDS = frozenset({"plan_changed", "credits_bought", "credits_spent", "token_refreshed"})
"""What happens to an account as a whole and to none of its limits."""

FAR_APART_SECONDS = 3_600
"""Readings further apart say little of when something happened."""

MIN_ELSEWHERE = 1.0
"""Points of a rise that are worth an event of their own."""

MAX_TURN_SECONDS = 3_600
"""A socket lives no longer. A turn is written when it ends, so a younger rise may yet turn out to be a turn's."""

_SAME_LENGTH = 0.01
"""By how much of its length a window may differ from itself: the server rounds 10080 minutes to 10079."""

_MAX_BALANCE_LENGTH = 40
"""Characters of a balance; a longer one is absurd."""


class EventEvidence(NamedTuple):
    """One of the two readings that an event comes from.

    ``id`` is the row's (None for a token's), ``seen_at`` when it was last seen, for the later of the two when first.
    """

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


class Event(NamedTuple):
    """Something that happened; `KINDS` says what.

    ``at`` is when it was first seen, for what was due (a reset, and what it freed) when that was due. ``slot`` is the
    window's, None where it is about no window; ``limit_id`` is None where it is about the account. ``seconds`` is how
    much a reset was early, or moved (negative: it comes sooner), ``points`` how much of a window was used elsewhere or
    fell, ``credits`` how many were bought or spent, as a decimal string. ``text`` is a sentence; ``note`` says what is
    uncertain about it.
    """

    at: float
    kind: str
    limit_id: str | None
    limit_name: str | None
    slot: str | None
    window_minutes: int | None
    before: EventEvidence
    after: EventEvidence
    text: str
    note: str | None = None
    seconds: float | None = None
    points: float | None = None
    credits: str | None = None


class Increase(NamedTuple):
    """A window that was used between two readings; `elsewhere` tells whether that is an event."""

    before: Row
    after: Row
    slot: str
    was: WindowSample
    now: WindowRow
    gap: Interval


def account_events(rows: Iterable[Row], zone: dt.tzinfo | None = None) -> Iterator[Event | Increase]:
    """Answer "what happened?" over the rows of all limits of one account, in the order of their arrival.

    `elsewhere` makes events of those rises that are some. `zone` is that of the moments in sentences, None the
    machine's own.
    """
    newest: dict[str, _LimitRow] = {}
    sights: dict[tuple[str, str], tuple[WindowSample, Row]] = {}
    last: Row | None = None
    for row in rows:
        seen = _LimitRow(row)
        before = newest.get(row["limit_id"])
        if before is not None and (before.windows != seen.windows or before.verdict != seen.verdict):
            yield from _limit_events(_Transition(before, seen, zone))
        yield from _rises(seen, sights)
        if last is not None:
            yield from _fact_events(last, row)
        newest[row["limit_id"]], last = seen, row


def unattributed(
    rises: Sequence[Increase], turns: Sequence[TurnUse], now: float, known_since: float
) -> Iterator[Event]:
    """Make events of the rises of one limit that no turn explains, by the rule of `store.analysis.attribution`.

    `turns` are those on the limit that ended after the first of the rises' gaps began, sorted by their end. Of a gap
    that began before `known_since`, when turns were first recorded, or that the clock stepped back in, nobody knows.
    Rises of less than a point are left to ``usage``: with decimals on the wire, they would drown all else.
    """
    told = [rise for rise in rises if known_since <= rise.gap.start < rise.gap.end and rise.gap.rise >= MIN_ELSEWHERE]
    shared = attribute([rise.gap for rise in told], turns, {}, float("-inf"), float("inf"))
    # A part names its gap by its end and its points.
    alone = Counter((part.at, part.points) for part in shared if part.turn is None)
    for each in told:
        if alone[each.gap.end, each.gap.rise]:
            alone[each.gap.end, each.gap.rise] -= 1
            yield _used_elsewhere(each, young=0 <= now - each.gap.end < MAX_TURN_SECONDS)


def token_events(tokens: Iterable[Row]) -> Iterator[Event]:
    """Answer "when did the account get a new token?" over its rows of `tokens`, in the order of their arrival."""
    last: Row | None = None
    for token in tokens:
        if last is not None:
            before = EventEvidence(None, last["last_seen_at"], token_key=last["token_key"])
            after = EventEvidence(None, token["first_seen_at"], token_key=token["token_key"])
            text = f"A new token was seen, {after.token_key}, after {before.token_key}."
            yield _account_event("token_refreshed", before, after, text)
        last = token


# A step from one row of a limit to the next


class _LimitRow:
    """A row, and what is made of it once: its windows by slot, and the server's word on the limit."""

    __slots__ = ("row", "verdict", "windows")

    def __init__(self, row: Row) -> None:
        self.row = row
        self.windows = dict(slots(row))
        self.verdict = (row["allowed"], row["limit_reached"], row["reached_type"], row["reached_until"])

    @property
    def full(self) -> dict[str, WindowRow]:
        """The windows of which all is used."""
        return {slot: each for slot, each in self.windows.items() if (each.used_percent or 0) >= FULL_PERCENT}

    @property
    def closed(self) -> bool:
        """Whether a window is full, or the server says that the limit is reached."""
        allowed, limit_reached, reached_type, _ = self.verdict
        return allowed == 0 or bool(limit_reached) or reached_type is not None or bool(self.full)


class _Transition:
    """Two rows of a limit that follow each other, as one clock shows them."""

    def __init__(self, before: _LimitRow, after: _LimitRow, zone: dt.tzinfo | None) -> None:
        self.was, self.now, self._zone = before, after, zone
        self.before, self.after = before.row, after.row
        self.skew_before, self.skew_after = _skew(self.before), _skew(self.after)
        self.left_at, self.seen_at = _reported_at(self.before), self.after["first_seen_at"]
        known = self.before["server_time"] is not None and self.after["server_time"] is not None
        self.lost_time = self.seen_at < self.left_at and not known

    @property
    def apart(self) -> float:
        """How many seconds are between the two rows, by the server's clock."""
        return float(self.seen_at + self.skew_after - self.left_at - self.skew_before)

    @property
    def far_apart(self) -> str | None:
        """What to say where it is not sure when something happened."""
        if self.apart < FAR_APART_SECONDS:
            return None
        return f"The two readings are {duration(self.apart)} apart; it happened at some time between them."

    def until(self, at: int) -> float:
        """Return how long before a reset that the earlier row tells the later one was seen, by the server's clock."""
        return float(at + self.skew_before - self.seen_at - self.skew_after)

    def moved(self, window: _WindowChange) -> float | None:
        """Return by how much a window's reset moved, by the server's clock; None where one of the two is unknown."""
        was, now = window.before.resets_at, window.after.resets_at
        return None if was is None or now is None else now + self.skew_after - was - self.skew_before

    def moment(self, at: float | None) -> str:
        return "at a time not told" if at is None else clock_time(at, self._zone)

    def event(self, kind: str, text: str, window: _WindowChange | None = None, **fields: Any) -> Event:
        """Make an event of this step."""
        pair = window or _WindowChange(None, WindowRow(), WindowRow())
        made = Event(
            at=self.seen_at,
            kind=kind,
            limit_id=self.after["limit_id"],
            limit_name=self.after["limit_name"],
            slot=pair.slot,
            window_minutes=pair.minutes,
            before=_reading(self.before, self.left_at if window else self.before["last_seen_at"], pair.before),
            after=_reading(self.after, self.seen_at, pair.after),
            text=text,
        )
        return made._replace(**fields)

    def the(self, window: _WindowChange) -> str:
        """Return what a window is called in a sentence."""
        return f"The {window_length(window.slot or '', window.minutes)} window{limit_prefix(self.after)}"


class _WindowChange(NamedTuple):
    """A window as both rows of a step have it."""

    slot: str | None
    before: WindowRow
    after: WindowRow

    @property
    def minutes(self) -> int | None:
        """Its length, as it was last told."""
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
            gone = _WindowChange(slot, was, WindowRow())
            text = f"{step.the(gone)} is gone; it was last seen at {percent(was.used_percent)} used."
            yield step.event("window_vanished", text, gone, note=step.far_apart)
        if now:
            new = _WindowChange(slot, WindowRow(), now)
            resets = "" if now.resets_at is None else f", and resets {step.moment(now.resets_at)}"
            text = f"{step.the(new)} is new: {percent(now.used_percent)} of it is used{resets}."
            yield step.event("window_appeared", text, new, note=step.far_apart)


def _window_change(step: _Transition, window: _WindowChange) -> Iterator[Event]:
    """Yield what happened to a window that both rows have."""
    was, now = window.before, window.after
    # A window of which nothing is used has not begun, and its reset slides along with the clock.
    if not was.used_percent or now.used_percent is None:
        return
    fell = now.used_percent < was.used_percent
    moved = step.moved(window)
    other = moved is not None and abs(moved) > RESET_JITTER_SECONDS
    if not (fell or other):
        return
    if step.lost_time:
        if fell and other:
            note = "The clock was set back in between, so it is not known whether that was on time."
            yield step.event("window_reset", f"{step.the(window)} was reset{_used(window)}.", window, note=note)
    elif _was_due(step, window) and (fell or (moved is not None and moved > RESET_JITTER_SECONDS)):
        yield _reset(step, window)
    elif fell and other:
        yield _reset_early(step, window)
    elif fell:
        yield _fell(step, window)
    elif other and now.used_percent:
        yield _moved(step, window, moved or 0.0)


def _was_due(step: _Transition, window: _WindowChange) -> bool:
    """Tell whether a window's reset had passed when it was seen again, or its whole length where none was told."""
    was = window.before
    if was.resets_at is not None:
        return step.until(was.resets_at) <= SKEW_SECONDS
    return was.window_minutes is not None and step.apart >= was.window_minutes * 60


def _reset(step: _Transition, window: _WindowChange) -> Event:
    due = window.before.resets_at
    if due is None:
        text = f"{step.the(window)} was reset{_used(window)}; when it was due was not told."
        return step.event("window_reset", text, window, note=step.far_apart)
    text = f"{step.the(window)} was reset when it was due, {step.moment(due)}{_used(window)}."
    return step.event("window_reset", text, window, at=min(float(due), step.seen_at))


def _reset_early(step: _Transition, window: _WindowChange) -> Event:
    due = window.before.resets_at or 0
    early = step.until(due)
    text = (
        f"{step.the(window)} was reset {duration(early)} before it was due{_used(window)}:"
        f" it was to be reset {step.moment(due)}, and now will be {step.moment(window.after.resets_at)}."
    )
    return step.event("window_reset_early", text, window, seconds=early, note=step.far_apart)


def _fell(step: _Transition, window: _WindowChange) -> Event:
    was, now = window.before, window.after
    points = (was.used_percent or 0.0) - (now.used_percent or 0.0)
    told = was.resets_at is not None and now.resets_at is not None
    stays = f"its reset stays {step.moment(now.resets_at)}" if told else "no reset time was told"
    text = f"{step.the(window)} fell from {percent(was.used_percent)} used to {percent(now.used_percent)}; {stays}."
    note = step.far_apart if told else "Without both reset times it is not known whether that was a reset."
    return step.event("used_percent_fell", text, window, points=points, note=note)


def _moved(step: _Transition, window: _WindowChange, moved: float) -> Event:
    was, now = window.before, window.after
    direction = "later" if moved > 0 else "sooner"
    text = (
        f"{step.the(window)} now resets {duration(abs(moved))} {direction},"
        f" {step.moment(now.resets_at)} instead of {step.moment(was.resets_at)},"
        f" at {percent(now.used_percent)} used after {percent(was.used_percent)}."
    )
    return step.event("window_moved", text, window, seconds=moved, note=step.far_apart)


def _used(window: _WindowChange) -> str:
    return f", from {percent(window.before.used_percent)} used to {percent(window.after.used_percent)}"


# Reached and freed


def _limit_state_events(step: _Transition, resets: Mapping[str, float]) -> Iterator[Event]:
    """Yield that a limit was reached or freed; `resets` says which windows were reset in this step, and when."""
    if not (step.was.closed or step.now.closed):
        return
    before, after = step.was.full, step.now.full
    freed_at = _freed_at(step, resets)
    if freed_at is not None:
        yield _freed(step, freed_at, resets)
    opened = freed_at is not None or not step.was.closed
    if opened and step.now.closed:
        yield _reached(step, after)
    elif before and (more := {slot: each for slot, each in after.items() if slot not in before}):
        yield _reached(step, more)


def _freed_at(step: _Transition, resets: Mapping[str, float]) -> float | None:
    """Return when a closed limit was open again, even if it is closed anew by now; None where it was not."""
    if not step.was.closed:
        return None
    full = step.was.full
    if full and full.keys() <= resets.keys():
        return max(resets[slot] for slot in full)
    until = step.before["reached_until"]
    given = until is not None and not step.lost_time and step.left_at <= until and step.until(until) <= 0
    if given and not full:
        return min(float(until), float(step.seen_at))
    return None if step.now.closed else float(step.seen_at)


def _freed(step: _Transition, at: float, resets: Mapping[str, float]) -> Event:
    full = step.was.full
    slot = max((each for each in full if each in resets), key=lambda each: resets[each], default=None)
    limit = f"The limit{limit_prefix(step.after)} is open again"
    if slot is not None:
        window = _WindowChange(slot, full[slot], step.now.windows.get(slot, full[slot]))
        what = step.the(window).removeprefix("The ").removesuffix(limit_prefix(step.after))
        return step.event("limit_freed", f"{limit}: its {what} was reset.", window, at=at)
    text = f"{limit}: the time that the server gave is over." if at < step.seen_at else f"{limit}, as the server says."
    return step.event("limit_freed", text, at=at)


def _reached(step: _Transition, full: Mapping[str, WindowRow]) -> Event:
    if not full:
        kind = step.after["reached_type"]
        why = f" ({kind})" if kind else ""
        told = step.after["reached_until"]
        until = "" if told is None else f", until {step.moment(told)}"
        text = f"The limit{limit_prefix(step.after)} is reached, as the server says{why}{until}."
        return step.event("limit_reached", text, note=step.far_apart)
    slot = max(full, key=lambda each: full[each].resets_at or float("inf"))
    was = step.was.windows.get(slot, WindowRow())
    window = _WindowChange(slot, was, full[slot])
    resets = window.after.resets_at
    until = "when it resets was not told" if resets is None else f"it resets {step.moment(resets)}"
    text = f"{step.the(window)} is full, at {percent(window.after.used_percent)} used; {until}."
    return step.event("limit_reached", text, window, note=step.far_apart)


# Used elsewhere


def _rises(seen: _LimitRow, sights: dict[tuple[str, str], tuple[WindowSample, Row]]) -> Iterator[Increase]:
    """Yield the windows that rose since they were last told of, and remember how they are now told."""
    row = seen.row
    first_at, told_at = row["first_seen_at"], _reported_at(row)
    for slot, figures in seen.windows.items():
        if figures.used_percent is None:
            continue
        sight = WindowSample(first_at, told_at, figures.used_percent, figures.window_minutes, figures.resets_at)
        known = sights.get((row["limit_id"], slot))
        if known is not None:
            was, before = known
            if told_at < first_at and was[2:] == sight[2:]:
                # A row that no message about the window opened tells nothing new of it.
                continue
            points = increase(was, sight)
            if points > 0:
                yield Increase(before, row, slot, was, figures, Interval(was.last_at, first_at, points))
        sights[row["limit_id"], slot] = sight, row


def _used_elsewhere(each: Increase, *, young: bool) -> Event:
    row, points = each.after, each.gap.rise
    was, now = percent(each.was.used_percent), percent(each.now.used_percent)
    since_reset = points == each.now.used_percent and each.was.used_percent > 0
    course = f"{was} used, then a reset, and now {now}" if since_reset else f"{was} used before, {now} now"
    window = f"{window_length(each.slot, each.now.window_minutes)} window{limit_prefix(row)}"
    apart = each.gap.end - each.gap.start
    note = f"The two readings are {duration(apart)} apart." if apart >= FAR_APART_SECONDS else None
    return Event(
        at=each.gap.end,
        kind="used_elsewhere",
        limit_id=row["limit_id"],
        limit_name=row["limit_name"],
        slot=each.slot,
        window_minutes=each.now.window_minutes,
        before=_reading(each.before, each.gap.start, WindowRow(*each.was[2:])),
        after=_reading(row, each.gap.end, each.now),
        text=f"Used elsewhere: {in_points(points)} of the {window} ({course}), and no turn was seen meanwhile.",
        note="A turn that is still under way would explain it." if young else note,
        points=points,
    )


# Plan and credits


def _fact_events(before: Row, after: Row) -> Iterator[Event]:
    """Yield what happened to the account as a whole, which any of its limits' rows may tell."""
    old, new = before["plan_type"], after["plan_type"]
    if old is not None and new is not None and old != new:
        yield _fact(before, after, "plan_changed", f"The plan changed from {old} to {new}.")
    had, has = _balance(before), _balance(after)
    if had is None or has is None or had == has:
        return
    with localcontext() as context:
        # No digit of a balance is rounded away.
        context.prec = 2 * _MAX_BALANCE_LENGTH
        amount = f"{abs(has - had).normalize():f}"
    bought = has > had
    text = f"{amount} credits were {'bought' if bought else 'spent'}: {had:f} before, {has:f} now."
    yield _fact(before, after, "credits_bought" if bought else "credits_spent", text)._replace(credits=amount)


def _fact(before: Row, after: Row, kind: str, text: str) -> Event:
    was, now = (before, before["last_seen_at"]), (after, after["first_seen_at"])
    return _account_event(kind, _reading(*was, WindowRow()), _reading(*now, WindowRow()), text)


def _account_event(kind: str, before: EventEvidence, after: EventEvidence, text: str) -> Event:
    """Make an event of an account as a whole."""
    return Event(after.seen_at, kind, None, None, None, None, before, after, text)


def _balance(row: Row) -> Decimal | None:
    """Return how many credits an account has; None where that is not told, or is no number."""
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
    """Return when the windows of a row were last told."""
    told = row["windows_seen_at"]
    return float(row["last_seen_at"] if told is None else told)


def _skew(row: Row) -> float:
    """Return how far the server's clock was ahead of ours, in seconds; 0 where they agree, or it was not told.

    The server's time of a row is that of its last reading that told one, so any moment of the row will do.
    """
    told = row["server_time"]
    if told is None or row["first_seen_at"] - SKEW_SECONDS <= told <= row["last_seen_at"] + SKEW_SECONDS:
        return 0.0
    return float(told - (row["last_seen_at"] if told > row["last_seen_at"] else row["first_seen_at"]))


def _reading(row: Row, seen_at: float, figures: WindowRow) -> EventEvidence:
    return EventEvidence(
        id=row["id"],
        seen_at=seen_at,
        used_percent=figures.used_percent,
        resets_at=figures.resets_at,
        reached_type=row["reached_type"],
        reached_until=row["reached_until"],
        plan_type=row["plan_type"],
        credits_balance=row["credits_balance"],
        source=row["source"],
        token_key=row["token_key"],
    )


def _same_length(one: WindowRow, other: WindowRow) -> bool:
    a, b = one.window_minutes, other.window_minutes
    return a is None or b is None or abs(a - b) <= _SAME_LENGTH * max(a, b)


def limit_prefix(row: Row) -> str:
    """Return which limit something is of, where that is not the main one."""
    return "" if row["limit_id"] == MAIN_LIMIT else f" of {row['limit_name'] or row['limit_id']}"
