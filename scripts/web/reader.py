"""Queries of the API: each request opens the database, and resolves the prefix of an account."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from scripts.support.database import open_for_reading
from store.errors import MissingError
from store.queries.accounts import AccountError, find_stored_account, load_accounts
from store.queries.cursors import read_transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.support.place import Place
    from store.connection import Connection
    from store.queries.accounts import Account

T = TypeVar("T")


class Reader(NamedTuple):
    """Reads the database at a path. Each query opens the file, so one that was created or replaced is found."""

    place: Place

    def query(self, load: Callable[[Connection], T], empty: T) -> T:
        """Return the result of `load`, or `empty` if there is no database yet.

        Raises:
            DatabaseError: the database cannot be read.
            sqlite3.Error: the database cannot be read, which was found during the query.
        """
        try:
            with open_for_reading(self.place) as connection, read_transaction(connection):
                return load(connection)
        except MissingError:
            return empty

    def query_accounts(self, prefix: str | None, load: Callable[[Connection, list[Account]], T], empty: T) -> T:
        """Return the result of `load` for the account that a prefix matches, or for all accounts without a prefix.

        Raises:
            AccountError: the prefix matches no account, or several.
        """
        if prefix is None:
            return self.query(lambda connection: load(connection, load_accounts(connection)), empty)
        return self.query_account(prefix, lambda connection, account: load(connection, [account]))

    def query_account(self, prefix: str, load: Callable[[Connection, Account], T]) -> T:
        """Return the result of `load` for the account that a prefix matches.

        Raises:
            AccountError: the prefix matches no account, or several.
        """
        try:
            with open_for_reading(self.place) as connection, read_transaction(connection):
                return load(connection, find_stored_account(connection, prefix))
        except MissingError as error:
            raise AccountError(f"no account matches {prefix!r}", []) from error
