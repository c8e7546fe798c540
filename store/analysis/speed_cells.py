"""Turns of one kind as columns of figures, and a sample of them that can be made smaller without reading all of it.

A sample has the turns whose id is a multiple of a power of 2. Turns are in the order of how large that power is, so
every smaller sample is the beginning of a larger one.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from store.analysis.speed import NOT_MEASURED, KindSamples, TurnTiming, measure, outcome, short_model

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from store.analysis.speed import Measure, Outcome

QUARTER = 900
"""Seconds; the hours of every time zone begin at a quarter of an hour."""

UNKNOWN = float("nan")
"""A figure that a turn does not tell."""


class TurnKind(NamedTuple):
    """What turns of a cell have in common."""

    model: str | None
    response_model: str | None
    reasoning_effort: str | None
    tier: str | None
    status: int | None
    error_type: str | None


class TurnColumns(NamedTuple):
    """The figures of turns, a column each: the start of the quarter hour in which a turn started, how fast it was."""

    started_at: array[float]
    seconds: array[float]
    first_byte_seconds: array[float]
    tokens_per_second: array[float]
    input_tokens: array[float]

    def extend(self, others: TurnColumns) -> None:
        """Add the figures of other turns."""
        for mine, column in zip(self, others, strict=True):
            mine.extend(column)

    def answered_inputs(self) -> Sequence[float]:
        """Return the input tokens of the turns that tell how fast they were."""
        if _are_known(self.seconds):
            return self.input_tokens
        return [tokens for tokens, took in zip(self.input_tokens, self.seconds, strict=True) if took == took]  # noqa: PLR0124

    def without_inputs(self) -> TurnColumns:
        """Return the turns with unknown input tokens: there is nothing to be sorted of these then."""
        return self._replace(input_tokens=array("d", [UNKNOWN]) * len(self.input_tokens))

    def chosen(self, places: Sequence[int]) -> TurnColumns:
        """Return the turns at some places."""
        if len(places) < 2:
            return TurnColumns(*(array("d", [column[place] for place in places]) for column in self))
        at_places = itemgetter(*places)
        return TurnColumns(*(array("d", at_places(column)) for column in self))

    def to_bytes(self) -> bytes:
        """Return the figures of one turn after the other: `TURN_BYTES` of each."""
        return array("d", chain.from_iterable(zip(*self, strict=True))).tobytes()


def _are_known(column: Sequence[float]) -> bool:
    """Return True if all turns tell a figure: nearly always, and to add them up is the fastest way to know it."""
    return not math.isnan(sum(column))


Cell = tuple[TurnKind, TurnColumns]
"""Turns of one kind."""

Count = tuple[TurnKind, float, Sequence[int]]
"""Numbers of turns of one kind: the start of a quarter hour, and how many turns started in it and those after it."""

TURN_BYTES = len(TurnColumns._fields) * array("d").itemsize


def columns_of(kind: TurnKind, turns: Sequence[TurnTiming]) -> TurnColumns:
    """Return the figures of turns of a kind; only answered turns tell how fast they were."""
    if not turns:
        return columns_from([])
    started_at, first_byte_at, ended_at, *_, input_tokens, output_tokens = zip(*turns, strict=True)
    measured: Iterable[Measure] = repeat(NOT_MEASURED, len(turns))
    if outcome(kind.status, kind.error_type) == "answered":
        measured = map(measure, started_at, first_byte_at, ended_at, output_tokens)
    columns = [at // QUARTER * QUARTER for at in started_at], *zip(*measured, strict=True), input_tokens
    return TurnColumns(*(array("d", [UNKNOWN if each is None else each for each in column]) for column in columns))


def counted(cell: Cell) -> Iterator[Count]:
    """Yield the numbers of the turns of a cell."""
    kind, columns = cell
    for at, number in Counter(columns.started_at).items():
        yield kind, at, [number]


def columns_from(written: Iterable[bytes]) -> TurnColumns:
    """Return the turns of columns that `to_bytes` has written, or of their beginnings, one after the other."""
    figures = array("d")
    figures.frombytes(b"".join(written))
    width = len(TurnColumns._fields)
    return TurnColumns(*(figures[place::width] for place in range(width)))


# Adding up


@dataclass(slots=True)
class Tally:
    """The turns of one row, all of them counted, and the figures of those that were read."""

    turns: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    rerouted: int = 0
    seconds: list[float] = field(default_factory=list)
    first_byte_seconds: list[float] = field(default_factory=list)
    tokens_per_second: list[float] = field(default_factory=list)
    input_tokens: list[float] = field(default_factory=list)

    def count(self, ended: Outcome, failure: str, number: int, *, rerouted: bool) -> None:
        """Count turns that ended in the same way; `failure` is what failed ones are counted under."""
        self.turns += number
        self.outcomes[ended] += number
        if ended == "failed":
            self.errors[failure] += number
        if rerouted:
            self.rerouted += number

    def extend(self, turns: TurnColumns) -> None:
        """Add the figures of turns, as far as they tell them."""
        for mine, column in (
            (self.seconds, turns.seconds),
            (self.first_byte_seconds, turns.first_byte_seconds),
            (self.tokens_per_second, turns.tokens_per_second),
            (self.input_tokens, turns.answered_inputs()),
        ):
            mine.extend(column if _are_known(column) else [figure for figure in column if figure == figure])  # noqa: PLR0124

    def sort(self) -> None:
        """Sort the figures: to sort those of several rows together is fast then."""
        for column in (self.seconds, self.first_byte_seconds, self.tokens_per_second, self.input_tokens):
            column.sort()


def add_each(
    turns: TurnColumns, key_of: Callable[[float], str | None], tally_of: Callable[[str | None], Tally]
) -> None:
    """Add the figures of each turn to the row that it belongs to by the quarter hour in which it started.

    Args:
        turns: The turns.
        key_of: Returns the key of a row.
        tally_of: Returns the turns of a row.

    """
    known: dict[str | None, Tally] = {}
    for key, seconds, waited, rate, tokens in zip(map(key_of, turns.started_at), *turns[1:], strict=True):
        tally = known.get(key)
        if tally is None:
            tally = known[key] = tally_of(key)
        # As `Tally.extend` does it: an unknown figure is not equal to itself.
        if seconds == seconds:  # noqa: PLR0124
            tally.seconds.append(seconds)
            if tokens == tokens:  # noqa: PLR0124
                tally.input_tokens.append(tokens)
        if waited == waited:  # noqa: PLR0124
            tally.first_byte_seconds.append(waited)
        if rate == rate:  # noqa: PLR0124
            tally.tokens_per_second.append(rate)


def total(tallies: Collection[Tally]) -> Tally:
    """Return the turns of several rows, their figures sorted as those of each are."""
    if len(tallies) == 1:
        return next(iter(tallies))
    found = Tally()
    for each in tallies:
        found.turns += each.turns
        found.rerouted += each.rerouted
        for mine, counts in ((found.outcomes, each.outcomes), (found.errors, each.errors)):
            for name, number in counts.items():
                mine[name] += number
        found.seconds += each.seconds
        found.first_byte_seconds += each.first_byte_seconds
        found.tokens_per_second += each.tokens_per_second
        found.input_tokens += each.input_tokens
    found.sort()
    return found


# Samples


def cells(turns: Iterable[TurnTiming]) -> Iterator[Cell]:
    """Yield the turns by kinds; plain tuples of their fields will do."""
    found: dict[tuple[str | int | None, ...], list[TurnTiming]] = {}
    for turn in turns:
        found.setdefault(_KIND_FIELDS(turn), []).append(turn)
    for fields, alike in found.items():
        kind = TurnKind._make(fields)
        yield kind, columns_of(kind, alike)


_KIND_FIELDS = itemgetter(*(TurnTiming._fields.index(name) for name in TurnKind._fields))


def kind_of(turn: TurnTiming) -> TurnKind:
    """Return the kind of a turn."""
    return TurnKind._make(_KIND_FIELDS(turn))


def samples(cell: Cell, day_of: Callable[[float], str | None]) -> KindSamples | None:
    """Return the turns of a cell for `compare`; None where the limits refused them, or they were interrupted.

    Their model is the one that responded, by its short name. `day_of` returns the day of a timestamp.
    """
    kind, turns = cell
    ended = outcome(kind.status, kind.error_type)
    if ended in {"refused", "interrupted"}:
        return None
    model = kind.response_model or kind.model
    return KindSamples(
        short_model(model) if model else None,
        kind.reasoning_effort,
        kind.tier,
        ended == "failed",
        list(map(day_of, turns.started_at)),
        turns.input_tokens,
        turns.first_byte_seconds,
        turns.tokens_per_second,
    )


def level(row_id: int) -> int:
    """Return how many times 2 divides an id: the turn is in samples of every 2nd, 4th … turn up to that power."""
    return (row_id & -row_id).bit_length() - 1


def sample_level(number: int, most: int) -> int:
    """Return the level of a sample of at most so many of a number of turns."""
    return max(0, -(-number // max(1, most)) - 1).bit_length()
