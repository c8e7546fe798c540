"""When does a window run out?

Pure functions over samples of a window's used percent: no clock, no I/O; `now` is an argument, and the same arguments
give the same answer. Moments are Unix seconds, percent go from 0 to 100 (and above: what a window would come to if
nothing stopped it).

The method, in short (docs/forecast.md has it at length, with the figures of its simulation):

1. What rose between samples becomes use by the hour (`store.analysis.hourly_usage`).
2. The rest of today goes as earlier stretches did that began at about this hour, on such a day, and after about as
   much use; whole days after it go as whole earlier days did. Each path drawn so tells where it ends, and where it
   crosses 100.
3. The median of the paths is the point, their 10th and 90th percentile are the range. The less history there is, the
   more of the paths are straight lines with a pace drawn from a wide spread around what little is known.
"""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING, NamedTuple

from store.analysis.hourly_usage import (
    DAY_HOURS,
    HISTORY_DAYS,
    HOUR,
    MINUTE,
    TURN_SECONDS,
    HourlyUsage,
    UsageSample,
    usable_samples,
)
from store.analysis.limit_status import WindowRow, window_status
from store.constants import FULL_PERCENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RANGE = (0.1, 0.9)
"""The percentiles of the paths between which the truth lies in 80 of 100 cases."""

LIKELY = 0.5
"""From which chance on a window is said to run dry before its reset."""

FEW_READINGS = "few readings"
NO_READINGS = "no readings"
RESET_UNSEEN = "reset, not seen since"
NO_RESET_TOLD = "no reset was told"
"""What `Forecast.note` can say; None where there is nothing to add."""

SCENARIOS = 72
"""How many paths are drawn."""

_ENOUGH_SAMPLES, _ENOUGH_HOURS = 6, 1.0
_WEEK_MINUTES = 10_080


class Forecast(NamedTuple):
    """What a window will come to; None is unknown everywhere.

    ``pace_per_hour``: points per hour at work, lately. ``at_reset``: the used percent that it comes to by its reset if
    nothing stops it, above 100 too, with the range that holds the truth in 80 of 100 cases. ``chance_dry``: from 0 to
    1, that it runs dry before its reset. ``safe``: it lasts, and the range says so too. ``runs_dry_at``: when it
    reaches 100 % if it does, None where it is safe; ``runs_dry_low`` and ``runs_dry_high`` hold it in 80 of 100 cases,
    and ``runs_dry_high`` is None where it may as well last. ``readings``: samples that this comes from. ``note``: what
    to know about it, one of the constants above.
    """

    pace_per_hour: float | None = None
    at_reset: float | None = None
    at_reset_low: float | None = None
    at_reset_high: float | None = None
    runs_dry_at: float | None = None
    runs_dry_low: float | None = None
    runs_dry_high: float | None = None
    safe: bool | None = None
    chance_dry: float | None = None
    readings: int = 0
    note: str | None = None


class Scenario(NamedTuple):
    """One way on: points used until the reset, and hours until the remaining points are gone (infinite if never)."""

    points: float
    dry_after: float


def forecast(
    samples: Sequence[UsageSample],
    now: float,
    *,
    window_minutes: int | None,
    utc_offset: float = 0.0,
    paths: int = SCENARIOS,
) -> Forecast:
    """Answer "where will this window stand at its reset, and when does it run dry?".

    `samples` are in the order of their arrival, the newest last, as thin as they come; those after `now` are cut off.
    `utc_offset` (seconds) says where the day begins, `paths` how many ways on are drawn.
    """
    known = usable_samples(samples, now)
    if not known:
        return Forecast(note=NO_READINGS)
    newest = known[-1]
    resets_at = None if newest.resets_at is None else int(newest.resets_at)
    if window_status(WindowRow(newest.used_percent, window_minutes, resets_at), newest.until, now)["reset_unseen"]:
        return Forecast(readings=len(known), note=RESET_UNSEEN)
    if newest.used_percent >= FULL_PERCENT:
        return _exhausted(newest, now, len(known))
    minutes = window_minutes or _WEEK_MINUTES
    return _forecast_open(known, HourlyUsage(known, now, minutes * MINUTE, utc_offset), now, minutes * MINUTE, paths)


def outcome(paths: Sequence[Scenario], used: float, now: float) -> Forecast:
    """Answer "what do these paths say?" for a window that stands at `used` percent."""
    ends = sorted(used + path.points for path in paths)
    dry = sorted(path.dry_after for path in paths)
    crossing = [after for after in dry if after < float("inf")]
    low, high = (_quantile(dry, each) for each in RANGE)
    safe = low == float("inf")
    point = low if safe else max(low, _quantile(crossing, 0.5))
    return Forecast(
        at_reset=_quantile(ends, 0.5),
        at_reset_low=_quantile(ends, RANGE[0]),
        at_reset_high=_quantile(ends, RANGE[1]),
        runs_dry_at=_timestamp(point, now),
        runs_dry_low=_timestamp(low, now),
        runs_dry_high=_timestamp(high, now),
        safe=safe,
        chance_dry=len(crossing) / len(dry),
    )


def _exhausted(newest: UsageSample, now: float, readings: int) -> Forecast:
    used = newest.used_percent
    found = Forecast(None, used, used, used, now, now, now, safe=False, chance_dry=1.0, readings=readings)
    return _without_reset(found) if newest.resets_at is None else found


def _forecast_open(known: Sequence[UsageSample], past: HourlyUsage, now: float, length: float, count: int) -> Forecast:
    """Forecast a window of `length` seconds that is not full."""
    newest = known[-1]
    if newest.used_percent == 0 and past.total[-1] == 0:
        return _complete(outcome([Scenario(0.0, float("inf"))], 0.0, now), known, 0.0, few=False)
    resets_at = now + length if newest.resets_at is None else newest.resets_at
    pace = past.pace()
    # The answer that a reading came with is not yet counted in it.
    unread = pace * min(now - newest.until, TURN_SECONDS / 2) / HOUR
    used = min(newest.used_percent + past.since_seen + unread, FULL_PERCENT)
    average = newest.used_percent / max(now - resets_at + length, HOUR / 4) * HOUR
    way = _Horizon(max(resets_at - now, 0.0) / HOUR, FULL_PERCENT - used, _GRAIN / 2 + unread)
    few = len(known) < _ENOUGH_SAMPLES or past.seen_hours < _ENOUGH_HOURS
    return _complete(outcome(list(_scenarios(past, way, average, pace, count)), used, now), known, pace, few=few)


def _complete(found: Forecast, known: Sequence[UsageSample], pace: float, *, few: bool) -> Forecast:
    """Complete a forecast: what is not known is not claimed."""
    note = FEW_READINGS if few or len(known) < _ENOUGH_SAMPLES else None
    safe = None if few and found.safe else found.safe
    found = found._replace(pace_per_hour=pace, safe=safe, readings=len(known), note=note)
    if known[-1].resets_at is None:
        return _without_reset(found)
    return found


def _without_reset(found: Forecast) -> Forecast:
    note = found.note or NO_RESET_TOLD
    return found._replace(at_reset=None, at_reset_low=None, at_reset_high=None, note=note)


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _timestamp(after: float, now: float) -> float | None:
    return None if after == float("inf") else now + after * HOUR


# Ways on


_SHIFTS = (0, -1, 1, -2, 2, -3, 3)
_SHIFT_WEIGHT, _OTHER_DAY_WEIGHT, _FORGET_DAYS = 0.8, 0.25, 14.0
_LIKENESS, _LONG_LIKENESS = 0.6, 1.0
"""How far (in e-folds) use before a stretch may be from the present's for it to be like it."""

_FEW_DAYS = 1.5
"""How many days of history weigh as much as the straight lines."""

_LINE_SPREAD = 0.7
_GRAIN = 1.2
_IDLE_HOURS = 8.0
"""As much idle time is taken to have been seen besides what was: who just began does not go on so for days."""

_IDLE_DAY = -2.0 * DAY_HOURS
"""Where a day without use begins: ahead of all that was seen."""

_ACTIVE_HOURS = 3.0
"""How long the pace of now goes on, where nothing tells better."""


class _Horizon(NamedTuple):
    """What is to be gone: hours to the reset, points to 100 %, and how many points more or less that may be."""

    hours: float
    remaining: float
    blur: float


def _scenarios(past: HourlyUsage, way: _Horizon, average: float, pace: float, count: int) -> Iterator[Scenario]:
    """Yield `count` ways on, all as likely as each other."""
    stretches = _stretches(past, way.hours)
    days = past.seen_hours / DAY_HOURS
    lines = count if not stretches else round(count * _FEW_DAYS / (_FEW_DAYS + days))
    blurred = [way.blur * (2 * (number * 29 % count + 0.5) / count - 1) for number in range(count)]
    points = _line_rate(past, way.hours, average, pace) * way.hours
    for number in range(lines):
        yield _line(points * exp(_LINE_SPREAD * _normal(number, lines)), way, blurred[number])
    if lines < count:
        yield from _sampled(past, way, stretches, blurred[lines:])


def _line(points: float, way: _Horizon, more: float) -> Scenario:
    left = max(way.remaining - more, 0.0)
    return Scenario(points + more, way.hours * left / points if 0 < points >= left else float("inf"))


def _line_rate(past: HourlyUsage, horizon: float, average: float, pace: float) -> float:
    seen = past.total[-1] / (past.seen_hours + _IDLE_HOURS)
    long_run = max(seen, average * 0.5) if past.seen_hours < DAY_HOURS else seen
    lasting = _ACTIVE_HOURS * (1 - exp(-horizon / _ACTIVE_HOURS)) / horizon if horizon > 0 else 1.0
    active = past.at(past.here) - past.at(past.here - 1.5) > 0
    return long_run + (max(pace - long_run, 0.0) * lasting if active else 0.0)


def _sampled(
    past: HourlyUsage, way: _Horizon, stretches: Sequence[tuple[float, float]], blurred: Sequence[float]
) -> Iterator[Scenario]:
    first = min(way.hours, _first_length(past, way.hours))
    later = _later_days(past, way.hours, first)
    spread = past.level_spread()
    count = len(blurred)
    dice = 12_345
    for number, start in enumerate(_chosen(stretches, count)):
        factor = exp(spread * _normal(number * 31 % count, count))
        if way.hours <= DAY_HOURS:
            factor *= past.likened(start)
        steps = [(start, first)]
        for pool, length in later:
            dice = (dice * 1_103_515_245 + 12_345) & 0x7FFFFFFF
            steps.append((pool[(dice >> 8) % len(pool)], length))
        more = blurred[number]
        points, dry_after = _replay(past, steps, factor, max(way.remaining - more, 0.0))
        yield Scenario(points + more, dry_after)


def _replay(past: HourlyUsage, steps: Sequence[tuple[float, float]], factor: float, remaining: float) -> Scenario:
    """Go one stretch of the past after the other, with all use times `factor`."""
    points = hours = 0.0
    dry_after = float("inf")
    for start, length in steps:
        used = factor * (past.at(start + length) - past.at(start))
        if dry_after == float("inf") and 0 < used >= remaining - points:
            dry_after = hours + past.crossing(start, start + length, (remaining - points) / factor)
        points += used
        hours += length
    return Scenario(points, dry_after)


def _first_length(past: HourlyUsage, horizon: float) -> float:
    if horizon <= DAY_HOURS:
        return horizon
    rest = past.hours_to_new_day()
    return rest if rest >= 3 else rest + DAY_HOURS


def _later_days(past: HourlyUsage, horizon: float, first: float) -> list[tuple[list[float], float]]:
    """Return, for each day after the first stretch, the days of the past that it may be like, and its length."""
    if horizon <= first:
        return []
    cut = past.here + first
    begun = [cut - DAY_HOURS * back for back in range(1, HISTORY_DAYS + 3)]
    whole = [start for start in begun if start >= 0 and start + DAY_HOURS <= past.here]
    whole = [start for start in whole if past.known_share(start, DAY_HOURS) >= 0.5] or whole
    found: list[tuple[list[float], float]] = []
    at = cut
    while at < past.here + horizon - 1e-9:
        alike = [start for start in whole if past.is_weekend(start + 1) == past.is_weekend(at + 1)]
        # Of a kind of day that was never seen nobody knows whether it is one of use: as likely as not.
        pool = alike or (whole and [*whole, *[_IDLE_DAY] * len(whole)])
        found.append((pool, min(DAY_HOURS, past.here + horizon - at)))
        at += DAY_HOURS
    return found


def _stretches(past: HourlyUsage, horizon: float) -> list[tuple[float, float]]:
    """Return where stretches of the past begin that are like what begins now, and how like they are."""
    length = _first_length(past, horizon)
    if horizon > length and not _later_days(past, horizon, length)[0][0]:
        return []
    floor = 0.25 * past.total[-1] / max(past.seen_hours, 1.0) + 1e-9
    here = _levels(past, past.here, floor)
    weekend = past.is_weekend(past.here)
    found: list[tuple[float, float]] = []
    for day in range(min(HISTORY_DAYS, int(past.here / DAY_HOURS)) + 1):
        for shift in _SHIFTS:
            start = past.here - DAY_HOURS * day + shift
            if start < 1 or start + length > past.here:
                continue
            weight = _SHIFT_WEIGHT ** abs(shift) * 0.5 ** (day / _FORGET_DAYS)
            if past.is_weekend(start) != weekend:
                weight *= _OTHER_DAY_WEIGHT
            if horizon > length:
                weight *= past.known_share(start, length) ** 2
            there = _levels(past, start, floor)
            near = ((here[0] - there[0]) / _LIKENESS) ** 2 + ((here[1] - there[1]) / _LONG_LIKENESS) ** 2
            found.append((start, weight * exp(-near / 2) + 1e-9))
    return found


def _levels(past: HourlyUsage, position: float, floor: float) -> tuple[float, float]:
    """Return the use of the last hour and of the last four, on a scale of ratios."""
    total = past.at(position)
    return log(total - past.at(position - 1) + floor), log((total - past.at(position - 4)) / 4 + floor)


def _chosen(weighted: Sequence[tuple[float, float]], count: int) -> list[float]:
    """Return `count` of the weighted, each as often as its weight says."""
    step = sum(weight for _, weight in weighted) / count
    found: list[float] = []
    reached, wanted = 0.0, step / 2
    for start, weight in weighted:
        reached += weight
        while reached >= wanted and len(found) < count:
            found.append(start)
            wanted += step
    return found


def _normal(number: int, count: int) -> float:
    """Return the `number`-th of `count` even steps through a bell curve (a logistic one of the same spread)."""
    share = (number + 0.5) / count
    return log(share / (1 - share)) * 0.5513
