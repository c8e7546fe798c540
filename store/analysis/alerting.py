"""What is worth a message: pure functions over documents, rules, and what is remembered of what was told.

A look has three steps. `advance` follows the windows, so that what is remembered stays with the run of a window that it
is about. `due` answers "what would be told now?". `remember` keeps what was told; where nothing is told (in quiet
hours), it is left out, and what still holds is due at a later look. Nothing is remembered anywhere else: a memory that
was written down and read back goes on as if nothing had been.

A **run** of a window begins at its reset and ends at the next. A reset that moves while what was used stays used is the
same run, and so is one within 60 seconds. Each thing is told once for each run.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, NamedTuple

from store.analysis.events import MAX_TURN_SECONDS, limit_prefix
from store.analysis.forecast import LIKELY
from store.analysis.formatting import DAY, clock_time, duration, in_points, percent, window_length
from store.analysis.limit_status import same_reset
from store.analysis.ranking import find_limit, label
from store.constants import FULL_PERCENT, RESET_JITTER_SECONDS, SKEW_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from store.analysis.limit_status import WindowRow

    Document = Mapping[str, Any]

USED, RUNS_DRY = "used", "runs_dry"
REACHED, RESET, EARLY, ELSEWHERE = "limit_reached", "window_reset", "window_reset_early", "used_elsewhere"

KINDS = {
    USED: "so much of a window is used",
    RUNS_DRY: "a window will run dry before its reset",
    REACHED: "a limit is reached",
    RESET: "a window was reset, or is due to have been",
    EARLY: "a window was reset before it was due",
    ELSEWHERE: "a window was used past the tap",
}
"""What can be told, and what it means; all but the first two are kinds of `store.analysis.events`, too."""

EVENT_KINDS = (REACHED, RESET, EARLY, ELSEWHERE)

OLD_SECONDS = DAY
"""What happened longer ago is told no more."""

_KEPT_SECONDS = 3 * DAY
"""How long beyond its window's reset what was told is remembered: longer than an event can come up again."""

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_CLEAR_DAYS = 6
"""How far a weekday's name alone is clear."""

_OF_THE_PERIOD = frozenset({USED, RUNS_DRY, REACHED, ELSEWHERE})
"""What is about the run that goes on; the others are about the one that ended."""


class Rule(NamedTuple):
    """What is to be told, of what, and to whom.

    ``at`` are used percents, ascending. ``kinds`` are those of `KINDS` but the first. ``elsewhere_points`` is how many
    points of a window have to be used elsewhere. ``account`` is an account's key, ``limit`` a limit's id, ``window`` a
    slot; None is all. ``targets`` are names, without double ones.
    """

    at: tuple[float, ...] = ()
    kinds: frozenset[str] = frozenset()
    elsewhere_points: float = 0.0
    account: str | None = None
    limit: str | None = None
    window: str | None = None
    targets: tuple[str, ...] = ()

    def covers(self, about: About) -> bool:
        """Tell whether it asks for something of this kind (a threshold apart)."""
        return (
            self.account in {None, about.account}
            and self.limit in {None, about.limit_id}
            and self.window in {None, about.slot}
        )


class AlertInput(NamedTuple):
    """What a look sees: documents of one moment.

    ``status`` is that of `store.queries`, and so are ``events`` and ``forecasts`` (None: not asked for at this look).
    ``figures`` are the windows as they were last told, by account's key, limit's id and slot.
    """

    status: Document
    events: Document | None
    forecasts: Document | None
    figures: Mapping[tuple[str, str, str], WindowRow]


class About(NamedTuple):
    """The window that something is about; ``slot`` is None where it is about the limit as a whole."""

    account: str
    limit_id: str
    slot: str | None


class Period(NamedTuple):
    """A run of a window as it was last seen."""

    used_percent: float
    resets_at: int | None


class SentAlert(NamedTuple):
    """What was told: it is not told again for the same run.

    ``threshold`` is that of `USED`. ``rows`` are the ids of an event's two readings where no reset is known to tell
    runs apart. ``told_at`` and ``text`` are for people.
    """

    kind: str
    about: About
    threshold: float | None = None
    resets_at: int | None = None
    rows: tuple[int, int] | None = None
    told_at: float = 0.0
    text: str = ""

    def is_of(self, other: SentAlert) -> bool:
        """Tell whether both are of one thing."""
        if (self.kind, self.about, self.threshold) != (other.kind, other.about, other.threshold):
            return False
        if self.resets_at is None and other.resets_at is None:
            return self.rows == other.rows
        return same_reset(self.resets_at, other.resets_at)


class AlertState(NamedTuple):
    """What is remembered from look to look.

    ``since`` says from when on each of the `EVENT_KINDS` was asked for, so that a new rule does not tell of the past.
    """

    since: Mapping[str, float]
    runs: Mapping[About, Period]
    told: tuple[SentAlert, ...]


EMPTY_STATE = AlertState({}, {}, ())
"""The memory of who never looked."""


class Alert(NamedTuple):
    """One message. Percent, Unix seconds; ``marks`` are what to remember once it is told."""

    kind: str
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


def track(memory: AlertState, rules: Sequence[Rule], seen: AlertInput, now: float) -> AlertState:
    """Follow the windows from what was seen before to what is seen now."""
    asked = {kind for rule in rules for kind in rule.kinds if kind in EVENT_KINDS}
    since = {kind: min(memory.since.get(kind, now), now) for kind in sorted(asked)}
    present, unseen, told = {}, {}, list(memory.told)
    for window in _windows(seen.status):
        before = memory.runs.get(window.about)
        if window.used is not None and not window.reset_unseen:
            present[window.about] = Period(window.used, window.resets_at)
            told = told if before is None else list(_followed(told, window, before))
        elif before is not None:
            unseen[window.about] = before
    known = {account["account"] for account in seen.status["accounts"]}
    kept = (mark for mark in told if mark.about.account in known and _is_remembered(mark, present.get(mark.about), now))
    return AlertState(since, present | unseen, tuple(kept))


def firing(
    rules: Sequence[Rule], seen: AlertInput, memory: AlertState, now: float, zone: dt.tzinfo | None = None
) -> list[Alert]:
    """Answer "what would be told now?", by a memory that `advance` brought to this look; `zone` None is the machine's.

    Of several thresholds of a window that were passed, one message tells the highest; none does where the same people
    are told that the limit is reached.
    """
    asking = _AlertEvaluator(rules, seen, memory, now, zone)
    found = list(asking.happened())
    for alert in asking.thresholds():
        place = next((n for n, each in enumerate(found) if each.kind == REACHED and _says_more(each, alert)), None)
        if place is None:
            found.append(alert)
        else:
            found[place] = found[place]._replace(marks=(*found[place].marks, *alert.marks))
    return [*found, *asking.dry()]


def record_sent(memory: AlertState, alerts: Iterable[Alert], now: float) -> AlertState:
    """Return the memory with what was told."""
    marks = [mark._replace(told_at=now, text=alert.text) for alert in alerts for mark in alert.marks]
    return memory._replace(told=(*memory.told, *marks))


# Windows and their runs


class _Window(NamedTuple):
    """A window of the document of ``status``, with whose it is."""

    about: About
    account: Document
    limit: Document
    used: float | None
    minutes: int | None
    resets_at: int | None
    reset_unseen: bool

    @property
    def seen_at(self) -> float:
        return float(self.limit["observed_at"])


def _windows(status: Document) -> Iterator[_Window]:
    for account in status["accounts"]:
        for limit in account["limits"]:
            for slot, window in limit["windows"].items():
                yield _Window(
                    About(account["account"], limit["limit_id"], slot),
                    account,
                    limit,
                    window["used_percent"],
                    window["window_minutes"],
                    window["resets_at"],
                    window["reset_unseen"],
                )


def _followed(told: Iterable[SentAlert], window: _Window, before: Period) -> Iterator[SentAlert]:
    """Yield what was told, with what is about this window's run moved along with it."""
    same = _goes_on(before, window)
    for mark in told:
        of_run = mark.kind in _OF_THE_PERIOD and mark.about == window.about and mark.rows is None
        if not of_run or not (mark.resets_at == before.resets_at or same_reset(mark.resets_at, before.resets_at)):
            yield mark
        elif same:
            yield mark._replace(resets_at=window.resets_at)
        elif mark.resets_at is not None:
            yield mark


def _goes_on(run: Period, window: _Window) -> bool:
    """Return True if a window is still in its period, by its reset or, without one, by its used percent."""
    used, resets_at = window.used or 0.0, window.resets_at
    if run.resets_at is None or resets_at is None:
        passed = run.resets_at is not None and window.seen_at >= run.resets_at
        return not passed and used >= run.used_percent / 2
    moved = resets_at - run.resets_at
    if abs(moved) <= RESET_JITTER_SECONDS:
        return True
    # A window of which nothing was used had not begun.
    if not run.used_percent or used < run.used_percent:
        return False
    return window.seen_at < run.resets_at - SKEW_SECONDS or moved < 0


def _is_remembered(mark: SentAlert, run: Period | None, now: float) -> bool:
    """Tell whether what was told may come up again; `run` is the one that goes on."""
    goes_on = mark.resets_at is None or (run is not None and same_reset(mark.resets_at, run.resets_at))
    if goes_on and mark.kind in _OF_THE_PERIOD and mark.rows is None:
        return True
    return now < max(mark.told_at, mark.resets_at or 0) + _KEPT_SECONDS


# What is due


class _AlertEvaluator:
    """One look."""

    def __init__(
        self, rules: Sequence[Rule], seen: AlertInput, memory: AlertState, now: float, zone: dt.tzinfo | None = None
    ) -> None:
        self._rules, self._seen, self._memory, self._now, self._zone = rules, seen, memory, now, zone
        self._windows = {window.about: window for window in _windows(seen.status)}
        self._accounts = {account["account"]: account for account in seen.status["accounts"]}

    def thresholds(self) -> Iterator[Alert]:
        """Yield one message for each window that passed a threshold of which nothing was told in this run."""
        for window in self._windows.values():
            marks, targets, highest = self._passed(window)
            if highest is None:
                continue
            text = f"at {percent(window.used)} used{self._resets(window.resets_at)}"
            yield self._alert(USED, window, text, targets, marks, threshold=highest)

    def _passed(self, window: _Window) -> tuple[list[SentAlert], list[str], float | None]:
        """Return what to remember of a window, whom to tell, and the highest threshold to tell of, if any."""
        marks: list[SentAlert] = []
        targets: list[str] = []
        told: list[float] = []
        used = window.used or 0.0
        for rule in self._rules:
            passed = [at for at in rule.at if at <= used] if rule.covers(window.about) else []
            made = [SentAlert(USED, window.about, at, window.resets_at) for at in passed]
            new = [mark for mark in made if not self._was_told(mark)]
            marks += new
            if new and new[-1].threshold == passed[-1]:
                targets += rule.targets
                told.append(passed[-1])
        return list(dict.fromkeys(marks)), targets, max(told, default=None)

    def dry(self) -> Iterator[Alert]:
        """Yield one message for each window that is forecast to run dry before its reset."""
        forecasts = self._seen.forecasts or {"accounts": []}
        for account in forecasts["accounts"]:
            for limit in account["limits"]:
                for slot, told in limit["windows"].items():
                    window = self._windows.get(About(account["account"], limit["limit_id"], slot))
                    if window is not None and _runs_dry(window, told):
                        yield from self._dry(window, told)

    def _dry(self, window: _Window, told: Document) -> Iterator[Alert]:
        dry_at, resets_at = told["runs_dry_at"], told["resets_at"]
        mark = SentAlert(RUNS_DRY, window.about, None, window.resets_at)
        targets = self._targets(RUNS_DRY, window.about)
        if targets is None or self._was_told(mark):
            return
        sure = f", from {told['note']}" if told["note"] else ""
        text = (
            f"runs dry {self._when(dry_at)} at this pace, {duration(resets_at - dry_at)} before its reset"
            f" {self._when(resets_at)} ({percent(window.used)} used{sure})"
        )
        yield self._alert(RUNS_DRY, window, text, targets, [mark])

    def happened(self) -> Iterator[Alert]:
        """Yield what happened to limits and windows, the oldest first, as far as it still holds."""
        found = [*self._reached(), *self._resets_seen(), *self._resets_unseen(), *self._elsewhere()]
        made: list[Alert] = []
        for alert in sorted(found, key=lambda each: each.at):
            told = [mark for each in made for mark in each.marks]
            if not any(self._was_told(mark) or any(mark.is_of(other) for other in told) for mark in alert.marks):
                made.append(alert)
        yield from made

    def _reached(self) -> Iterator[Alert]:
        for event in self._events(REACHED):
            limit = self._limit(event)
            targets = self._targets(REACHED, _about(event))
            if limit is None or targets is None or not _is_closed(limit):
                continue
            after = event["after"]
            if event["slot"]:
                text = f"reached, {percent(after['used_percent'])} used{self._resets(after['resets_at'])}"
            else:
                why = f" ({after['reached_type']})" if after["reached_type"] else ""
                text = f"reached, as the server says{why}{self._resets(after['reached_until'])}"
            yield self._told_by(event, text, targets, after["resets_at"])

    def _resets_seen(self) -> Iterator[Alert]:
        for kind in (RESET, EARLY):
            for event in self._latest(kind):
                targets = self._targets(kind, _about(event))
                if targets is None or self._is_full(event):
                    continue
                due_at, next_at = event["before"]["resets_at"], event["after"]["resets_at"]
                if kind == RESET:
                    text = f"was reset{'' if due_at is None else f' {self._when(due_at)}'}"
                else:
                    text = f"was reset {duration(event['seconds'])} early: it was due {self._when(due_at)}"
                next_reset = "" if next_at is None else f", resets next {self._when(next_at)}"
                text += f", {percent(event['after']['used_percent'])} used now{next_reset}"
                yield self._told_by(event, text, targets, due_at)

    def _resets_unseen(self) -> Iterator[Alert]:
        """Yield the windows whose reset has passed since they were last told of: who waits for it wants to know."""
        since = self._since(RESET)
        for window in self._windows.values():
            figures = self._seen.figures.get((window.about.account, window.about.limit_id, window.about.slot or ""))
            targets = self._targets(RESET, window.about)
            if targets is None or not window.reset_unseen or figures is None or not figures.used_percent:
                continue
            if window.resets_at is None or window.resets_at < since:
                continue
            text = f"was due to reset {self._when(window.resets_at)}, and was not seen since"
            mark = SentAlert(RESET, window.about, None, window.resets_at)
            yield self._alert(RESET, window, text, targets, [mark], at=float(window.resets_at))

    def _elsewhere(self) -> Iterator[Alert]:
        """Yield one message for each window, once no turn that is still under way could explain the rise."""
        settled: dict[About, list[Document]] = {}
        for event in self._events(ELSEWHERE):
            window = self._windows.get(_about(event))
            if window and self._now - event["at"] >= MAX_TURN_SECONDS and _is_current(window, event["after"]):
                settled.setdefault(window.about, []).append(event)
        for about, rises in settled.items():
            points = sum(event["points"] for event in rises)
            targets = self._targets(ELSEWHERE, about, points)
            if targets is None:
                continue
            window = self._windows[about]
            text = f"used elsewhere, {in_points(points)} of it past the tap; now {percent(window.used)} used"
            mark = SentAlert(ELSEWHERE, about, None, window.resets_at, None if window.resets_at else _rows(rises[0]))
            full = f"{text}{self._resets(window.resets_at)}"
            yield self._alert(ELSEWHERE, window, full, targets, [mark], at=rises[-1]["at"])

    # What each of these asks

    def _events(self, kind: str) -> list[Document]:
        since = self._now - OLD_SECONDS if kind == REACHED else self._since(kind)
        events = self._seen.events["events"] if self._seen.events else []
        return [event for event in events if event["kind"] == kind and event["at"] >= since]

    def _latest(self, kind: str) -> Iterator[Document]:
        """Return the last event of a kind for each window."""
        return iter({_about(event): event for event in self._events(kind)}.values())

    def _since(self, kind: str) -> float:
        return max(self._memory.since.get(kind, self._now), self._now - OLD_SECONDS)

    def _limit(self, event: Document) -> Document | None:
        account = self._accounts.get(event["account"])
        return account and find_limit(account, event["limit_id"])

    def _is_full(self, event: Document) -> bool:
        window = self._windows.get(_about(event))
        return window is None or (window.used or 0.0) >= FULL_PERCENT

    def _targets(self, kind: str, about: About, points: float = float("inf")) -> list[str] | None:
        """Return whom to tell of something; None where no rule asks for it."""
        rules = [rule for rule in self._rules if kind in rule.kinds and rule.covers(about)]
        if kind == ELSEWHERE:
            rules = [rule for rule in rules if points >= rule.elsewhere_points]
        return [target for rule in rules for target in rule.targets] if rules else None

    def _was_told(self, mark: SentAlert) -> bool:
        return any(mark.is_of(other) for other in self._memory.told)

    # How it is said

    def _told_by(self, event: Document, text: str, targets: list[str], resets_at: int | None) -> Alert:
        about = _about(event)
        mark = SentAlert(event["kind"], about, None, resets_at, None if resets_at else _rows(event))
        window = self._windows.get(about) or _Window(
            about,
            self._accounts[about.account],
            event,
            event["after"]["used_percent"],
            event["window_minutes"],
            event["after"]["resets_at"],
            reset_unseen=False,
        )
        return self._alert(event["kind"], window, text, targets, [mark], at=event["at"])

    def _alert(
        self,
        kind: str,
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
            limit_name=window.limit["limit_name"],
            window_minutes=window.minutes,
            used_percent=window.used,
            threshold=threshold,
            resets_at=window.resets_at,
            at=self._now if at is None else at,
            text=f"{label(window.account)}: {_window_name(window)} {text}",
            targets=tuple(dict.fromkeys(targets)),
            marks=tuple(marks),
        )

    def _resets(self, at: int | None) -> str:
        return "" if at is None else f", resets {self._when(at)}"

    def _when(self, at: float | None) -> str:
        """Write a moment as it is clear in a message that may be read hours later: ``Tue 14:00``."""
        if at is None:
            return "at a time not told"
        written = clock_time(at, self._zone)
        if abs(at - self._now) < _CLEAR_DAYS * DAY:
            day = dt.datetime.fromtimestamp(at, self._zone)
            return f"{_WEEKDAYS[day.weekday()]} {written.rpartition(' ')[2]}"
        return written


def _says_more(reached: Alert, passed: Alert) -> bool:
    return reached.about == passed.about and set(passed.targets) <= set(reached.targets)


def _window_name(window: _Window) -> str:
    """Return what a window's limit is called in a sentence: ``7 d limit``, ``limit of GPT-5.3-Codex-Spark``."""
    length = "" if window.about.slot is None else f"{window_length(window.about.slot, window.minutes)} "
    return f"{length}limit{limit_prefix(window.limit)}"


def _about(event: Document) -> About:
    return About(event["account"], event["limit_id"], event["slot"])


def _rows(event: Document) -> tuple[int, int]:
    return event["before"]["id"], event["after"]["id"]


def _is_closed(limit: Document) -> bool:
    return limit["blocked_by"] is not None or limit["on_credits"] or bool(limit["limit_reached"])


def _is_current(window: _Window, reading: Document) -> bool:
    """Tell whether a reading is of the run that goes on."""
    if window.reset_unseen:
        return False
    unknown = window.resets_at is None or reading["resets_at"] is None
    return unknown or same_reset(window.resets_at, reading["resets_at"])


def _runs_dry(window: _Window, told: Document) -> bool:
    if window.reset_unseen or window.used is None or window.used >= FULL_PERCENT:
        return False
    dry_at, resets_at, chance = told["runs_dry_at"], told["resets_at"], told["chance_dry"]
    known = dry_at is not None and resets_at is not None and chance is not None
    return bool(known and chance >= LIKELY and dry_at < resets_at)
