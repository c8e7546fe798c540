"""Keeping what is expensive to make again (`store.kept`), before a question that needs it."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scripts.support.place import Place
    from store.kept.kind import Kind

_QUIET_SECONDS = 1.0


def keep_use(
    place: Place,
    prefixes: Sequence[str],
    now: float,
    since: float,
    *,
    window: str | None = None,
    limit_id: str | None = None,
) -> None:
    """Keep what a question about the use of a window needs, where that lags behind; its arguments are `load_usage`'s.

    Raises:
        AccountError: A prefix matches no account or several.
        DatabaseError: The database cannot be read.
        MissingError: There is no database.
        NotSeenError: That limit was never seen.

    """
    from scripts.support.database import session
    from scripts.support.place import own_file
    from store.kept.filling import is_long
    from store.queries.usage import kinds_to_fill

    path = own_file(place)
    if path is None or not is_long(path):
        return
    with session(path, prefixes) as found:
        kinds = kinds_to_fill(
            found.connection, now, accounts=found.accounts, since=since, window=window, limit_id=limit_id
        )
    for kind in kinds:
        keep_for(place, prefixes, kind, since)


def keep_for(
    place: Place, prefixes: Sequence[str], kind: Kind, since: float | None, *, even_short: bool = False
) -> bool:
    """Keep what a question needs of a kind of rows, if the database is long; return False if it is not kept.

    Where it takes longer than a second, a terminal says so on stderr.

    Args:
        place: The database; of a team's database nothing is kept.
        prefixes: The accounts of the question; none means all.
        kind: The kind of rows.
        since: From when on rows are needed, in Unix seconds; None means all.
        even_short: Keep it of a short database as well.

    Raises:
        AccountError: A prefix matches no account or several.
        DatabaseError: The database cannot be read.

    """
    from scripts.support.database import session
    from scripts.support.place import own_file
    from store.errors import MissingError
    from store.kept.filling import Wish, fill, is_long

    database = own_file(place)
    if database is None or not (even_short or is_long(database)):
        return False
    accounts = None
    try:
        if prefixes:
            with session(database, prefixes) as found:
                accounts = [account.id for account in found.accounts]
    except MissingError:
        return False
    began = time.monotonic()
    is_told = not sys.stderr.isatty()

    def tell() -> None:
        nonlocal is_told
        if not is_told and time.monotonic() - began > _QUIET_SECONDS:
            is_told = True
            print("Reading the history once; the next time it takes a moment …", file=sys.stderr, flush=True)

    return fill(database, [Wish(kind, since or 0.0, accounts)], time.time(), on_piece=tell)
