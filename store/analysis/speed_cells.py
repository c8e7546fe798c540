"""Turns of one kind as columns of figures, and a sample of them that can be made smaller without reading all of it.

A sample has the turns whose id is a multiple of a power of 2. Turns are in the order of how large that power is, so
every smaller sample is the beginning of a larger one.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from store.analysis.speed import Sample, measure, outcome, short_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from store.analysis.speed import Outcome, TurnTiming

T = TypeVar("T", int, float)

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

    def add(self, turn: TurnTiming) -> None:
        """Add the figures of a turn; only answered turns tell how fast they were."""
        self.started_at.append(turn.started_at // QUARTER * QUARTER)
        measured = measure(turn) if outcome(turn.status, turn.error_type) == "answered" else None
        seconds, waited, rate = measured or (None, None, None)
        self.seconds.append(_known(seconds))
        self.first_byte_seconds.append(_known(waited))
        self.tokens_per_second.append(_known(rate))
        self.input_tokens.append(_known(turn.input_tokens))

    def extend(self, others: TurnColumns) -> None:
        """Add the figures of other turns."""
        for mine, column in zip(self, others, strict=True):
            mine.extend(column)

    def add_bytes(self, written: bytes, number: int) -> None:
        """Add the first turns of columns that `to_bytes` has written."""
        length = len(written) // len(self)
        view = memoryview(written)
        for place, column in enumerate(self):
            column.frombytes(view[place * length : place * length + number * column.itemsize])

    def answered_inputs(self) -> Sequence[float]:
        """Return the input tokens of the turns that tell how fast they were."""
        return [tokens for tokens, took in zip(self.input_tokens, self.seconds, strict=True) if took == took]  # noqa: PLR0124

    def chosen(self, places: Sequence[int]) -> TurnColumns:
        """Return the turns at some places."""
        return TurnColumns(*(array("d", [column[place] for place in places]) for column in self))

    def to_bytes(self) -> bytes:
        """Return the columns one after the other."""
        return b"".join(column.tobytes() for column in self)


Cell = tuple[TurnKind, TurnColumns]
"""Turns of one kind."""


def empty_columns() -> TurnColumns:
    """Return the columns of no turns."""
    return TurnColumns(*(array("d") for _ in TurnColumns._fields))


# Adding up


def _figures() -> array[float]:
    # A float each: a list of a million floats takes four times as much memory.
    return array("d")


@dataclass(slots=True)
class Tally:
    """The turns of one row, all of them counted, and the figures of those that were read."""

    turns: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    rerouted: int = 0
    seconds: array[float] = field(default_factory=_figures)
    first_byte_seconds: array[float] = field(default_factory=_figures)
    tokens_per_second: array[float] = field(default_factory=_figures)
    input_tokens: array[float] = field(default_factory=_figures)

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
            mine.extend([figure for figure in column if figure == figure])  # noqa: PLR0124 (an unknown one is not)

    def merge(self, other: Tally) -> None:
        """Add the turns of another row."""
        self.turns += other.turns
        self.outcomes += other.outcomes
        self.errors += other.errors
        self.rerouted += other.rerouted
        for mine, others in (
            (self.seconds, other.seconds),
            (self.first_byte_seconds, other.first_byte_seconds),
            (self.tokens_per_second, other.tokens_per_second),
            (self.input_tokens, other.input_tokens),
        ):
            mine.extend(others)


# Samples


def cells(turns: Iterable[TurnTiming]) -> Iterator[Cell]:
    """Yield the turns by kinds."""
    found: dict[TurnKind, TurnColumns] = {}
    for turn in turns:
        kind = kind_of(turn)
        columns = found.get(kind)
        if columns is None:
            columns = found[kind] = empty_columns()
        columns.add(turn)
    yield from found.items()


def kind_of(turn: TurnTiming) -> TurnKind:
    """Return the kind of a turn."""
    return TurnKind(turn.model, turn.response_model, turn.reasoning_effort, turn.tier, turn.status, turn.error_type)


def samples(cell: Cell, day_of: Callable[[float], str | None]) -> Iterator[Sample]:
    """Yield the turns of a cell for `compare`; none where the limits refused them, or they were interrupted.

    Their model is the one that responded, by its short name. `day_of` returns the day of a timestamp.
    """
    kind, turns = cell
    ended = outcome(kind.status, kind.error_type)
    if ended in {"refused", "interrupted"}:
        return
    model = kind.response_model or kind.model
    model = short_model(model) if model else None
    for started_at, _, waited, rate, tokens in zip(*turns, strict=True):
        yield Sample(
            day_of(started_at),
            model,
            kind.reasoning_effort,
            kind.tier,
            _told(tokens, int),
            ended == "failed",
            _told(waited, float),
            _told(rate, float),
        )


def level(row_id: int) -> int:
    """Return how many times 2 divides an id: the turn is in samples of every 2nd, 4th … turn up to that power."""
    return (row_id & -row_id).bit_length() - 1


def sample_level(number: int, most: int) -> int:
    """Return the level of a sample of at most so many of a number of turns."""
    return max(0, -(-number // max(1, most)) - 1).bit_length()


def _told(figure: float, kind: type[T]) -> T | None:
    return None if math.isnan(figure) else kind(figure)


def _known(value: float | None) -> float:
    return UNKNOWN if value is None else value
