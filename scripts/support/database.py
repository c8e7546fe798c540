"""Opening the database for a command, and the accounts that a person means."""

from __future__ import annotations

import contextlib
import gc
import time
from typing import TYPE_CHECKING, Any

from scripts.support.errors import WRONG_USE, CommandError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from store.documents import AccountStatus
    from store.queries.accounts import Account


_WRITE_WAIT_MILLISECONDS = 5_000
"""How long naming and forgetting wait for a proxy that is writing."""


@contextlib.contextmanager
def open_for_reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database for reading.

    Raises:
        MissingError: there is none yet.
        DatabaseError: it cannot be read.
    """
    from store.database import open_reader
    from store.queries.cursors import read_transaction

    # An answer is made of many small values without a cycle: looking for one takes a sixth of the time.
    gc.disable()
    try:
        with contextlib.closing(open_reader(path)) as connection, read_transaction(connection):
            yield connection
    finally:
        gc.enable()


@contextlib.contextmanager
def open_for_writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database that is there for writing."""
    from store.database import open_writer

    with contextlib.closing(open_writer(path)) as connection:
        connection.execute(f"PRAGMA busy_timeout = {_WRITE_WAIT_MILLISECONDS}")
        yield connection


def known_accounts(connection: sqlite3.Connection) -> list[Account]:
    """Return the accounts.

    Raises:
        MissingError: there is none yet.
    """
    from store.errors import MissingError
    from store.queries.accounts import load_accounts

    known = load_accounts(connection)
    if not known:
        raise MissingError
    return known


def chosen_accounts(known: Sequence[Account], starts: Sequence[str]) -> list[Account]:
    """Return the accounts that names or starts of them stand for, each once; all where none is given.

    Raises:
        AccountError: one stands for none or several.
    """
    from store.queries.accounts import find_account

    return list(dict.fromkeys(find_account(known, start) for start in starts)) or list(known)


def account_status(path: Path, start: str | None) -> AccountStatus | None:
    """Return the account that a start stands for, else the one in use, as ``status`` tells it; None before it is told.

    Raises:
        AccountError: it stands for none or several.
        DatabaseError: the database cannot be read.
    """
    from store.analysis.ranking import in_use
    from store.errors import MissingError
    from store.queries.status import load_status

    try:
        with open_for_reading(path) as connection:
            chosen = chosen_accounts(known_accounts(connection), [start] if start else [])
            document = load_status(connection, time.time(), chosen)
    except MissingError:
        return None
    return next(iter(document["accounts"]), None) if start else in_use(document)


def account_entry(account: Account) -> dict[str, Any]:
    """Return an account as ``accounts --json`` and the API write it: its fields but ``id``, its key as ``account``."""
    fields = account._asdict()
    del fields["id"]
    return {"account": fields.pop("key"), **fields}


def residual_files(path: Path) -> list[Path]:
    """Return the files beside a database that forgetting leaves alone and that may still hold the account."""
    from store.files import alerts_state_path, backup_files, partial_files, spill_files

    state = alerts_state_path(path)
    return [*backup_files(path), *spill_files(path), *([state] if state.exists() else []), *partial_files(path)]


def checked_limits(known: list[str], wanted: str | None) -> list[str]:
    """Return the wanted limit of those that were seen, or all of them.

    Raises:
        CommandError: it was never seen.
    """
    if wanted is None:
        return known
    if wanted not in known:
        raise CommandError(f"no limit {wanted!r} was seen; there are: {', '.join(known)}", WRONG_USE)
    return [wanted]


def checked_name(name: str) -> str:
    """Return a name that a person gives, without spaces around it.

    Raises:
        CommandError: it is none.
    """
    stripped = name.strip()
    if not stripped or not stripped.isprintable():
        raise CommandError("a name has at least one character and only printable ones", WRONG_USE)
    return stripped
