"""How fast turns were, by model, effort, tier, day or hour, beside the same hours of the 28 days (of UTC) before."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import chain, compress, groupby, repeat
from typing import TYPE_CHECKING

from store.analysis.formatting import DAY, HOUR
from store.analysis.periods import Bounds, keys_of_hours, period_bounds, period_key
from store.analysis.speed import (
    Change,
    Comparison,
    MetricComparison,
    Quantiles,
    compare,
    failure_name,
    is_rerouted,
    outcome,
    quantiles,
)
from store.analysis.speed_cells import QUARTER, Tally, TurnKind, add_each, counted, samples, total
from store.analysis.speed_text import comparison_text
from store.kept.kind import floor_to
from store.kept.reading import ask_kept
from store.queries.accounts import in_order
from store.queries.cursors import read_transaction
from store.queries.kept_speed import SPEED, kept_turns
from store.queries.machines import with_silent_machines
from store.queries.speed_turns import Range, SpeedTurns

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from store.analysis.speed_cells import Cell, Count
    from store.connection import Connection
    from store.constants import SpeedBy
    from store.documents import (
        AccountReference,
        SpeedChange,
        SpeedComparison,
        SpeedDocument,
        SpeedFigures,
        SpeedModel,
        SpeedNow,
        SpeedQuantiles,
        SpeedRow,
        SpeedUsual,
    )
    from store.kept.kind import Kept
    from store.queries.accounts import Account

USUAL_SECONDS = 28 * DAY
"""The days of UTC before that of the time range, whose figures are the usual ones: each day of the week four times."""

MAX_TURNS, MAX_USUAL_TURNS, MAX_COMPARED_TURNS = 32_768, 20_000, 4_000
"""How many turns the figures, the usual ones and the comparison come from: of more, every 2nd, 4th, 8th … one."""

SPANS = (HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY)
"""The last hours that are compared: the shortest of these with `SPAN_TURNS` turns, or else the longest."""

SPAN_TURNS = 20


def load_speed(
    connection: Connection,
    now: float,
    *,
    accounts: Sequence[Account],
    by: SpeedBy = "model",
    since: float,
    zone: dt.tzinfo | None = None,
) -> SpeedDocument:
    """Return how fast the turns of the accounts were from `since` to `now` (Unix seconds).

    Days and hours are those of `zone`, by default of the machine.
    """
    chosen = in_order(accounts)

    def load(kept: Kept | None) -> SpeedDocument:
        turns = SpeedTurns(connection, kept_turns(kept), [account.id for account in chosen], Range(since, now))
        clock = _Clock(zone)
        table = _SpeedRows(by, clock, turns.period)
        table.read(turns)
        span = _span(turns)
        now_and_usual = _compared(turns.within(now - span, now), clock)
        return table.document([account.reference for account in chosen], _now(now_and_usual, now - span, span))

    with read_transaction(connection):
        document = ask_kept(connection, SPEED, load) or load(None)
        return with_silent_machines(document, connection, now, chosen)


def empty_speed(now: float, *, by: SpeedBy, since: float) -> SpeedDocument:
    """Return the document of a database that does not exist yet."""
    span = min(DAY, now - since)
    return _SpeedRows(by, _Clock(None), Range(since, now)).document([], _now(compare([], []), now - span, span))


def speed_begin(since: float) -> float:
    """Return from when on turns are read for a time range: the usual ones are before it."""
    return max(0.0, floor_to(DAY, since) - USUAL_SECONDS)


# Reading


_Label = Callable[[float], str | None]
"""Returns the key of a row by the beginning of a quarter hour."""


_Run = tuple[str | None, int, int]
"""A key of consecutive quarter hours, the place of the first one, and the end."""


class _Remembered(dict[float, str | None]):
    """Labels of times, those of a day computed at once: what is known takes no call of Python, for there are many."""

    def __init__(self, compute: Callable[[float], tuple[str | None, Iterable[tuple[float, str]]]]) -> None:
        super().__init__()
        self._compute = compute

    def __missing__(self, at: float) -> str | None:
        label, of_day = self._compute(at)
        self.update(of_day)
        self[at] = label
        return label


class _Clock:
    """Days and hours of the day in a time zone, of the beginnings of quarter hours."""

    def __init__(self, zone: dt.tzinfo | None) -> None:
        self._zone = zone
        self.day: _Label = _Remembered(self._days).__getitem__
        """Returns the day (``2026-11-21``); None outside the calendar."""
        self.hour: _Label = _Remembered(self._hours).__getitem__
        """Returns the hour of the day (``14:00``); None outside the calendar."""
        self._starts: dict[tuple[str | None, ...], float] = {}
        self._runs: dict[tuple[float, int], list[_Run]] = {}

    def _days(self, at: float) -> tuple[str | None, Iterable[tuple[float, str]]]:
        """Return the label of a quarter hour, and those of the quarter hours of its day."""
        key = period_key(at, "day", self._zone)
        return key, zip(_quarters(self._bounds(key)), repeat(key or ""))

    def _hours(self, at: float) -> tuple[str | None, Iterable[tuple[float, str]]]:
        hour = period_key(at, "hour", self._zone)
        start, keys = keys_of_hours(at, self._zone) or (0, [])
        quarters = _quarters_from(start, len(keys) * HOUR // QUARTER)
        hours = chain.from_iterable(repeat(key[-5:], HOUR // QUARTER) for key in keys)
        return hour and hour[-5:], zip(quarters, hours, strict=True)

    def _bounds(self, day: str | None) -> Bounds:
        return (day and period_bounds(day, "day", self._zone)) or Bounds(0, 0)

    def same_hours_start(self, start: float, number: int) -> float:
        """Return the start of the first known quarter hours whose hours are those of so many from `start` on."""
        hours = tuple(map(self.hour, _quarters_from(start, number)))
        return self._starts.setdefault(hours, start)

    def runs(self, label: _Label, start: float, number: int) -> list[_Run]:
        """Return runs of the same key among so many quarter hours: the key, the place of the first one, and the end."""
        found = self._runs.get((start, number))
        if found is None:
            found = self._runs[start, number] = []
            end = 0
            for key, quarters in groupby(map(label, _quarters_from(start, number))):
                begin, end = end, end + len(list(quarters))
                found.append((key, begin, end))
        return found

    def hours(self, period: Range) -> frozenset[str | None] | None:
        """Return the hours of the day that a time range touches; None for all."""
        if period.until - period.since >= DAY:
            return None
        quarters = range(int(period.since // QUARTER), int(period.until // QUARTER) + 1)
        return frozenset(self.hour(each * QUARTER) for each in quarters)

    def same_hours(self, turns: SpeedTurns, most: int) -> Iterator[Cell]:
        """Yield turns of the 28 days before that started in those hours of the day that the time range touches."""
        hours, before = self.hours(turns.period), _before(turns)
        cells = before.sample(before.level(most))
        if hours is None:
            yield from cells
            return
        for kind, columns in cells:
            are_wanted = map(hours.__contains__, map(self.hour, columns.started_at))
            yield kind, columns.chosen(list(compress(range(len(columns.started_at)), are_wanted)))


def _quarters_from(start: float, number: int) -> range:
    """Return the beginnings of so many quarter hours."""
    return range(int(start), int(start) + number * QUARTER, QUARTER)


def _quarters(bounds: Bounds) -> range:
    """Return the beginnings of the quarter hours that begin in a day."""
    return range(math.ceil(bounds.start / QUARTER) * QUARTER, math.ceil(bounds.end), QUARTER)


def _before(turns: SpeedTurns) -> SpeedTurns:
    """Return the turns of the 28 whole days of UTC before the one that the time range begins in."""
    until = floor_to(DAY, turns.period.since)
    return turns.within(until - USUAL_SECONDS, until)


def _span(turns: SpeedTurns) -> float:
    """Return how many of the last seconds are compared: the time range, if that is a day or less."""
    since, now = turns.period
    if now - since <= DAY:
        return now - since
    return next((span for span in SPANS if turns.within(now - span, now).number() >= SPAN_TURNS), SPANS[-1])


def _compared(turns: SpeedTurns, clock: _Clock) -> Comparison:
    """Compare turns with those of the same hours of the 28 days before."""
    hours = clock.hours(turns.period)
    share = 1.0 if hours is None else len(hours) * HOUR / DAY
    most = min(MAX_USUAL_TURNS, round(MAX_COMPARED_TURNS / share))
    recent, earlier = turns.sample(turns.level(MAX_COMPARED_TURNS)), clock.same_hours(turns, most)
    return compare(*([found for cell in of if (found := samples(cell, clock.day))] for of in (recent, earlier)))


# The table


_Rows = dict[str | None, dict[str | None, Tally]]
"""Turns by the keys of rows, and by their model where rows list their models."""


class _SpeedRows:
    """The rows of a document of ``speed``."""

    def __init__(self, by: SpeedBy, clock: _Clock, period: Range) -> None:
        self._by = by
        self._clock = clock
        self._period = period
        self._label: _Label | None = {"day": clock.day, "hour": clock.hour}.get(by)
        # A day is compared with all days before the time range.
        self._usual_label = None if by == "day" else self._label
        self._rows: _Rows = {}
        self._usual: _Rows = {}

    def read(self, turns: SpeedTurns) -> None:
        """Read the turns of the time range, and the usual ones."""
        level = turns.level(MAX_TURNS)
        sampled = list(turns.sample(level))
        counts = turns.counts(self._alike()) if level else chain.from_iterable(map(counted, sampled))
        for kind, numbers in self._counts(counts).items():
            self._count(self._rows, kind, numbers, rerouted=is_rerouted(kind.model, kind.response_model))
        for cell in self._joined(sampled):
            self._add(self._rows, cell, self._label)
        for kind, columns in self._joined(self._clock.same_hours(turns, MAX_USUAL_TURNS)):
            starts, label = columns.started_at, self._usual_label
            numbers = Counter(map(label, starts)) if label else {self._key(kind): len(starts)}
            self._count(self._usual, kind, numbers, rerouted=False)
            self._add(self._usual, (kind, columns.without_inputs()), label)

    def _alike(self) -> Callable[[float, int], float] | None:
        """Return what `SpeedTurns.counts` is asked with."""
        if self._label is None:
            return None
        return self._clock.same_hours_start if self._by == "hour" else lambda start, _: start

    def _counts(self, counts: Iterable[Count]) -> Mapping[TurnKind, Mapping[str | None, int]]:
        """Return the number of the turns of each kind by the rows that they belong to."""
        found: defaultdict[TurnKind, defaultdict[str | None, int]] = defaultdict(lambda: defaultdict(int))
        for kind, start, numbers in counts:
            of_kind = found[kind]
            if self._label is None:
                of_kind[self._key(kind)] += sum(numbers)
            elif len(numbers) == 1:
                of_kind[self._label(start)] += numbers[0]
            else:
                for key, begin, end in self._clock.runs(self._label, start, len(numbers)):
                    of_kind[key] += sum(numbers[begin:end])
        # A row has turns.
        return {kind: {key: number for key, number in of_kind.items() if number} for kind, of_kind in found.items()}

    def document(self, accounts: list[AccountReference], now: SpeedNow) -> SpeedDocument:
        """Return the document."""
        for models in (*self._rows.values(), *self._usual.values()):
            for tally in models.values():
                tally.sort()
        totals = {key: total(models.values()) for key, models in self._rows.items()}
        usual = {key: total(models.values()) for key, models in self._usual.items()}
        of_all = _usual(total(usual.values()))
        rows: list[SpeedRow] = [
            {
                "key": key,
                **_figures(tally, of_all if self._by == "day" else _usual(usual.get(key, Tally()))),
                "models": _models(self._rows[key]) if self._by == "day" else [],
            }
            for key, tally in sorted(totals.items(), key=self._order())
        ]
        return {
            "generated_at": int(self._period.until),
            "since": self._period.since,
            "until": self._period.until,
            "by": self._by,
            "accounts": accounts,
            "now": now,
            "rows": rows,
            "total": _figures(total(totals.values()), of_all),
        }

    def _joined(self, cells: Iterable[Cell]) -> Iterator[Cell]:
        """Yield the turns of many cells in few: those whose kinds are alike in what a table tells apart."""
        fields = {"status", "error_type", _KEY_FIELDS.get(self._by, "model")}
        places = [place for place, name in enumerate(TurnKind._fields) if name in fields]
        found: dict[tuple[object, ...], Cell] = {}
        for kind, columns in cells:
            alike = tuple([kind[place] for place in places])
            cell = found.get(alike)
            if cell is None:
                found[alike] = kind, columns
            else:
                cell[1].extend(columns)
        yield from found.values()

    def _add(self, rows: _Rows, cell: Cell, label: _Label | None) -> None:
        """Add the figures of turns of a kind to the rows that they belong to."""
        kind, columns = cell
        if label is None:
            self._tally(rows, self._key(kind), kind).extend(columns)
        else:
            add_each(columns, label, lambda key: self._tally(rows, key, kind))

    def _key(self, kind: TurnKind) -> str | None:
        """Return the key of the row of turns of a kind, where rows do not stand for a time; None for all together."""
        name = _KEY_FIELDS.get(self._by)
        return getattr(kind, name) if name else None

    def _count(self, rows: _Rows, kind: TurnKind, numbers: Mapping[str | None, int], *, rerouted: bool) -> None:
        """Count the turns of a kind in the rows that they belong to."""
        ended, failure = outcome(kind.status, kind.error_type), failure_name(kind.status, kind.error_type)
        for key, number in numbers.items():
            self._tally(rows, key, kind).count(ended, failure, number, rerouted=rerouted)

    def _tally(self, rows: _Rows, key: str | None, kind: TurnKind) -> Tally:
        """Return the turns of a row; those of a model in rows that list their models."""
        models = rows.setdefault(key, {})
        model = kind.model if self._by == "day" else None
        found = models.get(model)
        if found is None:
            found = models[model] = Tally()
        return found

    def _order(self) -> Callable[[tuple[str | None, Tally]], tuple[object, ...]]:
        """Return the order of rows: by time, else the most used first."""
        if self._label is not None:
            return lambda row: (row[0] is None, row[0] or "")
        return _most_used


_KEY_FIELDS: Mapping[SpeedBy, str] = {"model": "model", "effort": "reasoning_effort", "tier": "tier"}
"""What rows stand for that are not a time."""


def _most_used(row: tuple[str | None, Tally]) -> tuple[object, ...]:
    return -row[1].turns, row[0] is None, row[0] or ""


# Documents


def _models(tallies: Mapping[str | None, Tally]) -> list[SpeedModel]:
    """Return the figures of each model of a row, the most used first."""
    return [
        {
            "model": model,
            "turns": tally.turns,
            "first_byte_seconds": _quantiles(quantiles(tally.first_byte_seconds)),
            "tokens_per_second": _quantiles(quantiles(tally.tokens_per_second, slow=0.05)),
        }
        for model, tally in sorted(tallies.items(), key=_most_used)
    ]


def _figures(tally: Tally, usual: SpeedUsual) -> SpeedFigures:
    return {
        "turns": tally.turns,
        "answered": tally.outcomes["answered"],
        "failed": tally.outcomes["failed"],
        "refused": tally.outcomes["refused"],
        "interrupted": tally.outcomes["interrupted"],
        "rerouted": tally.rerouted,
        "errors": dict(tally.errors.most_common()),
        "first_byte_seconds": _quantiles(quantiles(tally.first_byte_seconds)),
        "seconds": _quantiles(quantiles(tally.seconds)),
        "tokens_per_second": _quantiles(quantiles(tally.tokens_per_second, slow=0.05)),
        "input_tokens": quantiles(tally.input_tokens).median,
        "usual": usual,
    }


def _usual(tally: Tally) -> SpeedUsual:
    return {
        "turns": tally.turns,
        "first_byte_seconds": _quantiles(quantiles(tally.first_byte_seconds)),
        "seconds": _quantiles(quantiles(tally.seconds)),
        "tokens_per_second": _quantiles(quantiles(tally.tokens_per_second, slow=0.05)),
        "failed_share": tally.outcomes["failed"] / tally.turns if tally.turns else None,
    }


def _quantiles(found: Quantiles) -> SpeedQuantiles:
    return {"turns": found.turns, "median": found.median, "slow": found.slow}


def _now(found: Comparison, since: float, seconds: float) -> SpeedNow:
    return {
        "since": since,
        "verdict": found.verdict,
        "is_own": found.is_own,
        "turns": found.turns,
        "failed": found.failed,
        "usual_failed_share": found.usual_failed,
        "more_failures": found.more_failures,
        "first_byte_seconds": _comparison(found.first_byte),
        "tokens_per_second": _comparison(found.tokens_per_second),
        "changes": [_change(each) for each in found.changes],
        "text": comparison_text(found, seconds),
    }


def _comparison(found: MetricComparison) -> SpeedComparison:
    return {
        "verdict": found.verdict,
        "turns": found.turns,
        "median": found.median,
        "usual": _quantiles(found.usual),
        "slowdown": found.slowdown,
        "days": found.days,
        "days_exceeded": found.days_exceeded,
    }


def _change(found: Change) -> SpeedChange:
    return {"what": found.what, "value": found.value, "now": found.now, "usual": found.usual}
