"""The forecast of a window: its used percent at the reset, and when it runs dry.

Pure functions over samples of a window's used percent: no clock, no I/O; `now` is an argument, and the same arguments
give the same result. Timestamps are Unix seconds. Percentages may exceed 100: that is what a window would come to if
nothing stopped it.

The method, in short (docs/forecast.md describes it in full, with the results of its simulation):

1. Increases between samples become usage by the hour (`store.analysis.hourly_usage`).
2. A scenario continues the present with stretches of the past: the rest of today with a stretch that began at about
   this hour, on such a day, after about as much use; whole days after it with whole earlier days. Each scenario has an
   end, and possibly a time at which it crosses 100.
3. The median of the scenarios is the estimate, their 10th and 90th percentiles are the range. The less history there
   is, the more of the scenarios are straight lines with a pace drawn from a wide spread around what little is known.
"""

from __future__ import annotations

from functools import cache
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
from store.constants import FULL_PERCENT, is_full

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from store.documents import WindowForecast

RANGE = (0.1, 0.9)
"""The percentiles of the scenarios between which the truth lies in 80 of 100 cases."""

LIKELY = 0.5
"""The chance from which on a window counts as running dry before its reset."""

TOO_LITTLE_HISTORY = "too little history for a forecast"
NO_READINGS = "no readings"
RESET_UNSEEN = "reset, not seen since"
NOT_RESET = "was due, not reset"
NO_RESET_REPORTED = "no reset was reported"
"""The values of `Forecast.note`; None where there is nothing to add. With the first three there is no forecast."""

SCENARIOS = 72
"""The number of scenarios that are drawn."""

_ENOUGH_SAMPLES, _ENOUGH_HOURS = 6, 1.0
"""The least history that a forecast needs: its samples, and its hours for a window of at most a day.

A longer window needs a day: in the first hours of use, half of the windows that seemed safe ran dry in simulations.
"""

_WEEK_MINUTES = 10_080


class Forecast(NamedTuple):
    """The forecast of a window; None is unknown everywhere, and all but ``readings`` and ``note`` without a forecast.

    ``pace_per_hour``: recent points per hour of work. ``at_reset``: the used percent by the reset if nothing stops it,
    above 100 too, with the range that holds the truth in 80 of 100 cases. ``chance_dry``: the chance, from 0 to 1, that
    the window runs dry before its reset. ``safe``: it lasts, and so does the whole range. ``runs_dry_at``: when it
    reaches 100 %, None where it is safe; ``runs_dry_low`` and ``runs_dry_high`` hold that time in 80 of 100 cases, and
    ``runs_dry_high`` is None where the window may as well last. ``readings``: the number of samples behind it.
    ``note``: one of the constants above.
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
    """A possible course: points used until the reset, and hours until the window is full (infinite if never)."""

    points: float
    dry_after: float


def forecast(
    samples: Sequence[UsageSample],
    now: float,
    *,
    window_minutes: int | None,
    utc_offset: float = 0.0,
) -> Forecast:
    """Return the forecast of a window at `now`.

    `samples` are in the order of arrival, the newest last, and may be sparse; those after `now` are cut off.
    `utc_offset` is that of the local day, in seconds.
    """
    known = usable_samples(samples, now)
    if not known:
        return Forecast(note=NO_READINGS)
    newest = known[-1]
    resets_at = None if newest.resets_at is None else int(newest.resets_at)
    window = window_status(WindowRow(newest.used_percent, window_minutes, resets_at), newest.until, now)
    if window["reset_unseen"]:
        return Forecast(readings=len(known), note=RESET_UNSEEN)
    if window["reset_overdue"]:
        # When it will be reset is unknown.
        return Forecast(readings=len(known), note=NOT_RESET)
    if is_full(newest.used_percent):
        return _exhausted(newest, now, len(known))
    length = float(window_minutes * MINUTE) if window_minutes else _assumed_length(newest, now)
    hourly = HourlyUsage(known, now, length, utc_offset)
    if not _is_enough(known, hourly, length):
        return Forecast(readings=len(known), note=TOO_LITTLE_HISTORY)
    return _forecast_open(known, hourly, now, length)


def outcome(paths: Sequence[Scenario], used: float, now: float) -> Forecast:
    """Summarize the scenarios of a window that is at `used` percent now."""
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


def most_urgent(windows: Mapping[str, WindowForecast]) -> str | None:
    """Return the slot of the window that matters most; None where no window has a forecast.

    That is the first to run dry of those that likely do, else the likeliest to.
    """
    known = {slot: window for slot, window in windows.items() if window["chance_dry"] is not None}
    return min(known, key=lambda slot: _urgency(known[slot]), default=None)


def _urgency(window: WindowForecast) -> tuple[float, float, float]:
    chance, dry_at = window["chance_dry"] or 0.0, window["runs_dry_at"]
    likely_dry_at = float("inf") if dry_at is None or chance < LIKELY else float(dry_at)
    return likely_dry_at, -chance, -(window["at_reset"] or 0.0)


def _exhausted(newest: UsageSample, now: float, readings: int) -> Forecast:
    used = newest.used_percent
    found = Forecast(None, used, used, used, now, now, now, safe=False, chance_dry=1.0, readings=readings)
    return _without_reset(found) if newest.resets_at is None else found


def _assumed_length(newest: UsageSample, now: float) -> float:
    """Return the assumed length of a window of unknown length in seconds: a week, or the time left if that is more."""
    return max(_WEEK_MINUTES * MINUTE, 0.0 if newest.resets_at is None else newest.resets_at - now)


def _is_unused(known: Sequence[UsageSample], hourly: HourlyUsage) -> bool:
    return known[-1].used_percent == 0 and hourly.total[-1] == 0


def _is_enough(known: Sequence[UsageSample], hourly: HourlyUsage, length: float) -> bool:
    """Return True if the history is long enough for a forecast; nothing but zeros needs no number of samples."""
    hours = _ENOUGH_HOURS if length <= DAY_HOURS * HOUR else float(DAY_HOURS)
    return hourly.seen_hours >= hours and (len(known) >= _ENOUGH_SAMPLES or _is_unused(known, hourly))


def _forecast_open(known: Sequence[UsageSample], hourly: HourlyUsage, now: float, length: float) -> Forecast:
    """Forecast a window of `length` seconds that is not full."""
    newest = known[-1]
    if _is_unused(known, hourly):
        return _complete(outcome([Scenario(0.0, float("inf"))], 0.0, now), known, 0.0)
    resets_at = now + length if newest.resets_at is None else newest.resets_at
    pace = hourly.pace()
    # A reading does not count the response that it came with.
    unread = pace * min(now - newest.until, TURN_SECONDS / 2) / HOUR
    used = min(newest.used_percent + hourly.since_seen + unread, FULL_PERCENT)
    average = newest.used_percent / max(now - resets_at + length, HOUR / 4) * HOUR
    horizon = _Horizon(max(resets_at - now, 0.0) / HOUR, FULL_PERCENT - used, _GRAIN / 2 + unread)
    return _complete(outcome(list(_scenarios(hourly, horizon, average, pace)), used, now), known, pace)


def _complete(found: Forecast, known: Sequence[UsageSample], pace: float) -> Forecast:
    """Add pace and readings to a forecast, and remove what the data cannot support."""
    found = found._replace(pace_per_hour=pace, readings=len(known))
    return _without_reset(found) if known[-1].resets_at is None else found


def _without_reset(found: Forecast) -> Forecast:
    return found._replace(at_reset=None, at_reset_low=None, at_reset_high=None, note=NO_RESET_REPORTED)


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _timestamp(after: float, now: float) -> float | None:
    return None if after == float("inf") else now + after * HOUR


# Scenarios


_SHIFTS = tuple((shift, 0.8 ** abs(shift)) for shift in (0, -1, 1, -2, 2, -3, 3))
"""The hours by which a stretch may begin later in its day than the present in this day, and the weight of each."""

_OTHER_DAY_WEIGHT, _FORGET_DAYS = 0.25, 14.0
_LIKENESS, _LONG_LIKENESS = 0.6, 1.0
"""The difference (in e-folds) of preceding use within which a stretch resembles the present: last hour, last four."""

_FEW_DAYS = 1.5
"""The days of history that weigh as much as the straight lines."""

_LINE_SPREAD = 0.7
_GRAIN = 1.2
_IDLE_HOURS = 8.0
"""Idle time that is added to the time seen: a user who has just begun does not keep the pace up for days."""

_IDLE_DAY = -2.0 * DAY_HOURS
"""The position of a day without use: before all that was seen."""

_ACTIVE_HOURS = 3.0
"""How long the present pace lasts, without better knowledge."""


class _Horizon(NamedTuple):
    """The distance to cover: hours to the reset, points to 100 %, and the uncertainty of those points."""

    hours: float
    remaining: float
    blur: float


def _scenarios(hourly: HourlyUsage, horizon: _Horizon, average: float, pace: float) -> Iterator[Scenario]:
    """Yield equally likely scenarios."""
    count = SCENARIOS
    later = _later_days(hourly, horizon.hours)
    stretches = _stretches(hourly, horizon.hours) if all(pool for pool, _ in later) else []
    days = hourly.seen_hours / DAY_HOURS
    lines = count if not stretches else round(count * _FEW_DAYS / (_FEW_DAYS + days))
    blurred = [horizon.blur * (2 * (number * 29 % count + 0.5) / count - 1) for number in range(count)]
    points = _line_rate(hourly, horizon.hours, average, pace) * horizon.hours
    for number in range(lines):
        yield _line(points * exp(_LINE_SPREAD * _normal(number, lines)), horizon, blurred[number])
    if lines < count:
        yield from _sampled(hourly, horizon, _chosen(stretches, count - lines), later, blurred[lines:])


def _line(points: float, horizon: _Horizon, more: float) -> Scenario:
    left = max(horizon.remaining - more, 0.0)
    return Scenario(points + more, horizon.hours * left / points if 0 < points >= left else float("inf"))


def _line_rate(hourly: HourlyUsage, hours_left: float, average: float, pace: float) -> float:
    seen = hourly.total[-1] / (hourly.seen_hours + _IDLE_HOURS)
    long_run = max(seen, average * 0.5) if hourly.seen_hours < DAY_HOURS else seen
    lasting = _ACTIVE_HOURS * (1 - exp(-hours_left / _ACTIVE_HOURS)) / hours_left if hours_left > 0 else 1.0
    active = hourly.at(hourly.here) - hourly.at(hourly.here - 1.5) > 0
    return long_run + (max(pace - long_run, 0.0) * lasting if active else 0.0)


def _sampled(
    hourly: HourlyUsage,
    horizon: _Horizon,
    begins: Sequence[float],
    later: Sequence[tuple[Sequence[float], float]],
    blurred: Sequence[float],
) -> Iterator[Scenario]:
    first = min(horizon.hours, _first_length(hourly, horizon.hours))
    spread = hourly.daily_log_spread()
    activity_ratio = cache(hourly.activity_ratio)
    count = len(blurred)
    dice = 12_345
    for number, start in enumerate(begins):
        factor = exp(spread * _normal(number * 31 % count, count))
        if horizon.hours <= DAY_HOURS:
            factor *= activity_ratio(start)
        steps = [(start, first)]
        for pool, length in later:
            dice = (dice * 1_103_515_245 + 12_345) & 0x7FFFFFFF
            steps.append((pool[(dice >> 8) % len(pool)], length))
        more = blurred[number]
        points, dry_after = _replay(hourly, steps, factor, max(horizon.remaining - more, 0.0))
        yield Scenario(points + more, dry_after)


def _replay(hourly: HourlyUsage, steps: Sequence[tuple[float, float]], factor: float, remaining: float) -> Scenario:
    """Return the scenario of stretches of the past in a row, with all use multiplied by `factor`."""
    points = hours = 0.0
    dry_after = float("inf")
    for start, length in steps:
        used = factor * hourly.between(start, length)
        if dry_after == float("inf") and 0 < used >= remaining - points:
            dry_after = hours + hourly.crossing(start, start + length, (remaining - points) / factor)
        points += used
        hours += length
    return Scenario(points, dry_after)


def _first_length(hourly: HourlyUsage, hours_left: float) -> float:
    if hours_left <= DAY_HOURS:
        return hours_left
    rest = hourly.hours_to_new_day()
    return rest if rest >= 3 else rest + DAY_HOURS


def _later_days(hourly: HourlyUsage, hours_left: float) -> list[tuple[list[float], float]]:
    """Return, for each day after the first stretch, the past days to draw from, and its length in hours."""
    first = _first_length(hourly, hours_left)
    if hours_left <= first:
        return []
    cut = hourly.here + first
    begun = [cut - DAY_HOURS * back for back in range(1, HISTORY_DAYS + 3)]
    whole = [start for start in begun if start >= 0 and start + DAY_HOURS <= hourly.here]
    whole = [start for start in whole if hourly.known_share(start, DAY_HOURS) >= 0.5] or whole
    alike: tuple[list[float], list[float]] = ([], [])
    for start in whole:
        alike[hourly.is_weekend(start + 1)].append(start)
    # A kind of day that was never seen (weekday or weekend) is as likely idle as not.
    weekday, weekend = (pool or (whole and [*whole, *[_IDLE_DAY] * len(whole)]) for pool in alike)
    found: list[tuple[list[float], float]] = []
    at = cut
    while at < hourly.here + hours_left - 1e-9:
        pool = weekend if hourly.is_weekend(at + 1) else weekday
        found.append((pool, min(DAY_HOURS, hourly.here + hours_left - at)))
        at += DAY_HOURS
    return found


def _stretches(hourly: HourlyUsage, hours_left: float) -> list[tuple[float, float]]:
    """Return where stretches of the past begin that resemble the present, and the weight of each."""
    length = _first_length(hourly, hours_left)
    floor = 0.25 * hourly.total[-1] / max(hourly.seen_hours, 1.0) + 1e-9
    used_by = cache(hourly.at)  # neighbouring stretches share hours
    here = _levels(used_by, hourly.here, floor)
    weekend = hourly.is_weekend(hourly.here)
    found: list[tuple[float, float]] = []
    for day in range(min(HISTORY_DAYS, int(hourly.here / DAY_HOURS)) + 1):
        forgotten = 0.5 ** (day / _FORGET_DAYS)
        for shift, nearness in _SHIFTS:
            start = hourly.here - DAY_HOURS * day + shift
            if start < 1 or start + length > hourly.here:
                continue
            weight = nearness * forgotten
            if hourly.is_weekend(start) != weekend:
                weight *= _OTHER_DAY_WEIGHT
            if hours_left > length:
                weight *= hourly.known_share(start, length) ** 2
            there = _levels(used_by, start, floor)
            near = ((here[0] - there[0]) / _LIKENESS) ** 2 + ((here[1] - there[1]) / _LONG_LIKENESS) ** 2
            found.append((start, weight * exp(-near / 2) + 1e-9))
    return found


def _levels(used_by: Callable[[float], float], position: float, floor: float) -> tuple[float, float]:
    """Return the logarithms of the use per hour in the last hour and in the last four."""
    total = used_by(position)
    return log(total - used_by(position - 1) + floor), log((total - used_by(position - 4)) / 4 + floor)


def _chosen(weighted: Sequence[tuple[float, float]], count: int) -> list[float]:
    """Return `count` of the positions, each as often as its weight requires."""
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
