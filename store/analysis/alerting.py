"""The alerts to send: pure functions over documents, rules, and the state of earlier evaluations.

An evaluation has three steps: `track` updates the periods of windows, `firing` returns the alerts to send, and
`record_sent` stores which were sent. During quiet hours the third is skipped, so alerts that still hold fire later. All
state is in `AlertState`, which survives being written to a file and read back.

A **period** of a window runs from one reset to the next, by the rule of `store.transitions`. Each alert is sent once in
each period.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from store.analysis.account_limits import find_limit, label
from store.analysis.event_text import limit_suffix
from store.analysis.forecast import LIKELY
from store.analysis.formatting import (
    DAY,
    clock_time,
    duration,
    find_slot,
    in_points,
    local_time,
    percent,
    window_length,
)
from store.constants import BUDGET_LIMIT, is_full
from store.reset_times import same_reset
from store.transitions import TransitionKind, WindowReading, transition

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from store.analysis.limit_status import WindowRow
    from store.documents import (
        AccountStatus,
        AlertKind,
        EventEntry,
        EventReading,
        EventsDocument,
        ForecastDocument,
        LimitStatus,
        StatusDocument,
        WindowForecast,
    )

USED: Final = "used"
RUNS_DRY: Final = "runs_dry"
REACHED: Final = "limit_reached"
RESET: Final = "window_reset"
EARLY: Final = "window_reset_early"
ELSEWHERE: Final = "used_elsewhere"

KINDS: dict[AlertKind, str] = {
    USED: "a threshold of a window's used percent is passed",
    RUNS_DRY: "a window will run dry before its reset",
    REACHED: "a limit is reached",
    RESET: "a window was reset, or is due to have been",
    EARLY: "a window was reset before it was due",
    ELSEWHERE: "a window was used past the tap",
}
"""The kinds of alerts, and what each means."""

EVENT_ALERTS: tuple[Literal["limit_reached", "window_reset", "window_reset_early", "used_elsewhere"], ...] = (
    REACHED,
    RESET,
    EARLY,
    ELSEWHERE,
)
"""The kinds of alerts that are kinds of `store.constants.EVENT_KINDS`, too."""

OLD_SECONDS = DAY
"""The age up to which an event is worth an alert."""

_KEPT_SECONDS = 3 * DAY
"""How long a sent alert is remembered after its window's reset: longer than its event can come up again."""

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_CLEAR_DAYS = 6
"""The distance up to which the name of a weekday alone is clear."""

_OF_THE_PERIOD = frozenset({USED, RUNS_DRY, REACHED, ELSEWHERE})
"""The kinds that are about the current period; the others are about the one that ended."""


class Rule(NamedTuple):
    """The alerts that a user asks for, and their targets.

    ``at`` has thresholds of the used percent, ascending; ``kinds`` those of `KINDS` but the first.
    ``elsewhere_points`` is the least use elsewhere that is worth an alert. ``account`` is an account's key, ``limit`` a
    limit's id, ``window`` a slot or a real length (``30d``); None stands for all. ``targets`` are names without
    duplicates.
    """

    at: tuple[float, ...] = ()
    kinds: frozenset[str] = frozenset()
    elsewhere_points: float = 0.0
    account: str | None = None
    limit: str | None = None
    window: str | None = None
    targets: tuple[str, ...] = ()

    def covers(self, about: About, minutes: int | None) -> bool:
        """Return True if the rule is about this window of so many minutes, whatever its kinds and thresholds."""
        if self.account not in {None, about.account} or self.limit not in {None, about.limit_id}:
            return False
        return self.window is None or (
            about.slot is not None and find_slot({about.slot: minutes}, self.window) is not None
        )


class AlertInput(NamedTuple):
    """The documents that an evaluation needs, all of one state of the database.

    ``events`` and ``forecasts`` are None where this evaluation does not need them. ``reported`` has the windows as they
    were last reported, by the account's key, the limit's id and the slot.
    """

    status: StatusDocument
    events: EventsDocument | None
    forecasts: ForecastDocument | None
    reported: Mapping[tuple[str, str, str], WindowRow]


class About(NamedTuple):
    """The window that an alert is about; ``slot`` is None where it is about the limit as a whole."""

    account: str
    limit_id: str
    slot: str | None


class Period(NamedTuple):
    """A period of a window as it was last seen; ``seen_at`` is 0 in the state files of earlier versions."""

    used_percent: float
    resets_at: int | None
    seen_at: float = 0.0


class SentAlert(NamedTuple):
    """An alert that was sent, and that is not sent again in the same period.

    ``threshold`` is that of `USED`. ``rows`` are the ids of an event's two readings where no reset is known that
    identifies the period. ``told_at`` and ``text`` are for people.
    """

    kind: AlertKind
    about: About
    threshold: float | None = None
    resets_at: int | None = None
    rows: tuple[int, int] | None = None
    told_at: float = 0.0
    text: str = ""

    def is_of(self, other: SentAlert) -> bool:
        """Return True if both are the same alert of the same period."""
        if (self.kind, self.about, self.threshold) != (other.kind, other.about, other.threshold):
            return False
        if self.resets_at is None and other.resets_at is None:
            return self.rows == other.rows
        return same_reset(self.resets_at, other.resets_at)


class AlertState(NamedTuple):
    """What is stored between evaluations.

    ``since`` has when each of the `EVENT_ALERTS` was first asked for, so that a new rule sends no alert about the past.
    """

    since: Mapping[str, float]
    runs: Mapping[About, Period]
    told: tuple[SentAlert, ...]


EMPTY_STATE = AlertState({}, {}, ())
"""The state before the first evaluation."""


class Alert(NamedTuple):
    """An alert to send, with percentages and Unix seconds; ``marks`` are what `record_sent` stores once it is sent."""

    kind: AlertKind
    about: About
    account: str
    limit_name: str | None
    window_minutes: int | None
    used_percent: float | None
    threshold: float | None
    resets_at: int | None
    at: float
    text: str
    targets: tuple[str, ...]
    marks: tuple[SentAlert, ...]


def track(state: AlertState, rules: Sequence[Rule], found: AlertInput, now: float) -> AlertState:
    """Return the state with the periods of the windows, and the alerts sent in them, brought to `now`."""
    asked = {kind for rule in rules for kind in rule.kinds if kind in EVENT_ALERTS}
    since: dict[str, float] = {kind: min(state.since.get(kind, now), now) for kind in sorted(asked)}
    present, unseen, sent = {}, {}, list(state.told)
    for window in _windows(found.status):
        before = state.runs.get(window.about)
        if window.used is not None and not window.reset_unseen:
            present[window.about] = Period(window.used, window.resets_at, window.seen_at)
            sent = sent if before is None else list(_followed(sent, window, before))
        elif before is not None:
            unseen[window.about] = before
    known = {account["account"] for account in found.status["accounts"]}
    kept = (mark for mark in sent if mark.about.account in known and _is_remembered(mark, present.get(mark.about), now))
    return AlertState(since, present | unseen, tuple(kept))


def firing(
    rules: Sequence[Rule], found: AlertInput, state: AlertState, now: float, zone: dt.tzinfo | None = None
) -> list[Alert]:
    """Return the alerts to send; `state` is that of `track`, and times are of `zone`, by default the machine's.

    If a window passed several thresholds, there is one alert, for the highest; none where the same targets get the
    alert that the limit is reached.
    """
    evaluator = _AlertEvaluator(rules, found, state, now, zone)
    alerts = list(evaluator.happened())
    for alert in evaluator.thresholds():
        place = next((n for n, each in enumerate(alerts) if each.kind == REACHED and _covers(each, alert)), None)
        if place is None:
            alerts.append(alert)
        else:
            alerts[place] = alerts[place]._replace(marks=(*alerts[place].marks, *alert.marks))
    return [*alerts, *evaluator.dry()]


def record_sent(state: AlertState, alerts: Iterable[Alert], now: float) -> AlertState:
    """Return the state with the alerts that were sent."""
    marks = [mark._replace(told_at=now, text=alert.text) for alert in alerts for mark in alert.marks]
    return state._replace(told=(*state.told, *marks))


# Windows and their periods


class _Window(NamedTuple):
    """A window of the document of ``status``, with its account and limit.

    ``used`` is None where it is not known what became of the window since it was due.
    """

    about: About
    account: AccountStatus
    limit_name: str | None
    used: float | None
    minutes: int | None
    resets_at: int | None
    reset_unseen: bool
    reset_overdue: bool
    seen_at: float


def _windows(status: StatusDocument) -> Iterator[_Window]:
    for account in status["accounts"]:
        for limit in account["limits"]:
            for slot, window in limit["windows"].items():
                lost = window["reset_overdue"] and limit["state"] == "unknown"
                yield _Window(
                    About(account["account"], limit["limit_id"], slot),
                    account,
                    limit["limit_name"],
                    None if lost else window["used_percent"],
                    window["window_minutes"],
                    window["resets_at"],
                    window["reset_unseen"],
                    window["reset_overdue"],
                    float(limit["observed_at"]),
                )


def _followed(sent: Iterable[SentAlert], window: _Window, before: Period) -> Iterator[SentAlert]:
    """Yield the sent alerts; those of this window's period follow its reset time."""
    same = _goes_on(before, window)
    for mark in sent:
        of_period = mark.kind in _OF_THE_PERIOD and mark.about == window.about and mark.rows is None
        if not of_period or not (mark.resets_at == before.resets_at or same_reset(mark.resets_at, before.resets_at)):
            yield mark
        elif same:
            yield mark._replace(resets_at=window.resets_at)
        elif mark.resets_at is not None:
            yield mark


def _goes_on(period: Period, window: _Window) -> bool:
    """Return True if a window is still in its period."""
    before = WindowReading(period.used_percent, window.minutes, period.resets_at, period.seen_at)
    after = WindowReading(window.used or 0.0, window.minutes, window.resets_at, window.seen_at)
    change = transition(before, after)
    if not period.used_percent and change.kind is not TransitionKind.SAME:
        # It had not begun.
        return False
    return not change.is_reset


def _is_remembered(mark: SentAlert, period: Period | None, now: float) -> bool:
    """Return True if a sent alert may come up again; `period` is the current one of its window."""
    goes_on = mark.resets_at is None or (period is not None and same_reset(mark.resets_at, period.resets_at))
    if goes_on and mark.kind in _OF_THE_PERIOD and mark.rows is None:
        return True
    return now < max(mark.told_at, mark.resets_at or 0) + _KEPT_SECONDS


# Evaluation


class _AlertEvaluator:
    """One evaluation of the rules."""

    def __init__(
        self, rules: Sequence[Rule], found: AlertInput, state: AlertState, now: float, zone: dt.tzinfo | None = None
    ) -> None:
        self._rules, self._found, self._state, self._now, self._zone = rules, found, state, now, zone
        self._windows = {window.about: window for window in _windows(found.status)}
        self._accounts = {account["account"]: account for account in found.status["accounts"]}

    def thresholds(self) -> Iterator[Alert]:
        """Yield one alert for each window that passed a threshold without an alert in this period."""
        for window in self._windows.values():
            marks, targets, highest = self._passed(window)
            if highest is None:
                continue
            text = f"at {percent(window.used)} used{self._resets_next(window)}"
            yield self._alert(USED, window, text, targets, marks, threshold=highest)

    def _passed(self, window: _Window) -> tuple[list[SentAlert], list[str], float | None]:
        """Return the marks of a window, the targets, and the highest new threshold, if there is one."""
        marks: list[SentAlert] = []
        targets: list[str] = []
        thresholds: list[float] = []
        used = window.used or 0.0
        for rule in self._rules:
            passed = [at for at in rule.at if at <= used] if rule.covers(window.about, window.minutes) else []
            made = [SentAlert(USED, window.about, at, window.resets_at) for at in passed]
            new = [mark for mark in made if not self._was_sent(mark)]
            marks += new
            if new and new[-1].threshold == passed[-1]:
                targets += rule.targets
                thresholds.append(passed[-1])
        return list(dict.fromkeys(marks)), targets, max(thresholds, default=None)

    def dry(self) -> Iterator[Alert]:
        """Yield one alert for each window that is forecast to run dry before its reset."""
        for account in self._found.forecasts["accounts"] if self._found.forecasts else []:
            for limit in account["limits"]:
                for slot, forecast in limit["windows"].items():
                    window = self._windows.get(About(account["account"], limit["limit_id"], slot))
                    if window is not None:
                        yield from self._dry(window, forecast)

    def _dry(self, window: _Window, forecast: WindowForecast) -> Iterator[Alert]:
        dry_at, resets_at, chance = forecast["runs_dry_at"], forecast["resets_at"], forecast["chance_dry"]
        if window.reset_unseen or window.used is None or is_full(window.used):
            return
        if dry_at is None or resets_at is None or chance is None or chance < LIKELY or dry_at >= resets_at:
            return
        mark = SentAlert(RUNS_DRY, window.about, None, window.resets_at)
        targets = self._targets(RUNS_DRY, window.about, window.minutes)
        if targets is None or self._was_sent(mark):
            return
        text = (
            f"runs dry {self._when(dry_at)} at this pace, {duration(resets_at - dry_at)} before its reset"
            f" {self._when(resets_at)} ({percent(window.used)} used)"
        )
        yield self._alert(RUNS_DRY, window, text, targets, [mark])

    def happened(self) -> Iterator[Alert]:
        """Yield the alerts about events that still hold, the oldest first."""
        found = [*self._reached(), *self._resets_seen(), *self._resets_unseen(), *self._elsewhere()]
        made: list[Alert] = []
        for alert in sorted(found, key=lambda each: each.at):
            marks = [mark for each in made for mark in each.marks]
            if not any(self._was_sent(mark) or any(mark.is_of(other) for other in marks) for mark in alert.marks):
                made.append(alert)
        yield from made

    def _reached(self) -> Iterator[Alert]:
        for event in self._events(REACHED):
            limit = self._limit(event)
            targets = self._targets(REACHED, _about(event), event["window_minutes"])
            if limit is None or targets is None or not _is_closed(limit):
                continue
            after = event["after"]
            if event["slot"]:
                text = f"reached, {percent(after['used_percent'])} used{self._resets(after['resets_at'])}"
            else:
                why = f" ({after['reached_type']})" if after["reached_type"] else ""
                text = f"reached, as the server says{why}{self._resets(after['reached_until'])}"
            yield self._event_alert(REACHED, event, text, targets, after["resets_at"])

    def _resets_seen(self) -> Iterator[Alert]:
        for kind in (RESET, EARLY):
            for event in self._latest(kind):
                targets = self._targets(kind, _about(event), event["window_minutes"])
                if targets is None or self._is_full(event):
                    continue
                due_at, next_at = event["before"]["resets_at"], event["after"]["resets_at"]
                if kind == RESET:
                    text = f"was reset{'' if due_at is None else f' {self._when(due_at)}'}"
                else:
                    text = f"was reset {duration(event['seconds'] or 0.0)} early: it was due {self._when(due_at)}"
                next_reset = "" if next_at is None else f", resets next {self._when(next_at)}"
                text += f", {percent(event['after']['used_percent'])} used now{next_reset}"
                yield self._event_alert(kind, event, text, targets, due_at)

    def _resets_unseen(self) -> Iterator[Alert]:
        """Yield the windows whose reset has passed unseen: a user who waits for it wants to know."""
        since = self._since(RESET)
        for window in self._windows.values():
            reported = self._found.reported.get((window.about.account, window.about.limit_id, window.about.slot or ""))
            targets = self._targets(RESET, window.about, window.minutes)
            if targets is None or not window.reset_unseen or reported is None or not reported.used_percent:
                continue
            if window.resets_at is None or window.resets_at < since:
                continue
            text = f"was due to reset {self._when(window.resets_at)}, and has not been seen since"
            mark = SentAlert(RESET, window.about, None, window.resets_at)
            yield self._alert(RESET, window, text, targets, [mark], at=float(window.resets_at))

    def _elsewhere(self) -> Iterator[Alert]:
        """Yield one alert for each window."""
        current: dict[About, list[EventEntry]] = {}
        for event in self._events(ELSEWHERE):
            window = self._windows.get(_about(event))
            if window and _is_current(window, event["after"]):
                current.setdefault(window.about, []).append(event)
        for about, events in current.items():
            points = sum(event["points"] or 0.0 for event in events)
            window = self._windows[about]
            targets = self._targets(ELSEWHERE, about, window.minutes, points)
            if targets is None:
                continue
            text = f"used elsewhere, {in_points(points)} of it past the tap; now {percent(window.used)} used"
            mark = SentAlert(ELSEWHERE, about, None, window.resets_at, None if window.resets_at else _rows(events[0]))
            full = f"{text}{self._resets_next(window)}"
            yield self._alert(ELSEWHERE, window, full, targets, [mark], at=events[-1]["at"])

    # Look-ups

    def _events(self, kind: AlertKind) -> list[EventEntry]:
        since = self._now - OLD_SECONDS if kind == REACHED else self._since(kind)
        events = self._found.events["events"] if self._found.events else []
        return [event for event in events if event["kind"] == kind and event["at"] >= since]

    def _latest(self, kind: AlertKind) -> Iterator[EventEntry]:
        """Return the newest event of a kind for each window."""
        return iter({_about(event): event for event in self._events(kind)}.values())

    def _since(self, kind: str) -> float:
        return max(self._state.since.get(kind, self._now), self._now - OLD_SECONDS)

    def _limit(self, event: EventEntry) -> LimitStatus | None:
        account = self._accounts.get(event["account"])
        return find_limit(account, event["limit_id"]) if account else None

    def _is_full(self, event: EventEntry) -> bool:
        window = self._windows.get(_about(event))
        return window is None or is_full(window.used)

    def _targets(
        self, kind: AlertKind, about: About, minutes: int | None, points: float = float("inf")
    ) -> list[str] | None:
        """Return the targets of an alert; None where no rule asks for it."""
        rules = [rule for rule in self._rules if kind in rule.kinds and rule.covers(about, minutes)]
        if kind == ELSEWHERE:
            rules = [rule for rule in rules if points >= rule.elsewhere_points]
        return [target for rule in rules for target in rule.targets] if rules else None

    def _was_sent(self, mark: SentAlert) -> bool:
        return any(mark.is_of(other) for other in self._state.told)

    # Messages

    def _event_alert(
        self, kind: AlertKind, event: EventEntry, text: str, targets: list[str], resets_at: int | None
    ) -> Alert:
        about = _about(event)
        mark = SentAlert(kind, about, None, resets_at, None if resets_at else _rows(event))
        window = self._windows.get(about) or _Window(
            about,
            self._accounts[about.account],
            event["limit_name"],
            event["after"]["used_percent"],
            event["window_minutes"],
            event["after"]["resets_at"],
            reset_unseen=False,
            reset_overdue=False,
            seen_at=event["after"]["seen_at"],
        )
        return self._alert(kind, window, text, targets, [mark], at=event["at"])

    def _alert(
        self,
        kind: AlertKind,
        window: _Window,
        text: str,
        targets: Iterable[str],
        marks: Iterable[SentAlert],
        *,
        threshold: float | None = None,
        at: float | None = None,
    ) -> Alert:
        return Alert(
            kind=kind,
            about=window.about,
            account=label(window.account),
            limit_name=window.limit_name,
            window_minutes=window.minutes,
            used_percent=window.used,
            threshold=threshold,
            resets_at=window.resets_at,
            at=self._now if at is None else at,
            text=f"{label(window.account)}: {_window_name(window)} {text}",
            targets=tuple(dict.fromkeys(targets)),
            marks=tuple(marks),
        )

    def _resets_next(self, window: _Window) -> str:
        if window.reset_overdue:
            return f", was due {self._when(window.resets_at)} and was not reset"
        return self._resets(window.resets_at)

    def _resets(self, at: int | None) -> str:
        return "" if at is None else f", resets {self._when(at)}"

    def _when(self, at: float | None) -> str:
        """Format a timestamp so that it is clear in a message read hours later: ``Tue 14:00``."""
        if at is None:
            return "at an unknown time"
        when = local_time(at, self._zone) if abs(at - self._now) < _CLEAR_DAYS * DAY else None
        return clock_time(at, self._zone) if when is None else f"{_WEEKDAYS[when.weekday()]} {when:%H:%M}"


def _covers(reached: Alert, passed: Alert) -> bool:
    return reached.about == passed.about and set(passed.targets) <= set(reached.targets)


def _window_name(window: _Window) -> str:
    """Return the words for a window's limit: ``7 d limit``, ``limit of GPT-5.3-Codex-Spark``; a budget has its name."""
    if window.about.limit_id == BUDGET_LIMIT:
        return window.limit_name or BUDGET_LIMIT
    length = "" if window.about.slot is None else f"{window_length(window.about.slot, window.minutes)} "
    return f"{length}limit{limit_suffix(window.about.limit_id, window.limit_name)}"


def _about(event: EventEntry) -> About:
    return About(event["account"], event["limit_id"] or "", event["slot"])


def _rows(event: EventEntry) -> tuple[int, int]:
    return event["before"]["id"] or 0, event["after"]["id"] or 0


def _is_closed(limit: LimitStatus) -> bool:
    return limit["state"] in {"refused", "on_credits"}


def _is_current(window: _Window, reading: EventReading) -> bool:
    """Return True if a reading is of the window's current period."""
    if window.reset_unseen:
        return False
    unknown = window.resets_at is None or reading["resets_at"] is None
    return unknown or same_reset(window.resets_at, reading["resets_at"])
