"""Filling the kept rows, piece by piece.

Each piece is one transaction that holds the one write lock of the file *before* the state of the database is read: so
states are read in the order in which pieces are stored, whichever process stores them, and a process that is killed
loses one piece.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from store.database import open_reader
from store.errors import MissingError
from store.files import kept_path
from store.kept.kind import Coverage, Piece, ceil_to, floor_to
from store.kept.storage import FAILURES, delete_kept, open_kept_for_filling, writing
from store.kept.validity import compare, delete_rows, store_coverage, stored_coverage

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from store.kept.kind import Kind

PIECE_SECONDS = 30 * 86_400.0
"""The time that one piece covers at most: a second's work for an account with 200,000 snapshots in a year."""


LONG_BYTES = 4_000_000
"""Bytes of a database, some 4,000 snapshots and 8,000 turns, which take a third of a second to read."""


class Wish(NamedTuple):
    """The rows that a question needs: those from ``since`` on (Unix seconds), of some accounts or of all."""

    kind: Kind
    since: float = 0.0
    accounts: Collection[int] | None = None


def fill(
    database: Path,
    wishes: Sequence[Wish],
    now: float,
    *,
    on_piece: Callable[[], None] = lambda: None,
) -> bool:
    """Keep what questions need, as far as it is final; return False if it could not be kept.

    Where the coverage of an account ends so long before ``since`` that more would have to be filled than the question
    needs, nothing is filled: the rows of the database are asked then.

    Args:
        database: The database; where it is missing, there is nothing to keep.
        wishes: What is needed.
        now: The time, in Unix seconds.
        on_piece: Called after each piece.

    """
    try:
        with (
            contextlib.closing(open_reader(database)) as source,
            open_kept_for_filling(database, [wish.kind for wish in wishes]) as kept,
        ):
            for wish in wishes:
                for account in _accounts(source, wish):
                    while _fill_piece(source, kept, wish, account, now):
                        on_piece()
    except MissingError:
        return True
    except FAILURES:
        return False
    return True


def drop(database: Path, kinds: Sequence[Kind], accounts: Collection[int]) -> None:
    """Delete what is kept of kinds of rows of accounts, so that it is made anew, as far as it can be deleted."""
    with contextlib.suppress(*FAILURES):
        if kept_path(database).exists():
            with open_kept_for_filling(database, kinds) as kept, writing(kept):
                for kind in kinds:
                    for account in accounts:
                        store_coverage(kept, kind.name, account, None)
                        delete_rows(kept, kind.name, account, None)


def is_long(database: Path) -> bool:
    """Return True if a database is so long that keeping answers is worth the work; False if it cannot be read."""
    try:
        return database.stat().st_size >= LONG_BYTES
    except OSError:
        return False


def drop_edited(database: Path) -> None:
    """Delete what is kept of rows that were changed or deleted; after an account's deletion nothing of it is kept.

    Where that cannot be done now, all that is kept of the database is deleted.
    """
    try:
        if kept_path(database).exists():
            with (
                contextlib.closing(open_reader(database)) as source,
                open_kept_for_filling(database, ()) as kept,
                writing(kept),
                _one_state(source),
            ):
                compare(source, kept)
    except FAILURES:
        delete_kept(database)


def _accounts(source: sqlite3.Connection, wish: Wish) -> list[int]:
    if wish.accounts is not None:
        return sorted(wish.accounts)
    return [row[0] for row in source.execute("SELECT id FROM accounts ORDER BY id")]


def _fill_piece(source: sqlite3.Connection, kept: sqlite3.Connection, wish: Wish, account: int, now: float) -> bool:
    """Fill the next piece of an account; return False if there is none."""
    kind = wish.kind
    with contextlib.suppress(_NothingFilledError), writing(kept), _one_state(source):
        compare(source, kept)
        known = stored_coverage(kept, kind.name).get(account)
        bounds = _next_bounds(_first_row_at(source, account), wish, known, now)
        if bounds is not None:
            reached = kind.fill(Piece(source, kept, account, *bounds))
            store_coverage(kept, kind.name, account, _extended(known, bounds, reached))
            return True
    return False


class _NothingFilledError(Exception):
    """Undoes a piece that brought the coverage no further."""


def _extended(known: Coverage | None, bounds: Coverage, reached: float) -> Coverage:
    """Return the coverage after a piece whose rows are complete up to a time."""
    is_older = known is not None and bounds.until <= known.since
    if reached <= bounds.since or (is_older and reached < bounds.until):
        raise _NothingFilledError
    if known is None:
        return Coverage(bounds.since, reached)
    return Coverage(bounds.since, known.until) if is_older else Coverage(known.since, reached)


def _next_bounds(first_at: float | None, wish: Wish, known: Coverage | None, now: float) -> Coverage | None:
    """Return from when to when the next piece of an account goes: first up to the present, then further back."""
    step = wish.kind.step
    end = floor_to(step if wish.kind.growth is None else wish.kind.growth, now - wish.kind.final)
    if first_at is None or end <= first_at:
        return None
    since = 0.0 if wish.since <= first_at else floor_to(step, wish.since)
    begun = since if known is None else known.until
    if begun < end and since - begun <= end - since:
        return Coverage(begun, min(end, ceil_to(step, max(begun, first_at) + PIECE_SECONDS)))
    if known is not None and since < known.since:
        start = max(since, floor_to(step, known.since - PIECE_SECONDS))
        return Coverage(0.0 if start <= first_at else start, known.since)
    return None


def _first_row_at(source: sqlite3.Connection, account: int) -> float | None:
    found = [at for at in source.execute(_FIRST_ROWS, {"account": account}).fetchone() if at is not None]
    return min(found, default=None)


@contextlib.contextmanager
def _one_state(source: sqlite3.Connection) -> Iterator[None]:
    """Read one state of the database: that at the first question."""
    source.execute("BEGIN")
    try:
        yield
    finally:
        source.rollback()


_FIRST_ROWS = """
SELECT (SELECT min((
            SELECT min(s.first_seen_at) FROM snapshots s WHERE s.account = l.account AND s.limit_id = l.limit_id
        )) FROM limits l WHERE l.account = :account),
       (SELECT min(ended_at) FROM requests WHERE account = :account),
       (SELECT min(first_seen_at) FROM imported_limits WHERE account = :account)
"""
