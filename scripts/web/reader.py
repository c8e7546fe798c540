"""What the API asks of the database: a connection for each answer, and the account that is meant."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from store.database import open_reader
from store.errors import MissingError
from store.queries.accounts import AccountError, find_account, load_accounts
from store.queries.cursors import read_transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from store.queries.accounts import Account

T = TypeVar("T")


class AccountLookupError(Exception):
    """What was named is not one account: `candidates` are those it may stand for, or all there are where it is none."""

    def __init__(self, start: str, candidates: Sequence[Account], *, ambiguous: bool) -> None:
        super().__init__(
            f"{start!r} could be any of several accounts" if ambiguous else f"no account goes by {start!r}"
        )
        self.candidates = candidates
        self.ambiguous = ambiguous


class Reader(NamedTuple):
    """Reads the database at a path; each question opens it, so that a file that came or was replaced is found."""

    path: Path

    def ask(self, question: Callable[[sqlite3.Connection], T], nothing: T) -> T:
        """Return the answer to a question, or `nothing` where there is no database yet.

        Raises:
            DatabaseError: It cannot be read.
            sqlite3.Error: The same, found later.
        """
        try:
            with contextlib.closing(open_reader(self.path)) as connection, read_transaction(connection):
                return question(connection)
        except MissingError:
            return nothing

    def ask_of(self, start: str | None, question: Callable[[sqlite3.Connection, list[Account]], T], nothing: T) -> T:
        """Return the answer to a question about one account, or about all where no start of one is given.

        Raises:
            WhichAccountError: The start names none or several.
        """
        if start is None:
            return self.ask(lambda connection: question(connection, load_accounts(connection)), nothing)
        return self.ask_of_one(start, lambda connection, account: question(connection, [account]))

    def ask_of_one(self, start: str, question: Callable[[sqlite3.Connection, Account], T]) -> T:
        """Return the answer to a question about the account that a start names.

        Raises:
            WhichAccountError: It names none or several.
        """
        try:
            with contextlib.closing(open_reader(self.path)) as connection, read_transaction(connection):
                return question(connection, which_account(load_accounts(connection), start))
        except MissingError:
            raise AccountLookupError(start, [], ambiguous=False) from None


def which_account(known: Sequence[Account], start: str) -> Account:
    """Return the account that a start of its name, e-mail or keys stands for, as everywhere in codex-tap.

    Raises:
        WhichAccountError: It stands for none or several.
    """
    try:
        return find_account(known, start)
    except AccountError:
        candidates = [account for account in known if _goes_by(account, start)]
        raise AccountLookupError(start, candidates or known, ambiguous=bool(candidates)) from None


def _goes_by(account: Account, start: str) -> bool:
    try:
        find_account([account], start)
    except AccountError:
        return False
    return True
