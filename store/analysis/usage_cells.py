"""Sums of the turns and points of a window's use, by what its rows stand for: pure functions.

A **cell** sums turns that are alike in all that a row of ``usage`` may ask for, and that ended in one quarter of an
hour: the hours of every time zone begin at one. Dollars are computed from cells, so a cell has what makes them linear
in its tokens: all of its turns are on one side of each number of input tokens above which prices change (`STEPS`).
"""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from store.analysis.attribution import TurnUse

QUARTER_SECONDS = 900

STEPS = (200_000, 272_000)
"""Numbers of input tokens above which the public prices of some model are others."""


class CellKey(NamedTuple):
    """What the turns of a cell have in common; None is unknown, and in a sum over several cells "any".

    ``quarter`` is the quarter of an hour in which they ended, counted from 1970. ``above`` is the greatest of the steps
    that the input of each exceeds, -1 where it exceeds none. The other names are those of `TurnUse`.
    """

    quarter: int
    thread: str | None = None
    session: str | None = None
    parent_thread: str | None = None
    subagent: str | None = None
    model: str | None = None
    response_model: str | None = None
    tier: str | None = None
    reasoning_effort: str | None = None
    client: str | None = None
    above: int = -1
    machine: str | None = None


@dataclass(slots=True)
class TurnSums:
    """Numbers of turns and tokens, and when the last turn ended.

    ``valued`` counts the turns with tokens, ``not_told`` those that were cut off before theirs were reported. The
    tokens that are billed as cached and as written into the cache are at most the input of their turn.
    """

    turns: int = 0
    imported_turns: int = 0
    refused: int = 0
    warm_ups: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    billed_cached: int = 0
    billed_written: int = 0
    valued: int = 0
    not_told: int = 0
    last_at: float = float("-inf")

    def count(self, turn: TurnUse) -> None:
        """Count a turn."""
        # Unpacked: this is called for each turn of a year.
        _, _, ended_at, _, _, warm_up, status, given, cached, output, reasoning, written = turn[:12]
        if warm_up:
            self.warm_ups += 1
        elif status is not None and status >= 400:
            self.refused += 1
        else:
            self.turns += 1
            self.imported_turns += turn.imported
            if given is None and output is None:
                self.not_told += 1
        if given or output:
            self.valued += 1
            whole = given or 0
            self.input_tokens += whole
            self.output_tokens += output or 0
            billed = min(cached, whole) if cached else 0
            self.billed_cached += billed
            if written:
                self.billed_written += min(written, whole - billed)
        if cached:
            self.cached_tokens += cached
        if reasoning:
            self.reasoning_tokens += reasoning
        self.last_at = max(self.last_at, ended_at)

    def add(self, other: TurnSums, times: int = 1) -> None:
        """Add the numbers of other turns so many times; with -1, of some of these. ``last_at`` stays as it is."""
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + times * getattr(other, name))

    def has_turns(self) -> bool:
        """Return True if there are turns of any kind."""
        return self.turns + self.refused + self.warm_ups > 0

    def values(self) -> tuple[float, ...]:
        """Return the sums in the order of their names."""
        return astuple(self)


_NUMBERS = tuple(TurnSums.__dataclass_fields__)[:-1]


def thread_number(thread: str) -> int:
    """Return the number, of 64 bits with a sign, that stands for a thread where threads are only counted.

    Two of a million threads have the same one in one of 30 million databases.
    """
    digest = hashlib.blake2b(thread.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def step_below(tokens: int, steps: Sequence[int]) -> int:
    """Return the greatest of the sorted steps that a number of input tokens exceeds; -1 where it exceeds none."""
    found = -1
    for step in steps:
        if tokens <= step:
            break
        found = step
    return found


def cell_key(turn: TurnUse, steps: Sequence[int] = STEPS) -> CellKey:
    """Return the key of the cell that a turn is part of; `steps` are those of its model."""
    (
        _,
        _,
        ended_at,
        thread,
        model,
        _,
        _,
        given,
        _,
        _,
        _,
        _,
        tier,
        session,
        parent,
        subagent,
        effort,
        client,
        other,
        _,
        machine,
    ) = turn
    above = step_below(given, steps) if given else -1
    quarter = int(ended_at // QUARTER_SECONDS)
    return CellKey(quarter, thread, session, parent, subagent, model, other, tier, effort, client, above, machine)


def turn_cells(
    turns: Iterable[TurnUse], steps_of: Callable[[str | None], Sequence[int]] = lambda _: STEPS
) -> dict[CellKey, TurnSums]:
    """Return the sums of turns by cell, in the order of the first turn of each."""
    found: dict[CellKey, TurnSums] = {}
    for turn in turns:
        key = cell_key(turn, steps_of(turn.response_model or turn.model))
        sums = found.get(key)
        if sums is None:
            sums = found[key] = TurnSums()
        sums.count(turn)
    return found
