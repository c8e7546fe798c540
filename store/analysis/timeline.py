"""The used percent of a limit's windows over time, thinned to the columns of a chart.

Pure functions over rows of `snapshots` in the order of arrival. A reading holds until the next one, or until the
window's reset: between that reset and the next reading the value is unknown and taken for 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from store.analysis.limit_status import slots
from store.reset_times import is_overdue
from store.transitions import Transition, TransitionKind, WindowReading, transition

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from store.analysis.limit_status import Row, WindowRow


class Bucket(NamedTuple):
    """A window's used percent within one column: the least, the greatest, and the last value.

    ``unseen`` is true where all of the column follows a reset that no reading has confirmed yet.
    """

    low: float
    high: float
    last: float
    unseen: bool


class Reset(NamedTuple):
    """A reset of a window (Unix seconds); ``unseen`` where it was only due, and no reading has confirmed it."""

    at: float
    unseen: bool


class SeenWindows(NamedTuple):
    """The windows of a limit by slot, and when they were first and last seen so (Unix seconds)."""

    first_seen_at: float
    last_seen_at: float
    windows: Mapping[str, WindowRow]


def window_resets(readings: Iterable[SeenWindows], until: float) -> list[tuple[str, Reset]]:
    """Return the resets of the windows of a limit up to `until`, each with the slot of its window.

    The readings are those of one limit, without late ones, in the order of arrival.
    """
    found: list[tuple[str, Reset]] = []
    last: Mapping[str, WindowRow] = {}
    left_at = 0.0
    for first_seen_at, last_seen_at, windows in readings:
        for slot, window in windows.items():
            before = last.get(slot)
            if before is not None and _may_be_reset(before, window):
                was = _reading(before, left_at)
                change = transition(was, _reading(window, first_seen_at))
                if change.is_reset:
                    found.append((slot, Reset(_reset_at(change, _due(was), left_at, first_seen_at), unseen=False)))
        last, left_at = windows, last_seen_at
    for slot, window in last.items():
        due = _due(_reading(window, left_at)) if window.used_percent else None
        if due is not None and due <= until:
            found.append((slot, Reset(due, unseen=True)))
    return found


def _may_be_reset(before: WindowRow, after: WindowRow) -> bool:
    """Return False for what nearly all readings are: the window goes on, or nothing was used that a reset returns."""
    return bool(
        before.used_percent
        and after.used_percent is not None
        and (after.used_percent < before.used_percent or after.resets_at != before.resets_at)
    )


def _reading(window: WindowRow, seen_at: float) -> WindowReading:
    return WindowReading(window.used_percent or 0.0, window.window_minutes, window.resets_at, seen_at)


@dataclass
class WindowTimeline:
    """A window over time: a value for each column (None where unknown), its resets, the number of readings."""

    window_minutes: int | None
    columns: list[Bucket | None]
    resets: list[Reset] = field(default_factory=list)
    readings: int = 0
    peak: float = 0.0
    now: float | None = None


class Axis(NamedTuple):
    """The time axis of a timeline: so many columns from `begin` to `end` (Unix seconds).

    With a `bucket`, in seconds, each column begins at a multiple of it, so columns differ by up to a bucket; `begin` is
    a multiple then.
    """

    begin: float
    end: float
    columns: int
    bucket: int = 0

    @property
    def scale(self) -> float:
        """Columns for each second."""
        return self.columns / max(self.end - self.begin, 1.0)

    def column(self, at: float) -> int:
        """Return the column of a timestamp; the first or last one for those before or after all columns."""
        if self.bucket:
            at = at // self.bucket * self.bucket
        return max(0, min(self.columns - 1, int((at - self.begin) * self.scale)))

    def column_end(self, column: int) -> float:
        """Return when a column ends."""
        at = self.begin + (column + 1) / self.scale
        return math.floor(at / self.bucket) * self.bucket if self.bucket else at


def window_timelines(rows: Iterable[Row], axis: Axis) -> dict[str, WindowTimeline]:
    """Return the timeline of each window of a limit by slot.

    The rows are those of one limit, without late ones, in the order of arrival; rows from before the axis give the
    value at its beginning. Each has its ``number``: that of the readings that it stands for. Memory is bounded by the
    columns and the resets, however many rows there are.
    """
    found: dict[str, _TimelineBuilder] = {}
    for row in rows:
        at = row["first_seen_at"]
        seen_at = row["last_seen_at"]
        number = row["number"]
        reported = dict(slots(row))
        for slot, window in reported.items():
            builder = found.get(slot)
            if builder is None:
                builder = found[slot] = _TimelineBuilder(axis)
            if not builder.add_rising(window, at, seen_at, number):
                builder.add(window, at, seen_at, number)
        if len(reported) < len(found):
            for slot in found.keys() - reported.keys():
                found[slot].end(at)
    for builder in found.values():
        builder.advance(axis.end)
    return {slot: builder.timeline for slot, builder in found.items() if any(builder.timeline.columns)}


class _TimelineBuilder:
    """The timeline of one window, built reading by reading."""

    def __init__(self, axis: Axis) -> None:
        self.timeline = WindowTimeline(None, [None] * axis.columns)
        self._axis = axis
        self._begin = axis.begin
        self._end = axis.end
        self._at = 0.0
        self._used: float | None = None
        self._resets_at: float | None = None
        self._unseen = False
        self._reading: WindowReading | None = None
        self._bucket_end_at = 0.0

    def add_rising(self, window: WindowRow, at: float, seen_at: float, number: int) -> bool:
        """Accept a reading that only raises the value within the current bucket; return False if it does not.

        This is the fast path of nearly all readings. It draws nothing: the next reading of the slow path, or the end,
        draws how far the value rose.
        """
        used = window.used_percent
        if (
            used is None
            or self._used is None
            or used < self._used
            or window.resets_at != self._resets_at
            or at < self._at
            or seen_at >= self._bucket_end_at
        ):
            return False
        self._used, self._at = used, max(at, seen_at)
        self._reading = WindowReading(used, window.window_minutes, window.resets_at, seen_at)
        self.timeline.readings += number
        return True

    def add(self, window: WindowRow, at: float, seen_at: float, number: int) -> None:
        """Add a reading that held from `at` to `seen_at`, and stands for so many."""
        if window.used_percent is None:
            self.end(at)
            return
        reading = WindowReading(window.used_percent, window.window_minutes, window.resets_at, at)
        self._pass_to(at, reading)
        self._used, self._reading = window.used_percent, reading._replace(seen_at=seen_at)
        self._hold(self._used, self._at, max(self._at, seen_at))
        self._resets_at = _due(self._reading)
        self.timeline.window_minutes = window.window_minutes or self.timeline.window_minutes
        if seen_at >= self._begin and at <= self._end:
            self.timeline.readings += number
        self._bucket_end_at = self._bucket_end()

    def advance(self, to: float) -> None:
        """Move on to a timestamp that no reading follows; a reset on the way empties the window."""
        to = max(to, self._at)
        if self._used is not None and self._resets_at is not None and self._at < self._resets_at <= to:
            self._empty(self._resets_at, unseen=True)
        if self._used is not None:
            self._hold(self._used, self._at, to)
        self._at = to

    def _pass_to(self, at: float, reading: WindowReading) -> None:
        """Move on to the next reading, which says what happened on the way."""
        before = self._reading
        change = None if before is None or self._used is None else transition(before, reading)
        if before is not None and change is not None and change.is_reset and before.used_percent:
            self._empty(_reset_at(change, self._resets_at, self._at, at), unseen=False)
        to = max(at, self._at)
        if self._used is not None:
            self._hold(self._used, self._at, to)
        self._at, self._unseen = to, False

    def _empty(self, at: float, *, unseen: bool) -> None:
        """Note a reset: the window is empty from then on."""
        if self._used is not None:
            self._hold(self._used, self._at, at)
        if self._used and self._begin <= at <= self._end:
            self.timeline.resets.append(Reset(at, unseen))
        self._used, self._unseen, self._resets_at = 0.0, True, None

    def end(self, at: float) -> None:
        """Note that nothing is known of the window from a timestamp on."""
        self.advance(at)
        self._used, self._resets_at, self._unseen, self._reading = None, None, False, None
        self.timeline.now = None

    def _bucket_end(self) -> float:
        """Return the end of the current bucket, or the reset if that comes first."""
        if self._resets_at is None or not self._begin <= self._at < self._end:
            return 0.0
        return min(self._resets_at, self._axis.column_end(self._axis.column(self._at)))

    def _hold(self, used: float, start: float, stop: float) -> None:
        """Draw a value from `start` to `stop`."""
        self._at = max(self._at, stop)
        if stop < self._begin or start > self._end:
            return
        self.timeline.now = used
        self.timeline.peak = max(self.timeline.peak, used)
        first_column, last_column = self._axis.column(start), self._axis.column(stop)
        self._draw(first_column, used)
        flat = Bucket(used, used, used, self._unseen)
        for column in range(first_column + 1, last_column + 1):
            self.timeline.columns[column] = flat

    def _draw(self, column: int, used: float) -> None:
        there = self.timeline.columns[column]
        if there is None:
            self.timeline.columns[column] = Bucket(used, used, used, self._unseen)
        else:
            unseen = there.unseen and self._unseen
            self.timeline.columns[column] = Bucket(min(there.low, used), max(there.high, used), used, unseen)


def _reset_at(change: Transition, due: float | None, left_at: float, seen_at: float) -> float:
    """Return when a window was reset: when it was due between two readings, else when the later one was seen."""
    on_time = change.kind is TransitionKind.RESET and due is not None and left_at < due <= seen_at
    return due if on_time and due is not None else seen_at


def _due(reading: WindowReading) -> float | None:
    """Return when the window of a reading empties; without a reported reset, after its length."""
    if reading.resets_at is not None:
        # Reported after its own reset: that one did not take place.
        return None if is_overdue(reading.resets_at, reading.seen_at) else reading.resets_at
    return None if reading.window_minutes is None else reading.seen_at + reading.window_minutes * 60
