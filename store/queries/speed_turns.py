"""The turns of a time range for ``speed``: their number, counts of them by kind, and samples of their figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from store.analysis.speed_cells import QUARTER, TurnKind, cells, sample_level
from store.queries.cursors import tuple_cursor
from store.queries.kept_speed import (
    TIMED,
    TIMING_COLUMNS,
    KeptParts,
    kept_cells,
    kept_counts,
    kept_number,
    kept_parts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from store.analysis.speed import TurnTiming
    from store.analysis.speed_cells import Cell, Count
    from store.connection import Connection
    from store.queries.kept_speed import KeptTurns


class Range(NamedTuple):
    """The turns that ended after `since`, up to `until` (Unix seconds)."""

    since: float
    until: float


class Parts(NamedTuple):
    """The parts of a time range: what is read of the database, and what is kept."""

    read: list[Range]
    kept: KeptParts


class SpeedTurns(NamedTuple):
    """The turns of accounts that the tap saw end in a time range, without warm-ups."""

    connection: Connection
    kept: KeptTurns | None
    accounts: Sequence[int]
    period: Range

    def within(self, since: float, until: float) -> SpeedTurns:
        """Return the turns of another time range."""
        return self._replace(period=Range(since, until))

    def number(self) -> int:
        """Return how many there are, warm-ups and imported ones included: for that the index is enough."""
        found = 0
        for account in self.accounts:
            parts = self.parts(account)
            for part in parts.read:
                found += self.connection.execute(_NUMBER, (account, *part)).fetchone()[0]
            if self.kept:
                found += kept_number(self.kept, account, parts.kept)
        return found

    def counts(self, alike: Callable[[float, int], float] | None) -> Iterator[Count]:
        """Yield the numbers of turns by kind, as `kept_counts` does."""
        statement = _COUNTS if alike is None else _QUARTER_COUNTS
        parts = {account: self.parts(account) for account in self.accounts}
        for account, each in parts.items():
            for part in each.read:
                for *kind, quarter, number in tuple_cursor(self.connection).execute(statement, (account, *part)):
                    yield TurnKind._make(kind), quarter, [number]
        if self.kept:
            yield from kept_counts(self.kept, {account: each.kept for account, each in parts.items()}, alike)

    def level(self, most: int) -> int:
        """Return the level of a sample of at most about so many of the turns; 0 has all of them."""
        return sample_level(self.number(), most)

    def sample(self, wanted: int) -> Iterator[Cell]:
        """Yield the turns of a level or above."""
        for account in self.accounts:
            parts = self.parts(account)
            for part in parts.read:
                rows = tuple_cursor(self.connection).execute(_SAMPLE, (account, *part, 1 << wanted))
                yield from cells(cast("Iterator[TurnTiming]", rows))  # many thousands
            if self.kept:
                yield from kept_cells(self.kept, account, parts.kept, wanted)

    def parts(self, account: int) -> Parts:
        """Return what is read of an account's turns, and what is kept."""
        since, until = self.period
        kept = KeptParts([], []) if self.kept is None else kept_parts(self.kept, account, since, until)
        read = []
        for part in sorted([*kept.days, *kept.hours]):
            read.append(Range(since, part.since))
            since = part.until
        return Parts([part for part in (*read, Range(since, until)) if part.since < part.until], kept)


_KIND_COLUMNS = ", ".join(TurnKind._fields)
_IN_RANGE = "account = ? AND ended_at > ? AND ended_at <= ?"
_NUMBER = f"SELECT count(*) FROM main.requests WHERE {_IN_RANGE}"  # noqa: S608 (constants)
_KINDS = ", ".join(str(place + 1) for place in range(len(TurnKind._fields)))
_COUNTS = f"SELECT {_KIND_COLUMNS}, 0, count(*) FROM requests WHERE {_IN_RANGE} AND {TIMED} GROUP BY {_KINDS}"  # noqa: S608 (constants)
_QUARTER_COUNTS = (
    f"SELECT {_KIND_COLUMNS}, CAST(started_at / {QUARTER} AS BIGINT) * {QUARTER}, count(*) FROM requests"  # noqa: S608 (constants)
    f" WHERE {_IN_RANGE} AND {TIMED} GROUP BY {_KINDS}, {len(TurnKind._fields) + 1}"
)
_SAMPLE = f"SELECT {TIMING_COLUMNS} FROM requests WHERE {_IN_RANGE} AND id % ? = 0 AND {TIMED}"  # noqa: S608 (constants)
