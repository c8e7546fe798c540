"""Opening the database, and the accounts that a person chooses by prefixes."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, NamedTuple, cast

from scripts.support.errors import WRONG_USE, CommandError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from store.documents import AccountEntry, AccountStatus, WindowForecast
    from store.queries.accounts import Account


_WRITE_WAIT_MILLISECONDS = 5_000
"""How long a change waits for a proxy that is writing."""


@contextlib.contextmanager
def open_for_reading(path: Path, lock_seconds: float | None = None) -> Iterator[sqlite3.Connection]:
    """Open the database for reading; all queries see the same state of it.

    Args:
        path: The database.
        lock_seconds: How long to wait for a lock; None means as long as usual.

    Raises:
        MissingError: The database does not exist.
        DatabaseError: The database cannot be read.
    """
    from store.database import READ_SECONDS, open_reader
    from store.queries.cursors import read_transaction

    seconds = READ_SECONDS if lock_seconds is None else lock_seconds
    with contextlib.closing(open_reader(path, seconds)) as connection, read_transaction(connection):
        yield connection


@contextlib.contextmanager
def open_for_writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Open an existing database for writing."""
    from store.database import bound_questions, open_writer

    with contextlib.closing(open_writer(path)) as connection:
        bound_questions(connection, path)
        connection.execute(f"PRAGMA busy_timeout = {_WRITE_WAIT_MILLISECONDS}")
        yield connection


class Session(NamedTuple):
    """A connection for reading, and the accounts as they were when the connection was opened.

    `accounts` are the chosen ones in the order of choice, or all where no prefix was given; `known` are all.
    """

    connection: sqlite3.Connection
    accounts: list[Account]
    known: list[Account]


@contextlib.contextmanager
def session(path: Path, prefixes: Sequence[str] = ()) -> Iterator[Session]:
    """Open the database for reading, and resolve prefixes of accounts.

    Raises:
        MissingError: The database does not exist, or contains no account.
        DatabaseError: The database cannot be read.
        AccountError: A prefix matches no account or several.
    """
    from store.errors import MissingError
    from store.queries.accounts import load_accounts

    with open_for_reading(path) as connection:
        known = load_accounts(connection)
        if not known:
            raise MissingError
        yield Session(connection, chosen_accounts(known, prefixes) or known, known)


def chosen_accounts(known: Sequence[Account], prefixes: Sequence[str]) -> list[Account]:
    """Return the account of each prefix, without duplicates.

    Raises:
        AccountError: A prefix matches no account or several.
    """
    from store.queries.accounts import find_account

    return list(dict.fromkeys(find_account(known, prefix) for prefix in prefixes))


def account_status(path: Path, prefix: str | None) -> AccountStatus | None:
    """Return the status of the account that a prefix matches, or of the account in use; None while nothing is known.

    Raises:
        AccountError: The prefix matches no account or several.
        DatabaseError: The database cannot be read.
    """
    from store.errors import MissingError

    try:
        with session(path, [prefix] if prefix else []) as found:
            return _chosen_status(found, prefix, time.time())
    except MissingError:
        return None


def account_outlook(path: Path, prefix: str | None) -> tuple[AccountStatus, Mapping[str, WindowForecast]] | None:
    """Return the status of an account as `account_status` does, and the forecasts of its main limit's windows by slot.

    Raises:
        AccountError: The prefix matches no account or several.
        DatabaseError: The database cannot be read.
    """
    from store.analysis.ranking import main_limit
    from store.errors import MissingError
    from store.queries.forecast import load_forecasts

    now = time.time()
    try:
        with session(path, [prefix] if prefix else []) as found:
            status = _chosen_status(found, prefix, now)
            limit = main_limit(status) if status else None
            if status is None or limit is None:
                return (status, {}) if status else None
            chosen = [account for account in found.accounts if account.key == status["account"]]
            (forecast,) = load_forecasts(found.connection, now, chosen, limit["limit_id"])["accounts"]
            return status, {slot: window for each in forecast["limits"] for slot, window in each["windows"].items()}
    except MissingError:
        return None


def _chosen_status(found: Session, prefix: str | None, now: float) -> AccountStatus | None:
    from store.analysis.ranking import in_use
    from store.queries.status import load_status

    document = load_status(found.connection, now, found.accounts)
    return next(iter(document["accounts"]), None) if prefix else in_use(document)


def account_entry(account: Account) -> AccountEntry:
    """Return an account as ``accounts --json`` and the API write it: its fields but ``id``, its key as ``account``."""
    fields = account._asdict()
    del fields["id"]
    return cast("AccountEntry", {"account": fields.pop("key"), **fields})


def residual_files(path: Path) -> list[Path]:
    """Return the files beside a database that may still contain data of a deleted account."""
    from store.files import alerts_state_path, backup_files, partial_files, spill_files

    alerts_state = alerts_state_path(path)
    alerts_files = [alerts_state] if alerts_state.exists() else []
    return [*backup_files(path), *spill_files(path), *alerts_files, *partial_files(path)]


def checked_limits(known: list[str], wanted: str | None) -> list[str]:
    """Return the wanted limit as a list, or all known limits where none is wanted.

    Raises:
        CommandError: The wanted limit is not a known one.
    """
    if wanted is None:
        return known
    if wanted not in known:
        raise CommandError(f"no limit {wanted!r} has been seen; there are: {', '.join(known)}", WRONG_USE)
    return [wanted]


def checked_name(name: str) -> str:
    """Return the name that a person gives, stripped of surrounding spaces.

    Raises:
        CommandError: The name is empty or contains control characters.
    """
    stripped = name.strip()
    if not stripped or not stripped.isprintable():
        raise CommandError("a name must not be empty or contain control characters", WRONG_USE)
    return stripped
