"""How fast turns were, by model, effort, tier, day or hour, beside the same hours of the weeks before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from store.analysis.formatting import DAY, HOUR, dated
from store.analysis.speed import (
    Change,
    Comparison,
    MetricComparison,
    Quantiles,
    Sample,
    Tally,
    TurnTiming,
    compare,
    failure_name,
    is_rerouted,
    median,
    outcome,
    quantiles,
    sample,
)
from store.analysis.speed_text import comparison_text
from store.queries.accounts import in_order
from store.queries.cursors import read_transaction, tuple_cursor
from store.queries.machines import with_silent_machines

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from store.connection import Connection
    from store.constants import SpeedBy
    from store.documents import (
        AccountReference,
        SpeedChange,
        SpeedComparison,
        SpeedDocument,
        SpeedFigures,
        SpeedNow,
        SpeedQuantiles,
        SpeedRow,
        SpeedUsual,
    )
    from store.queries.accounts import Account

USUAL_SECONDS = 28 * DAY
"""How far back the usual figures reach: four weeks have each day of the week four times."""

MAX_TURNS, MAX_USUAL_TURNS = 50_000, 20_000
"""About how many turns the figures, and the usual ones, come from: of more, every second, third … one is read."""

SPANS = (HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY)
"""The last hours that are compared: the shortest of these with `SPAN_TURNS` turns, or else the longest."""

SPAN_TURNS = 20

_QUARTER = 900
"""Seconds; the hours of every time zone begin at a quarter of an hour."""

_KEY_COLUMNS: Mapping[SpeedBy, str] = {"model": "model", "effort": "reasoning_effort", "tier": "tier"}
"""The columns of rows that are not a time."""

_COLUMNS = ", ".join(TurnTiming._fields)
_IN_RANGE = "account = ? AND ended_at > ? AND ended_at <= ?"
_TIMED = "warm_up = 0 AND imported = 0"
"""Session files tell no time of a first byte, and only an estimate of a start."""


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
    clock = _Clock(zone)
    with read_transaction(connection):
        turns = _Turns(connection, [account.id for account in chosen], _Range(since, now))
        table = _Rows(by, clock, turns.period)
        table.read(turns)
        span = _span(turns)
        last = turns._replace(period=_Range(now - span, now))
        recent = _samples(last.timings(MAX_USUAL_TURNS), clock)
        earlier = _samples(clock.same_hours(last), clock)
    document = table.document(
        [account.reference for account in chosen], _now(compare(recent, earlier), now - span, span)
    )
    return with_silent_machines(document, connection, now, chosen)


def empty_speed(now: float, *, by: SpeedBy, since: float) -> SpeedDocument:
    """Return the document of a database that does not exist yet."""
    span = min(DAY, now - since)
    return _Rows(by, _Clock(None), _Range(since, now)).document([], _now(compare([], []), now - span, span))


# Reading


class _Range(NamedTuple):
    since: float
    until: float


class _Clock:
    """Days and hours of the day in a time zone."""

    def __init__(self, zone: dt.tzinfo | None) -> None:
        self._zone = zone
        self._quarters: dict[int, tuple[str | None, str | None]] = {}

    def day_and_hour(self, at: float) -> tuple[str | None, str | None]:
        """Return the day (``2026-11-21``) and the hour of the day (``14:00``); None outside the calendar."""
        quarter = int(at // _QUARTER)
        found = self._quarters.get(quarter)
        if found is None:
            found = dated(at, "%Y-%m-%d", self._zone), dated(at, "%H:00", self._zone)
            self._quarters[quarter] = found
        return found

    def same_hours(self, turns: _Turns) -> Iterator[TurnTiming]:
        """Yield turns of the weeks before that started in those hours of the day that the time range touches."""
        hours = self._hours(turns.period)
        return (
            turn
            for turn in turns.before().timings(MAX_USUAL_TURNS)
            if hours is None or self.day_and_hour(turn.started_at)[1] in hours
        )

    def _hours(self, period: _Range) -> frozenset[str | None] | None:
        if period.until - period.since >= DAY:
            return None
        quarters = range(int(period.since // _QUARTER), int(period.until // _QUARTER) + 1)
        return frozenset(self.day_and_hour(each * _QUARTER)[1] for each in quarters)


class _Turns(NamedTuple):
    """The turns of accounts that the tap saw end in a time range, without warm-ups."""

    connection: Connection
    accounts: Sequence[int]
    period: _Range

    def select(self, what: str, more: str = "", *values: int) -> Iterator[Any]:
        """Yield rows of `what` (an SQL constant), account by account; `more` follows the conditions of the range."""
        statement = f"SELECT {what} FROM requests WHERE {_IN_RANGE}{more}"  # noqa: S608 (constants)
        cursor = tuple_cursor(self.connection)
        for account in self.accounts:
            yield from cursor.execute(statement, (account, *self.period, *values))

    def number(self) -> int:
        """Return how many there are, warm-ups and imported ones included: for that the index is enough."""
        return sum(count for (count,) in self.select("count(*)"))

    def timings(self, most: int) -> Iterator[TurnTiming]:
        """Yield about so many of them: of more, every second, third … one."""
        step = max(1, self.number() // most)
        return map(TurnTiming._make, self.select(_COLUMNS, f" AND id % ? = 0 AND {_TIMED}", step))

    def before(self) -> _Turns:
        """Return the turns of the weeks before the time range, without those of its own day."""
        until = min(self.period.since, self.period.until - DAY)
        return self._replace(period=_Range(until - USUAL_SECONDS, until))


def _span(turns: _Turns) -> float:
    """Return how many of the last seconds are compared: the time range, if that is a day or less."""
    since, now = turns.period
    if now - since <= DAY:
        return now - since
    spans = (turns._replace(period=_Range(now - span, now)) for span in SPANS)
    return next((now - each.period.since for each in spans if each.number() >= SPAN_TURNS), SPANS[-1])


def _samples(turns: Iterator[TurnTiming], clock: _Clock) -> list[Sample]:
    found = (sample(turn, clock.day_and_hour(turn.started_at)[0]) for turn in turns)
    return [each for each in found if each]


# The table


class _Rows:
    """The rows of a document of ``speed``."""

    def __init__(self, by: SpeedBy, clock: _Clock, period: _Range) -> None:
        self._by = by
        self._clock = clock
        self._period = period
        self._rows: dict[str | None, Tally] = {}
        self._usual: dict[str | None, Tally] = {}
        self._total, self._usual_total = Tally(), Tally()

    def read(self, turns: _Turns) -> None:
        """Read the turns of the time range, and the usual ones."""
        for key, status, error_type, model, response_model, number in turns.select(*self._counts()):
            ended, failure = outcome(status, error_type), failure_name(status, error_type)
            rerouted = is_rerouted(model, response_model)
            self._row(self._rows, self._counted(key)).count(ended, failure, number, rerouted=rerouted)
        for turn in turns.timings(MAX_TURNS):
            self._row(self._rows, self._key(turn)).add(turn)
        for turn in self._clock.same_hours(turns):
            ended, failure = outcome(turn.status, turn.error_type), failure_name(turn.status, turn.error_type)
            tally = self._row(self._usual, self._key(turn))
            tally.count(ended, failure, 1, rerouted=False)
            tally.add(turn)
        for total, rows in ((self._total, self._rows), (self._usual_total, self._usual)):
            for tally in rows.values():
                total.merge(tally)

    def document(self, accounts: list[AccountReference], now: SpeedNow) -> SpeedDocument:
        """Return the document."""
        rows: list[SpeedRow] = [
            {"key": key, **_figures(tally, self._usual_of(key))}
            for key, tally in sorted(self._rows.items(), key=self._order())
        ]
        return {
            "generated_at": int(self._period.until),
            "since": self._period.since,
            "until": self._period.until,
            "by": self._by,
            "accounts": accounts,
            "now": now,
            "rows": rows,
            "total": _figures(self._total, self._usual_total),
        }

    def _usual_of(self, key: str | None) -> Tally:
        # A day is compared with all days before the time range.
        return self._usual_total if self._by == "day" else self._usual.get(key, Tally())

    def _key(self, turn: TurnTiming) -> str | None:
        column = _KEY_COLUMNS.get(self._by)
        return getattr(turn, column) if column else self._bucket(turn.started_at)

    def _counts(self) -> tuple[str, str]:
        """Return what is counted of the turns, and how: each row of it has a key, an outcome and a number."""
        key = _KEY_COLUMNS.get(self._by, f"CAST(started_at / {_QUARTER} AS BIGINT)")
        return f"{key}, status, error_type, model, response_model, count(*)", f" AND {_TIMED} GROUP BY 1, 2, 3, 4, 5"

    def _counted(self, key: Any) -> str | None:
        return key if self._by in _KEY_COLUMNS else self._bucket(key * _QUARTER)

    def _bucket(self, at: float) -> str | None:
        return self._clock.day_and_hour(at)[int(self._by == "hour")]

    @staticmethod
    def _row(rows: dict[str | None, Tally], key: str | None) -> Tally:
        found = rows.get(key)
        if found is None:
            found = rows[key] = Tally()
        return found

    def _order(self) -> Callable[[tuple[str | None, Tally]], tuple[object, ...]]:
        """Return the order of rows: by time, else the most used first."""
        if self._by not in _KEY_COLUMNS:
            return lambda row: (row[0] is None, row[0] or "")
        return lambda row: (-row[1].turns, row[0] is None, row[0] or "")


# Documents


def _figures(tally: Tally, usual: Tally) -> SpeedFigures:
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
        "input_tokens": median(tally.input_tokens),
        "usual": _usual(usual),
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
