"""The used percent of a limit's windows over time, thinned to the columns of a chart.

Pure functions over rows of `snapshots` in the order of arrival. A reading holds until the next one, or until the
window's reset: between that reset and the next reading the value is unknown and taken for 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from store.analysis.limit_status import slots
from store.constants import RESET_JITTER_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

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


@dataclass
class WindowTimeline:
    """A window over time: a value for each column (None where unknown), its resets, the number of readings."""

    window_minutes: int | None
    columns: list[Bucket | None]
    resets: list[Reset] = field(default_factory=list)
    readings: int = 0
    peak: float = 0.0
    now: float | None = None


def window_timelines(rows: Iterable[Row], begin: float, end: float, columns: int) -> dict[str, WindowTimeline]:
    """Return the timeline of each window of a limit by slot, from `begin` to `end`, in so many columns.

    The rows are those of one limit, without late ones, in the order of arrival; rows from before `begin` give the value
    at `begin`. Memory is bounded by the columns and the resets, however many rows there are.
    """
    found: dict[str, _TimelineBuilder] = {}
    for row in rows:
        at = row["first_seen_at"]
        seen_at = row["last_seen_at"]
        reported = dict(slots(row))
        for slot, window in reported.items():
            builder = found.get(slot)
            if builder is None:
                builder = found[slot] = _TimelineBuilder(begin, end, columns)
            if not builder.add_rising(window, at, seen_at):
                builder.add(window, at, seen_at)
        if len(reported) < len(found):
            for slot in found.keys() - reported.keys():
                found[slot].end(at)
    for builder in found.values():
        builder.advance(end)
    return {slot: builder.timeline for slot, builder in found.items() if any(builder.timeline.columns)}


class _TimelineBuilder:
    """The timeline of one window, built reading by reading."""

    def __init__(self, begin: float, end: float, columns: int) -> None:
        self.timeline = WindowTimeline(None, [None] * columns)
        self._begin = begin
        self._end = end
        self._scale = columns / max(end - begin, 1.0)
        self._at = 0.0
        self._used: float | None = None
        self._resets_at: float | None = None
        self._unseen = False
        self._bucket_end_at = 0.0

    def add_rising(self, window: WindowRow, at: float, seen_at: float) -> bool:
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
        self.timeline.readings += 1
        return True

    def add(self, window: WindowRow, at: float, seen_at: float) -> None:
        """Add a reading that held from `at` to `seen_at`."""
        if window.used_percent is None:
            self.end(at)
            return
        self.advance(at)
        if self._was_reset(window):
            # A reset that passed unseen was noted when it was due.
            if self._unseen:
                self._confirm()
            else:
                self._note_reset(at, unseen=False)
        self._used, self._unseen = window.used_percent, False
        self._hold(self._used, self._at, max(self._at, seen_at))
        self._resets_at = _due(window, seen_at)
        self.timeline.window_minutes = window.window_minutes or self.timeline.window_minutes
        self._count(at, seen_at)
        self._bucket_end_at = self._bucket_end()

    def advance(self, to: float) -> None:
        """Move on to a timestamp; a reset on the way empties the window."""
        to = max(to, self._at)
        if self._used is not None and self._resets_at is not None and self._at < self._resets_at <= to:
            self._hold(self._used, self._at, self._resets_at)
            if self._used:
                self._note_reset(self._resets_at, unseen=True)
            self._used, self._unseen, self._resets_at = 0.0, True, None
        if self._used is not None:
            self._hold(self._used, self._at, to)
        self._at = to

    def end(self, at: float) -> None:
        """Note that nothing is known of the window from a timestamp on."""
        self.advance(at)
        self._used, self._resets_at, self._unseen = None, None, False
        self.timeline.now = None

    def _was_reset(self, window: WindowRow) -> bool:
        if self._used is None or window.used_percent is None:
            return False
        if self._unseen:
            return True
        if self._resets_at is None or window.resets_at is None:
            return window.used_percent < self._used
        return window.used_percent < self._used and window.resets_at > self._resets_at + RESET_JITTER_SECONDS

    def _note_reset(self, at: float, *, unseen: bool) -> None:
        if self._begin <= at <= self._end:
            self.timeline.resets.append(Reset(at, unseen))

    def _confirm(self) -> None:
        if self.timeline.resets and self.timeline.resets[-1].unseen:
            self.timeline.resets[-1] = self.timeline.resets[-1]._replace(unseen=False)

    def _bucket_end(self) -> float:
        """Return the end of the current bucket, or the reset if that comes first."""
        if self._resets_at is None or not self._begin <= self._at < self._end:
            return 0.0
        column = int((self._at - self._begin) * self._scale)
        return min(self._resets_at, self._begin + (column + 1) / self._scale)

    def _count(self, at: float, seen_at: float) -> None:
        if seen_at >= self._begin and at <= self._end:
            self.timeline.readings += 1

    def _hold(self, used: float, start: float, stop: float) -> None:
        """Draw a value from `start` to `stop`."""
        self._at = max(self._at, stop)
        if stop < self._begin or start > self._end:
            return
        self.timeline.now = used
        self.timeline.peak = max(self.timeline.peak, used)
        last = len(self.timeline.columns) - 1
        first_column = max(0, min(last, int((start - self._begin) * self._scale)))
        last_column = max(0, min(last, int((stop - self._begin) * self._scale)))
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


def _due(window: WindowRow, seen_at: float) -> float | None:
    """Return when the window empties; without a reported reset, after its length."""
    if window.resets_at is not None:
        # Seen after its own reset: the clocks differ a little, and the next reset counts.
        return window.resets_at if window.resets_at > seen_at else None
    return None if window.window_minutes is None else seen_at + window.window_minutes * 60
