"""How much of a window was used in each hour?

Pure: samples of a window's used percent in, points by the hour out. Moments are Unix seconds in samples, and hours
after the first hour that is looked at in a `Past`; percent and points are of the window.

A reset is no negative use. A rise between readings that followed each other closely is spread over the time between;
one across a silence belongs to the turn that ran on into it, as far as one turn explains it, else to others who used
the limit meanwhile. Hours in which the window was full are unknown, not idle: they are filled from the hour before and
from the same hour of other days.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from math import exp, log, sqrt
from typing import TYPE_CHECKING, NamedTuple

from store.constants import FULL_PERCENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

HOUR, DAY_HOURS, MINUTE = 3_600.0, 24, 60.0

HISTORY_DAYS = 28
"""How far back use is looked at."""

_NEW_DAY_HOUR = 5
"""The hour (local) at which one day's work is over and the next has not begun."""

_SILENCE_SECONDS = 30 * MINUTE
"""Readings so far apart have a silence between them, in which somebody else may have used the limit."""

TURN_SECONDS, _TURN_POINTS = 10 * MINUTE, 1.0
"""How long the turn runs on that a reading came with, and what it may use before the next reading says so."""

_SILENCE, _TURN = _SILENCE_SECONDS / HOUR, TURN_SECONDS / HOUR
_SAME_RESET_SECONDS = 600.0
"""Resets closer than this are one (the server's clock and rounding); a real one moves by hours."""


class UsageSample(NamedTuple):
    """A window's figures as they stood from `at` (the first reading that said so) to `until` (the last)."""

    at: float
    until: float
    used_percent: float
    resets_at: float | None


def usable_samples(samples: Sequence[UsageSample], now: float) -> list[UsageSample]:
    """Return the samples up to `now`; where the clock stepped back, what came later stands for that time."""
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


class _Gap(NamedTuple):
    """A stretch without readings, in hours, and the points that others used in it; None where no reading told."""

    begin: float
    end: float
    points: float | None


class HourlyUsage:
    """Use by the hour of local time, with a running total to look stretches up in."""

    def __init__(self, known: Sequence[UsageSample], now: float, length: float, utc_offset: float) -> None:
        """Take in samples of `in_order` of a window of `length` seconds; there is at least one."""
        since = max(known[0].at, now - HISTORY_DAYS * DAY_HOURS * HOUR)
        self.start = int((since + utc_offset) // HOUR)
        """The first hour, counted from 1970, local."""
        self.here = (now + utc_offset) / HOUR - self.start
        """Now."""
        self.seen_hours = (now - since) / HOUR
        self.since_seen = 0.0
        """Points that others may have used since the last reading."""
        hours = int(self.here) + 1
        self.weekend = [self.is_weekend(index) for index in range(hours)]
        self.used = [0.0] * hours
        self.unknown = [0.0] * hours
        silences = self._spread_all(known, length, self.start * HOUR - utc_offset)
        self._fill_silences(silences, self.here - (now - known[-1].until) / HOUR)
        self._fill_unknown()
        self.total = list(accumulate(self.used, initial=0.0))

    def _spread_all(self, known: Sequence[UsageSample], length: float, origin: float) -> list[_Gap]:
        """Spread all rises over the time in which they came about; return the silences."""
        pairs = [(old, new, _is_reset(old, new)) for old, new in pairwise(known)]
        turn = _usual_turn(pairs)
        found: list[_Gap] = []
        for old, new, reset in pairs:
            begin, until, end = (old.at - origin) / HOUR, (old.until - origin) / HOUR, (new.at - origin) / HOUR
            if reset:
                begun = end if new.resets_at is None else (new.resets_at - length - origin) / HOUR
                begun = min(max(begun, begin), end)
                over = begun if old.resets_at is None else min(max((old.resets_at - origin) / HOUR, begin), begun)
                found += self._lose(old, begin, until, over)
                self._spread(begun, end, new.used_percent)
            elif old.used_percent >= FULL_PERCENT:
                self._forget(begin, end)
            elif end - until > _SILENCE:
                found.append(self._across(begin, until, end, max(new.used_percent - old.used_percent, 0.0), turn))
            else:
                self._spread(begin, end, new.used_percent - old.used_percent)
        return found

    def _across(self, begin: float, until: float, end: float, points: float, turn: float) -> _Gap:
        """Spread a rise across a silence: what one turn does not explain was used by others meanwhile."""
        first = min(points, turn)
        working = min(until + _TURN, end)
        self._spread(begin, working, first)
        self._spread(working, end, points - first)
        return _Gap(working, end, points - first)

    def _lose(self, old: UsageSample, begin: float, until: float, reset: float) -> Iterator[_Gap]:
        """Note that a window's last points before its reset were not told."""
        if old.used_percent >= FULL_PERCENT or until >= reset:
            self._forget(begin, reset)
            return
        working = min(until + _TURN, reset)
        self._forget(until, working)
        if reset - until > _SILENCE:
            yield _Gap(working, reset, None)
        else:
            self._forget(working, reset)

    def _fill_silences(self, silences: Sequence[_Gap], seen: float) -> None:
        """Take it that others use the limit in silences that told nothing, this one too, as in those that did."""
        told = [silence for silence in silences if silence.points is not None]
        points = sum(silence.points or 0.0 for silence in told)
        rate = points / max(sum(silence.end - silence.begin for silence in told), _SILENT_HOURS)
        for silence in silences:
            if silence.points is None:
                self._spread(silence.begin, silence.end, rate * (silence.end - silence.begin))
        begin = seen + _TURN
        if self.here - seen > _SILENCE:
            self.since_seen = rate * (self.here - begin)
            self._spread(begin, self.here, self.since_seen)

    def _spread(self, begin: float, end: float, points: float) -> None:
        if points <= 0 or end < 0:
            return
        index = int(end)
        if index <= begin or end - begin < 1e-6:
            self.used[min(index, len(self.used) - 1)] += points
            return
        rate = points / (end - begin)
        for index, share in self._bins(begin, end):
            self.used[index] += rate * share

    def _forget(self, begin: float, end: float) -> None:
        for index, share in self._bins(begin, end):
            self.unknown[index] = min(1.0, self.unknown[index] + share)

    def _bins(self, begin: float, end: float) -> Iterator[tuple[int, float]]:
        """Yield each hour of a stretch, and how much of it lies in the stretch."""
        at = max(begin, 0.0)
        end = min(end, self.here)
        while at < end:
            index = min(int(at), len(self.used) - 1)
            upper = min(index + 1.0, end)
            if upper <= at:
                return
            yield index, upper - at
            at = upper

    def _fill_unknown(self) -> None:
        """Fill what is not known from the hour before and from the same hour of such days."""
        if not any(self.unknown):
            return
        rates = self._rates_by_hour()
        before = 0.0
        for index, unknown in enumerate(self.unknown):
            if unknown > 0:
                usual = rates[self.weekend[index]][(self.start + index) % DAY_HOURS]
                self.used[index] += unknown * (usual + (before - usual) * _FADE)
            before = self.used[index]

    def _rates_by_hour(self) -> tuple[list[float], list[float]]:
        """Return the points of each hour of a weekday and of a weekend's day, drawn to the mean where few tell."""
        points, days = ([[0.0] * DAY_HOURS for _ in range(2)] for _ in range(2))
        for index, (used, unknown) in enumerate(zip(self.used, self.unknown, strict=True)):
            kind, hour = self.weekend[index], (self.start + index) % DAY_HOURS
            points[kind][hour] += used
            days[kind][hour] += 1 - unknown
        mean = sum(map(sum, points)) / max(sum(map(sum, days)), 1.0)
        # A day of neither kind stands for one that was seldom seen.
        either = [(a + b + mean) / (c + d + 1) for a, b, c, d in zip(*points, *days, strict=True)]
        weekday, weekend = (
            [(p + usual) / (d + 1) for p, d, usual in zip(points[kind], days[kind], either, strict=True)]
            for kind in range(2)
        )
        return weekday, weekend

    def known_share(self, begin: float, length: float) -> float:
        """Return how much of a stretch is known, from 0 to 1."""
        first, last = int(begin), min(int(begin + length) + 1, len(self.unknown))
        return 1 - sum(self.unknown[first:last]) / max(last - first, 1)

    def at(self, position: float) -> float:
        """Return the points used up to a position, in hours after the start."""
        if position <= 0:
            return 0.0
        if position >= self.here:
            return self.total[-1]
        index = int(position)
        # The last hour is not over: its points came in what has passed of it.
        width = self.here - index if index == len(self.used) - 1 else 1.0
        return self.total[index] + (position - index) / width * self.used[index]

    def pace(self) -> float:
        """Answer "how many points an hour, while somebody works?", of the last day and mostly of its last hours."""
        last = len(self.used) - 1
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
            length = max(self.here - last, 1e-3) if age == 0 else 1.0
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
        """Tell whether a day's work that goes on at a position is a Saturday's or Sunday's."""
        return (int(self.start + position - _NEW_DAY_HOUR) // DAY_HOURS + 3) % 7 >= 5

    def level_spread(self) -> float:
        """Answer "how far may the days to come be off those that were?", as the spread of a factor's logarithm."""
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

    def likened(self, start: float) -> float:
        """Answer "how much more is used now than was before `start`?", as a factor; 1 where either is idle."""
        now = self.at(self.here) - self.at(self.here - _LIKE_HOURS)
        then = self.at(start) - self.at(start - _LIKE_HOURS)
        if now <= 0 or then <= 0:
            return 1.0
        return exp(max(-log(_MAX_LIKENED), min(log(_MAX_LIKENED), _LIKE_POWER * log(now / then))))

    def crossing(self, begin: float, end: float, points: float) -> float:
        """Return the hours after `begin` at which so many points were used; they are by `end`."""
        wanted = self.at(begin) + points
        low, high = begin, end
        for _ in range(12):
            middle = (low + high) / 2
            low, high = (middle, high) if self.at(middle) < wanted else (low, middle)
        return high - begin


_SILENT_HOURS = 12.0
"""So many hours of silence are needed before a rise in them is taken for a habit."""

_LIKE_HOURS, _LIKE_POWER, _MAX_LIKENED = 2.0, 0.8, 2.5
"""Over how long a level is taken, how much of a difference in it stays, and the most by which it changes anything."""

_FADE = exp(-0.5)
"""How much of an hour's pace is left in the next one."""

_LEVEL_FIRST, _LEVEL_PRIOR, _LEVEL_DAYS, _LEVEL_LASTING = 0.5, 0.1, 3.0, 0.04
"""How far a day is off the mean before days tell, how many days that weighs, and how far what is to come may be off
what was: as the mean of so many days is, and by as much again however many there were (in shares of a day's variance).
"""

_PACE_HOURS, _PACE_HALF_HOURS, _PACE_LEAST, _PACE_SHORTEST = 24, 2.0, 0.25, 0.25


def _usual_turn(pairs: Iterable[tuple[UsageSample, UsageSample, bool]]) -> float:
    """Return the points that the turn usually takes that runs on into a silence.

    That is what rises across short silences, where others have little time to add to it, and no more than half an hour
    of work takes.
    """
    silences = []
    points = seconds = 0.0
    for old, new, reset in pairs:
        if reset:
            continue
        rise = new.used_percent - old.used_percent
        if new.at - old.until > _SILENCE_SECONDS:
            silences.append((new.at - old.until, rise))
        else:
            points += rise
            seconds += new.at - old.at
    silences.sort()
    rises = sorted(rise for _, rise in silences[: (len(silences) + 1) // 2])
    most = points / seconds * _SILENCE_SECONDS if seconds else 0.0
    return max(_TURN_POINTS, min(most, rises[len(rises) // 2])) if rises else _TURN_POINTS


def _is_reset(old: UsageSample, new: UsageSample) -> bool:
    if old.resets_at is None or new.resets_at is None:
        return new.used_percent < old.used_percent
    if old.used_percent == 0:
        # The reset of an unused window slides: nothing was lost.
        return False
    return new.resets_at - old.resets_at > _SAME_RESET_SECONDS
