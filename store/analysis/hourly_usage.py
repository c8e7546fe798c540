"""The usage of a window by the hour.

Pure: samples of a window's used percent in, points by the hour out. Times are Unix seconds in samples, and hours since
the first hour in `HourlyUsage`; percentages and points are of the window.

A reset is not negative use. An increase between close readings is spread over the time between them. An increase across
a gap without readings belongs to the turn that ran into the gap, as far as one turn explains it, else to other clients
that used the limit meanwhile. Hours in which the window was full are unknown, not idle: they are filled from the hour
before and from the same hour of other days.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from math import exp, log, sqrt
from typing import TYPE_CHECKING, NamedTuple

from store.constants import is_full
from store.transitions import WindowReading, transition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

HOUR, DAY_HOURS, MINUTE = 3_600.0, 24, 60.0

HISTORY_DAYS = 28
"""The days of history that count."""

_NEW_DAY_HOUR = 5
"""The local hour at which one day's work has ended and the next has not begun."""

_GAP_SECONDS = 30 * MINUTE
"""Readings further apart have a gap between them, in which other clients may have used the limit."""

TURN_SECONDS, _TURN_POINTS = 10 * MINUTE, 1.0
"""How long the turn that a reading came with may run on, and the points that it may use before the next reading."""

_GAP_HOURS, _TURN_HOURS = _GAP_SECONDS / HOUR, TURN_SECONDS / HOUR


class UsageSample(NamedTuple):
    """A window's values from `at` (the first reading that reported them) to `until` (the last)."""

    at: float
    until: float
    used_percent: float
    resets_at: float | None


def usable_samples(samples: Sequence[UsageSample], now: float) -> list[UsageSample]:
    """Return the samples up to `now`; where the clock was set back, later samples replace those of the same time."""
    known: list[UsageSample] = []
    for sample in samples:
        if sample.at > now:
            continue
        while known and known[-1].at >= sample.at:
            known.pop()
        if known and known[-1].until > sample.at:
            known[-1] = known[-1]._replace(until=sample.at)
        known.append(sample if sample.until <= now else sample._replace(until=now))
    return known


_Change = tuple[UsageSample, UsageSample, float, bool]
"""Two consecutive samples, the points used between them, and whether the last ones before a reset were lost.

A plain tuple: there are thousands.
"""


class _Gap(NamedTuple):
    """A time without readings, in hours, and the points that others used in it; None where unknown."""

    begin: float
    end: float
    points: float | None


class HourlyUsage:
    """Usage by the hour of local time, with a running total for looking up stretches."""

    def __init__(self, known: Sequence[UsageSample], now: float, length: float, utc_offset: float) -> None:
        """Spread the samples over hours.

        Args:
            known: the samples of `usable_samples`, at least one.
            now: in Unix seconds.
            length: that of the window, in seconds.
            utc_offset: that of the local day, in seconds.
        """
        since = max(known[0].at, now - HISTORY_DAYS * DAY_HOURS * HOUR)
        self.start = int((since + utc_offset) // HOUR)
        """The first hour, in local hours since 1970."""
        self.here = (now + utc_offset) / HOUR - self.start
        """The present, in hours since the start."""
        self.seen_hours = (now - since) / HOUR
        self.since_seen = 0.0
        """Points that others may have used since the last reading."""
        hours = int(self.here) + 1
        working_days = range(self.start - _NEW_DAY_HOUR, self.start - _NEW_DAY_HOUR + hours)
        self.weekend = [(hour // DAY_HOURS + 3) % 7 >= 5 for hour in working_days]  # 1970 began on a Thursday
        self._last = hours - 1
        self.used = [0.0] * hours
        self.unknown = [0.0] * hours
        gaps = self._spread_all(known, length, self.start * HOUR - utc_offset)
        self.unknown = [min(1.0, unknown) for unknown in self.unknown]
        self._has_unknown = any(self.unknown)
        self._fill_gaps(gaps, self.here - (now - known[-1].until) / HOUR)
        self._fill_unknown()
        self._stretches: dict[tuple[float, float], float] = {}
        self.total = list(accumulate(self.used, initial=0.0))

    def _spread_all(self, known: Sequence[UsageSample], length: float, origin: float) -> list[_Gap]:
        """Spread all increases over the time in which they arose; return the gaps."""
        pairs = _changes(known, length)
        turn = _usual_turn(pairs)
        found: list[_Gap] = []
        end = (known[0].at - origin) / HOUR
        for old, new, points, lost in pairs:
            _, seen_until, was, _ = old
            begin, until, end = end, (seen_until - origin) / HOUR, (new[0] - origin) / HOUR
            if lost:
                begun = end if new.resets_at is None else (new.resets_at - length - origin) / HOUR
                begun = min(max(begun, begin), end)
                over = begun if old.resets_at is None else min(max((old.resets_at - origin) / HOUR, begin), begun)
                found += self._mark_lost(old, begin, until, over)
                self._spread(begun, end, new.used_percent)
            elif is_full(was):
                self._mark_unknown(begin, end)
            elif end - until > _GAP_HOURS:
                found.append(self._spread_over_gap(begin, until, end, points, turn))
            elif points > 0:
                self._spread(begin, end, points)
        return found

    def _spread_over_gap(self, begin: float, until: float, end: float, points: float, turn: float) -> _Gap:
        """Spread an increase over a gap: what one turn does not explain was used by others meanwhile."""
        first = min(points, turn)
        working = min(until + _TURN_HOURS, end)
        self._spread(begin, working, first)
        self._spread(working, end, points - first)
        return _Gap(working, end, points - first)

    def _mark_lost(self, old: UsageSample, begin: float, until: float, reset: float) -> Iterator[_Gap]:
        """Mark the time before a reset whose last points were never reported."""
        if is_full(old.used_percent) or until >= reset:
            self._mark_unknown(begin, reset)
            return
        working = min(until + _TURN_HOURS, reset)
        self._mark_unknown(until, working)
        if reset - until > _GAP_HOURS:
            yield _Gap(working, reset, None)
        else:
            self._mark_unknown(working, reset)

    def _fill_gaps(self, gaps: Sequence[_Gap], seen: float) -> None:
        """Assume that other clients keep using the limit at their average rate in unknown gaps, the current one too."""
        known = [gap for gap in gaps if gap.points is not None]
        points = sum(gap.points or 0.0 for gap in known)
        rate = points / max(sum(gap.end - gap.begin for gap in known), _MIN_GAP_HOURS)
        for gap in gaps:
            if gap.points is None:
                self._spread(gap.begin, gap.end, rate * (gap.end - gap.begin))
        begin = seen + _TURN_HOURS
        if self.here - seen > _GAP_HOURS:
            self.since_seen = rate * (self.here - begin)
            self._spread(begin, self.here, self.since_seen)

    def _spread(self, begin: float, end: float, points: float) -> None:
        if points <= 0 or end < 0:
            return
        index = int(end)
        if index <= begin or end - begin < 1e-6:
            self.used[min(index, self._last)] += points
            return
        self._add(self.used, begin, end, points / (end - begin))

    def _mark_unknown(self, begin: float, end: float) -> None:
        self._add(self.unknown, begin, end, 1.0)

    def _add(self, hours: list[float], begin: float, end: float, rate: float) -> None:
        """Add a rate per hour to each hour of a stretch, in proportion to the share of the hour in the stretch."""
        at = max(begin, 0.0)
        end = min(end, self.here)
        while at < end:
            index = int(at)
            if index >= self._last:
                hours[self._last] += rate * (end - at)
                return
            upper = index + 1.0
            if upper >= end:
                hours[index] += rate * (end - at)
                return
            hours[index] += rate * (upper - at)
            at = upper

    def _fill_unknown(self) -> None:
        """Fill unknown hours from the hour before and from the same hour of similar days."""
        if not self._has_unknown:
            return
        rates = self._rates_by_hour()
        before = 0.0
        for index, unknown in enumerate(self.unknown):
            if unknown > 0:
                usual = rates[self.weekend[index]][(self.start + index) % DAY_HOURS]
                self.used[index] += unknown * (usual + (before - usual) * _FADE)
            before = self.used[index]

    def _rates_by_hour(self) -> tuple[list[float], list[float]]:
        """Return the points of each hour of weekdays and of weekend days, drawn to the mean where days are few."""
        points, days = ([[0.0] * DAY_HOURS for _ in range(2)] for _ in range(2))
        for index, (used, unknown) in enumerate(zip(self.used, self.unknown, strict=True)):
            kind, hour = self.weekend[index], (self.start + index) % DAY_HOURS
            points[kind][hour] += used
            days[kind][hour] += 1 - unknown
        mean = sum(map(sum, points)) / max(sum(map(sum, days)), 1.0)
        # The average over both kinds of days stands in for a kind that was seldom seen.
        either = [(a + b + mean) / (c + d + 1) for a, b, c, d in zip(*points, *days, strict=True)]
        weekday, weekend = (
            [(p + usual) / (d + 1) for p, d, usual in zip(points[kind], days[kind], either, strict=True)]
            for kind in range(2)
        )
        return weekday, weekend

    def known_share(self, begin: float, length: float) -> float:
        """Return the known share of a stretch, from 0 to 1."""
        if not self._has_unknown:
            return 1.0
        first, last = int(begin), min(int(begin + length) + 1, len(self.unknown))
        return 1 - sum(self.unknown[first:last]) / max(last - first, 1)

    def at(self, position: float) -> float:
        """Return the points used up to a position, in hours since the start."""
        if position <= 0:
            return 0.0
        if position >= self.here:
            return self.total[-1]
        index = int(position)
        part = position - index
        if index == self._last:
            # It is not over: its points belong to the part that has passed.
            part /= self.here - index
        return self.total[index] + part * self.used[index]

    def between(self, begin: float, length: float) -> float:
        """Return the points used in a stretch: its begin as in `at`, its length in hours."""
        stretch = begin, length
        # Kept, because scenarios use the same days again and again.
        found = self._stretches.get(stretch)
        if found is None:
            found = self._stretches[stretch] = self.at(begin + length) - self.at(begin)
        return found

    def pace(self) -> float:
        """Return the points per hour of work, over the last day and mostly its last hours."""
        recent = self.used[-_PACE_HOURS - 1 :]
        positive = [used for used in recent if used > 0]
        if not positive:
            return 0.0
        least = _PACE_LEAST * sum(positive) / len(positive)
        points = hours = 0.0
        weight = 1.0
        for age, used in enumerate(reversed(recent)):
            if used < least:
                continue
            length = max(self.here - self._last, 1e-3) if age == 0 else 1.0
            if age == 0 and length < _PACE_SHORTEST:
                length = _PACE_SHORTEST
            points += weight * used
            hours += weight * length
            weight *= 0.5 ** (length / _PACE_HALF_HOURS)
        return points / hours if hours else 0.0

    def hours_to_new_day(self) -> float:
        """Return the hours from now to the end of this day's work."""
        return DAY_HOURS - (self.start + self.here - _NEW_DAY_HOUR) % DAY_HOURS

    def is_weekend(self, position: float) -> bool:
        """Return True if the working day at a position is a Saturday or Sunday."""
        return (int(self.start + position - _NEW_DAY_HOUR) // DAY_HOURS + 3) % 7 >= 5

    def daily_log_spread(self) -> float:
        """Return how far future days may differ from past ones: the standard deviation of the log of their ratio."""
        kinds: tuple[list[float], list[float]] = ([], [])
        for back in range(1, int(self.here / DAY_HOURS) + 1):
            begin = self.here - DAY_HOURS * back
            kinds[self.is_weekend(begin)].append(self.at(begin + DAY_HOURS) - self.at(begin))
        mean = sum(map(sum, kinds)) / max(len(kinds[0]) + len(kinds[1]), 1)
        if mean <= 0 or mean**2 == 0:  # the square of a tiny mean is 0
            return _LEVEL_FIRST
        number = len(kinds[0]) + len(kinds[1])
        square = sum((total - sum(kind) / len(kind)) ** 2 for kind in kinds for total in kind) / mean**2
        square = (square + _LEVEL_PRIOR * _LEVEL_FIRST**2) / (max(number - sum(map(bool, kinds)), 0) + _LEVEL_PRIOR)
        return sqrt(square * (_LEVEL_DAYS / (number + 1) + _LEVEL_LASTING))

    def activity_ratio(self, start: float) -> float:
        """Return the factor between the use just before now and just before `start`; 1 where either is idle."""
        now = self.at(self.here) - self.at(self.here - _LIKE_HOURS)
        then = self.at(start) - self.at(start - _LIKE_HOURS)
        if now <= 0 or then <= 0:
            return 1.0
        return exp(max(-log(_MAX_RATIO), min(log(_MAX_RATIO), _LIKE_POWER * log(now / then))))

    def crossing(self, begin: float, end: float, points: float) -> float:
        """Return the hours after `begin` at which `points` were used; they were used by `end`."""
        wanted = self.at(begin) + points
        low, high = begin, end
        for _ in range(12):
            middle = (low + high) / 2
            low, high = (middle, high) if self.at(middle) < wanted else (low, middle)
        return high - begin


_MIN_GAP_HOURS = 12.0
"""Hours of gaps required before usage inside gaps is extrapolated."""

_LIKE_HOURS, _LIKE_POWER, _MAX_RATIO = 2.0, 0.8, 2.5
"""The hours that are compared, the exponent that dampens their ratio, and the greatest factor."""

_FADE = exp(-0.5)
"""The share of an hour's pace that continues in the next hour."""

_LEVEL_FIRST, _LEVEL_PRIOR, _LEVEL_DAYS, _LEVEL_LASTING = 0.5, 0.1, 3.0, 0.04
"""The spread of days without data, its weight in days, and the uncertainty of the future: that of the mean of so many
days, plus a part that does not shrink with more days (both in shares of a day's variance).
"""

_PACE_HOURS, _PACE_HALF_HOURS, _PACE_LEAST, _PACE_SHORTEST = 24, 2.0, 0.25, 0.25


def _changes(known: Sequence[UsageSample], length: float) -> list[_Change]:
    """Return what happened between the samples of a window of `length` seconds."""
    minutes = round(length / MINUTE)
    return [_change(old, new, minutes) for old, new in pairwise(known)]


def _change(old: UsageSample, new: UsageSample, minutes: int) -> _Change:
    at, _, was, due_at = old
    seen_at, _, used, resets_at = new
    # Nearly all: with the date that it had, a window that did not fall went on.
    if due_at == resets_at and used >= was:
        return old, new, used - was, False
    # `until` of a sample may cover readings that the sampling left out, which were of the next period.
    found = transition(WindowReading(was, minutes, due_at, at), WindowReading(used, minutes, resets_at, seen_at))
    # Of an unused window no points were lost.
    return old, new, found.points, was > 0 and found.is_reset


def _usual_turn(pairs: Iterable[_Change]) -> float:
    """Return the usual points of a turn that runs into a gap.

    They come from the increases across short gaps, where others have little time to add to them, and are at most those
    of half an hour of work.
    """
    gaps = []
    points = seconds = 0.0
    for old, new, increase, lost in pairs:
        if lost:
            continue
        if new.at - old.until > _GAP_SECONDS:
            gaps.append((new.at - old.until, increase))
        else:
            points += increase
            seconds += new.at - old.at
    gaps.sort()
    increases = sorted(increase for _, increase in gaps[: (len(gaps) + 1) // 2])
    most = points / seconds * _GAP_SECONDS if seconds else 0.0
    return max(_TURN_POINTS, min(most, increases[len(increases) // 2])) if increases else _TURN_POINTS
