"""Was this window reset? The one rule for two readings of a window, for recording and for analysis alike.

`transition` compares two consecutive readings. In the table, **started** means that the later reading has another date
(resets more than a minute apart), and that the window which ends at that date began after the earlier reading was last
seen, less a minute. **Due** means that the date of the earlier reading lies before the later reading, or at most two
minutes after it: the server's clock may be that far from ours. **Fell** means that the used percent is lower than
before. Rows are tried from the top.

========  ======  ===================================  ===========  =======================
started   due     used percent, date                   transition   points used in between
========  ======  ===================================  ===========  =======================
any       any     0 % in both, and the date moved on   SLID         0
                  by about the time between
yes       yes     not fell, and more than can have     NOT_RESET    after - before
                  been used since the due date
yes       yes     any                                  RESET        after
yes       no      fell                                 RESET_EARLY  after
yes       no      not fell                             MOVED        after - before
no        any     fell                                 LOWERED      0
no        yes     not fell, another date               NOT_RESET    after - before
no        no      not fell, another date               MOVED        after - before
no        any     not fell, the same date              SAME         after - before
========  ======  ===================================  ===========  =======================

What "can have been used" is twenty times the even pace of the window: 100 % over its length. Where the length or a date
is unknown, a window that fell and was due is RESET, one that only fell is LOWERED, and any other is SAME. A window
without a date is due once its whole length has passed.

All timestamps are on one clock, in Unix seconds. Nothing here relies on it going forward.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from store.constants import FULL_PERCENT, RESET_JITTER_SECONDS, SKEW_SECONDS

MAX_PACE = 20.0
"""The greatest pace that is thought possible, in even paces of a window."""


class TransitionKind(Enum):
    """What happened to a window between two readings."""

    RESET = "reset"
    """It was reset when it was due."""

    RESET_EARLY = "reset_early"
    """It was reset before it was due."""

    MOVED = "moved"
    """Its date moved, and what was used stayed used."""

    LOWERED = "lowered"
    """The server gave some of the use back."""

    NOT_RESET = "not_reset"
    """It was due, and was not reset: what was used stayed used, and it is due at another date."""

    SAME = "same"
    """It went on."""

    SLID = "slid"
    """Nobody has used it: it has not begun, and its date moves on with the clock."""


class WindowReading(NamedTuple):
    """A reading of a window.

    Of the earlier of two readings ``seen_at`` is when it was last seen, of the later one when it was first seen.
    """

    used_percent: float
    window_minutes: int | None
    resets_at: float | None
    seen_at: float


class Transition(NamedTuple):
    """What happened to a window between two readings, and the points of it that were used in between; at least 0."""

    kind: TransitionKind
    points: float

    @property
    def is_reset(self) -> bool:
        """Whether a new period of the window has begun."""
        return self.kind is TransitionKind.RESET or self.kind is TransitionKind.RESET_EARLY


def transition(before: WindowReading, after: WindowReading) -> Transition:
    """Return what happened to a window between two consecutive readings, by the table above."""
    # Unpacked: this is called for each pair of readings of long histories.
    was, length, due_at, left_at = before
    used, minutes, resets_at, seen_at = after
    minutes = minutes or length or None  # a window of 0 minutes has no length
    if minutes is None or due_at is None or resets_at is None:
        return _of_unknown(before, after, minutes)
    moved = resets_at - due_at
    if -RESET_JITTER_SECONDS <= moved <= RESET_JITTER_SECONDS:
        return _grown(used - was) if used >= was else _LOWERED
    if was == used == 0 and abs(moved - (seen_at - left_at)) <= RESET_JITTER_SECONDS:
        return _SLID
    due = due_at <= seen_at + SKEW_SECONDS
    started = resets_at - minutes * 60 > left_at - RESET_JITTER_SECONDS
    possible = used <= _usable(seen_at - due_at, minutes)
    if started and (used < was or (due and possible)):
        return Transition(TransitionKind.RESET if due else TransitionKind.RESET_EARLY, used)
    if used < was:
        return _LOWERED
    return Transition(TransitionKind.NOT_RESET if due else TransitionKind.MOVED, used - was)


_SAME = Transition(TransitionKind.SAME, 0.0)
_SLID = Transition(TransitionKind.SLID, 0.0)
_LOWERED = Transition(TransitionKind.LOWERED, 0.0)


def _grown(points: float) -> Transition:
    # Most readings repeat the one before.
    return Transition(TransitionKind.SAME, points) if points else _SAME


def _of_unknown(before: WindowReading, after: WindowReading, minutes: int | None) -> Transition:
    """Return the transition of a window whose length, or one of whose dates, is unknown."""
    grown = after.used_percent - before.used_percent
    if grown >= 0:
        return _grown(grown)
    if before.resets_at is not None:
        due = before.resets_at <= after.seen_at + SKEW_SECONDS
    else:
        due = minutes is not None and after.seen_at - before.seen_at >= minutes * 60
    return Transition(TransitionKind.RESET, after.used_percent) if due else _LOWERED


def _usable(seconds: float, minutes: int) -> float:
    """Return the percent of a window that can have been used in a time."""
    return MAX_PACE * FULL_PERCENT * max(0.0, seconds) / (minutes * 60)
