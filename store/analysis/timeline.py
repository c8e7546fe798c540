"""How full a limit's windows were over a stretch of time, thinned to the columns of a picture.

Pure functions over rows of `snapshots` in their order of arrival. A reading holds until the next one, or until the
window's reset: what comes after that, and before the next reading, is not known and taken for 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from store.analysis.limit_status import slots
from store.constants import RESET_JITTER_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from store.analysis.limit_status import WindowRow


class Bucket(NamedTuple):
    """What a window's used percent did within one column: its least, its most, and what it was at the end.

    ``unseen`` tells that all of it lies behind a reset that no reading has confirmed yet.
    """

    low: float
    high: float
    last: float
    unseen: bool


class Reset(NamedTuple):
    """A window that began anew: when (Unix seconds), and whether that was only worked out, not seen."""

    at: float
    unseen: bool


@dataclass
class WindowTimeline:
    """A window over time: a value for each column (None where nothing is known), its resets, how many readings."""

    window_minutes: int | None
    columns: list[Bucket | None]
    resets: list[Reset] = field(default_factory=list)
    readings: int = 0
    peak: float = 0.0
    now: float | None = None


def window_timelines(
    rows: Iterable[Mapping[str, Any]], begin: float, end: float, columns: int
) -> dict[str, WindowTimeline]:
    """Answer "how full was each window of this limit, from `begin` to `end`?", by slot, in so many columns.

    The rows are those of one limit, without late ones, in their order of arrival; those from before `begin` tell where
    a window stood at it. However many rows there are, what is kept is bounded by the columns and the resets.
    """
    found: dict[str, _TimelineBuilder] = {}
    for row in rows:
        at = row["first_seen_at"]
        seen_at = row["last_seen_at"]
        told = dict(slots(row))
        for slot, figures in told.items():
            track = found.get(slot)
            if track is None:
                track = found[slot] = _TimelineBuilder(begin, end, columns)
            if not track.rises(figures, at, seen_at):
                track.see(figures, at, seen_at)
        if len(told) < len(found):
            for slot in found.keys() - told.keys():
                found[slot].end(at)
    for track in found.values():
        track.advance(end)
    return {slot: track.level for slot, track in found.items() if any(track.level.columns)}


class _TimelineBuilder:
    """One window, as it is followed from reading to reading."""

    def __init__(self, begin: float, end: float, columns: int) -> None:
        self.level = WindowTimeline(None, [None] * columns)
        self._begin = begin
        self._end = end
        self._scale = columns / max(end - begin, 1.0)
        self._at = 0.0
        self._used: float | None = None
        self._resets_at: float | None = None
        self._unseen = False
        self._quiet_until = 0.0

    def rises(self, figures: WindowRow, at: float, seen_at: float) -> bool:
        """Take a reading that only goes further up within its column; tell whether it was one.

        Nearly all are. Nothing is drawn for them: the next one that is, or the end, draws how far it went.
        """
        used = figures.used_percent
        if (
            used is None
            or self._used is None
            or used < self._used
            or figures.resets_at != self._resets_at
            or at < self._at
            or seen_at >= self._quiet_until
        ):
            return False
        self._used, self._at = used, max(at, seen_at)
        self.level.readings += 1
        return True

    def see(self, figures: WindowRow, at: float, seen_at: float) -> None:
        """Take a reading that held from `at` to `seen_at`."""
        if figures.used_percent is None:
            self.end(at)
            return
        self.advance(at)
        if self._began_anew(figures):
            # The one that passed unseen is this one, and was noted when it was due.
            if self._unseen:
                self._confirm()
            else:
                self._note_reset(at, unseen=False)
        self._used, self._unseen = figures.used_percent, False
        self._hold(self._used, self._at, max(self._at, seen_at))
        self._resets_at = _due(figures, seen_at)
        self.level.window_minutes = figures.window_minutes or self.level.window_minutes
        self._count(at, seen_at)
        self._quiet_until = self._end_of_quiet()

    def advance(self, to: float) -> None:
        """Let time pass until a moment; a reset on the way empties the window."""
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
        """Note that nothing is known of the window from a moment on."""
        self.advance(at)
        self._used, self._resets_at, self._unseen = None, None, False
        self.level.now = None

    def _began_anew(self, figures: WindowRow) -> bool:
        if self._used is None or figures.used_percent is None:
            return False
        if self._unseen:
            return True
        if self._resets_at is None or figures.resets_at is None:
            return figures.used_percent < self._used
        return figures.used_percent < self._used and figures.resets_at > self._resets_at + RESET_JITTER_SECONDS

    def _note_reset(self, at: float, *, unseen: bool) -> None:
        if self._begin <= at <= self._end:
            self.level.resets.append(Reset(at, unseen))

    def _confirm(self) -> None:
        if self.level.resets and self.level.resets[-1].unseen:
            self.level.resets[-1] = self.level.resets[-1]._replace(unseen=False)

    def _end_of_quiet(self) -> float:
        """Return until when readings fall into the column of now, and before the reset."""
        if self._resets_at is None or not self._begin <= self._at < self._end:
            return 0.0
        column = int((self._at - self._begin) * self._scale)
        return min(self._resets_at, self._begin + (column + 1) / self._scale)

    def _count(self, at: float, seen_at: float) -> None:
        if seen_at >= self._begin and at <= self._end:
            self.level.readings += 1

    def _hold(self, used: float, start: float, stop: float) -> None:
        """Draw a value over a stretch of time."""
        self._at = max(self._at, stop)
        if stop < self._begin or start > self._end:
            return
        self.level.now = used
        self.level.peak = max(self.level.peak, used)
        last = len(self.level.columns) - 1
        first_column = max(0, min(last, int((start - self._begin) * self._scale)))
        last_column = max(0, min(last, int((stop - self._begin) * self._scale)))
        self._draw(first_column, used)
        flat = Bucket(used, used, used, self._unseen)
        for column in range(first_column + 1, last_column + 1):
            self.level.columns[column] = flat

    def _draw(self, column: int, used: float) -> None:
        there = self.level.columns[column]
        if there is None:
            self.level.columns[column] = Bucket(used, used, used, self._unseen)
        else:
            unseen = there.unseen and self._unseen
            self.level.columns[column] = Bucket(min(there.low, used), max(there.high, used), used, unseen)


def _due(figures: WindowRow, seen_at: float) -> float | None:
    """Return when the window empties; one that nobody told a reset of lives no longer than its length."""
    if figures.resets_at is not None:
        # Seen after its own reset: the clocks differ a little, and it is the next one that counts.
        return figures.resets_at if figures.resets_at > seen_at else None
    return None if figures.window_minutes is None else seen_at + figures.window_minutes * 60
