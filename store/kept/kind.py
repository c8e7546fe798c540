"""The description of one kind of kept rows, and what its functions are given."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

FINAL_SECONDS = 25 * 3_600
"""What is older is final: a turn of a day may still explain an increase, and is stored when it ends."""


def floor_to(step: float, at: float) -> float:
    """Return the last time up to `at` at which coverage in steps of so many seconds may end."""
    return math.floor(at / step) * step if step else at


def ceil_to(step: float, at: float) -> float:
    """Return the first time from `at` on at which coverage in steps of so many seconds may begin."""
    return math.ceil(at / step) * step if step else at


class Piece(NamedTuple):
    """What a kind's `fill` is asked for: the rows of one account with ``since < at <= until`` (Unix seconds).

    ``source`` reads one state of the database, which has everything of the account up to now; rows after ``until`` can
    be read as well. Rows are inserted through ``kept``; of the account it has the rows up to ``since``, or, where older
    ones are added, those after ``until``. A ``since`` of 0 stands for "from the first row on".
    """

    source: sqlite3.Connection
    kept: sqlite3.Connection
    account: int
    since: float
    until: float


class Kind(NamedTuple):
    """One kind of kept rows.

    Args:
        name: Its name; those of its tables begin with it.
        rules: The version of the rules by which its rows are made. Another number than the file's drops all of them.
        tables: Its tables by their names, each as the list of its columns, which ``account INTEGER, at REAL`` precede.
            ``at`` (Unix seconds) is what a row belongs to: the row depends on nothing that happened after the piece
            that it was filled in, but on what a fill may read. For a sum over a span of time it is the span's end.
        fill: Inserts the rows of a piece, and returns up to when they are complete: nearly always ``piece.until``. An
            earlier time leaves the rest to a later fill.
        step: Spans of time that belong together, in seconds: coverage begins and ends at multiples of it. 0 means that
            it may do so anywhere.
        final: How old a row is when nothing but what arrives late changes it any more, in seconds.
        growth: Where the newest step may be incomplete: coverage ends at multiples of so many seconds as well, until a
            cut takes all of that step. None stands for `step`.
        spans: The tables whose rows sum up a span of time that is longer than `step`, and its length in seconds: a row
            goes where the coverage no longer has all of its span.

    """

    name: str
    rules: int
    tables: Mapping[str, str]
    fill: Callable[[Piece], float]
    step: float = 0.0
    final: float = FINAL_SECONDS
    growth: float | None = None
    spans: Mapping[str, float] = MappingProxyType({})


class Coverage(NamedTuple):
    """The rows of an account are complete for ``since < at <= until``; a ``since`` of 0 stands for the first row."""

    since: float
    until: float


class Kept(NamedTuple):
    """What a question may use: the rows within the coverage of each account; an account may have none."""

    connection: sqlite3.Connection
    coverage: Mapping[int, Coverage]
