"""Opening the database, and the accounts that a person chooses by prefixes."""

from __future__ import annotations

import contextlib
import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast, overload

from scripts.support.errors import WRONG_USE, CommandError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence

    from scripts.support.place import Place
    from store.connection import Connection
    from store.documents import AccountEntry, AccountStatus, SelectedBy, StatusDocument, WindowForecast
    from store.queries.accounts import Account


_WRITE_WAIT_MILLISECONDS = 5_000
"""How long a change waits for a proxy that is writing."""


def open_place(place: Place, seconds: float | None = None) -> Connection:
    """Open a file or a team's database for reading; wait at most so many seconds for a lock, or for the server.

    Raises:
        MissingError: There is no file yet.
        DatabaseError: It cannot be read.
    """
    if isinstance(place, Path):
        from store.database import READ_SECONDS, open_reader

        return open_reader(place, READ_SECONDS if seconds is None else seconds)
    from store.team.connection import CONNECT_SECONDS, open_team_reader

    return open_team_reader(place, CONNECT_SECONDS if seconds is None else seconds)


@overload
def open_for_reading(
    place: Path, lock_seconds: float | None = None
) -> contextlib.AbstractContextManager[sqlite3.Connection]: ...


@overload
def open_for_reading(
    place: Place, lock_seconds: float | None = None
) -> contextlib.AbstractContextManager[Connection]: ...


@contextlib.contextmanager
def open_for_reading(place: Place, lock_seconds: float | None = None) -> Iterator[Any]:
    """Open the database for reading; all queries see the same state of it.

    Args:
        place: The database: a file, or a team's database.
        lock_seconds: How long to wait for a lock, or for a server; None means as long as usual.

    Raises:
        MissingError: The database does not exist.
        DatabaseError: The database cannot be read.
    """
    from store.queries.cursors import read_transaction

    with contextlib.closing(open_place(place, lock_seconds)) as connection, read_transaction(connection):
        yield connection


@contextlib.contextmanager
def open_for_writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Open an existing database for writing."""
    from store.database import bound_questions, open_writer

    with contextlib.closing(open_writer(path)) as connection:
        bound_questions(connection, path)
        connection.execute(f"PRAGMA busy_timeout = {_WRITE_WAIT_MILLISECONDS}")
        yield connection


class Session:
    """A connection for reading, and the accounts as they were when the connection was opened."""

    def __init__(self, connection: Connection, chosen: list[Account]) -> None:
        """Begin a session.

        Args:
            connection: The connection.
            chosen: The chosen accounts in the order of choice; none where no prefix was given.
        """
        self.connection = connection
        self._chosen = chosen

    @property
    def accounts(self) -> list[Account]:
        """The chosen accounts in the order of choice, or all where no prefix was given."""
        return self._chosen or self.known

    @functools.cached_property
    def known(self) -> list[Account]:
        """All accounts."""
        from store.queries.accounts import load_accounts

        return load_accounts(self.connection)


@contextlib.contextmanager
def session(place: Place, prefixes: Sequence[str] = ()) -> Iterator[Session]:
    """Open the database for reading, and resolve prefixes of accounts.

    Raises:
        MissingError: The database does not exist, or contains no account.
        DatabaseError: The database cannot be read.
        AccountError: A prefix matches no account or several.
    """
    from store.errors import MissingError
    from store.queries.accounts import count_accounts

    with open_for_reading(place) as connection:
        if not count_accounts(connection):
            raise MissingError
        yield Session(connection, chosen_accounts(connection, prefixes))


def chosen_accounts(connection: Connection, prefixes: Sequence[str]) -> list[Account]:
    """Return the account of each prefix, without duplicates.

    Raises:
        AccountError: A prefix matches no account or several.
    """
    from store.queries.accounts import find_stored_account

    return list(dict.fromkeys(find_stored_account(connection, prefix) for prefix in prefixes))


class Selected(NamedTuple):
    """The account that a command answers for, and how it came to it.

    ``status`` is None while nothing is known of that account. ``users`` counts the accounts of the workspace that is
    logged in, where ``by`` is ``codex_home``.
    """

    status: AccountStatus | None
    by: SelectedBy
    users: int = 0


NO_ACCOUNT = Selected(None, "codex_home")
"""What is selected where nobody is logged in, or that account was not seen yet."""


def account_status(place: Place, prefix: str | None, workspace: str | None = None) -> Selected:
    """Return the account that a prefix matches, else that of a workspace, else the one that was seen last.

    Args:
        place: The database.
        prefix: What a person names the account by.
        workspace: The id of the ChatGPT account that is logged in; of several of its users it is the one seen last.

    Raises:
        AccountError: The prefix matches no account or several.
        DatabaseError: The database cannot be read.
    """
    return account_outlook(place, prefix, workspace, with_forecasts=False)[0]


def account_outlook(
    place: Place, prefix: str | None, workspace: str | None = None, *, with_forecasts: bool = True
) -> tuple[Selected, Mapping[str, WindowForecast]]:
    """Return an account as `account_status` does, and the forecasts of its main limit's windows by slot.

    Raises:
        AccountError: The prefix matches no account or several.
        DatabaseError: The database cannot be read.
    """
    from store.errors import MissingError

    now = time.time()
    try:
        with session(place, [prefix] if prefix else []) as found:
            selected = _selected(found, prefix, workspace, now)
            return selected, _forecasts(found, selected.status, now) if with_forecasts else {}
    except MissingError:
        return Selected(None, _selected_by(prefix, workspace)), {}


def _selected(found: Session, prefix: str | None, workspace: str | None, now: float) -> Selected:
    from store.queries.status import load_status

    if not prefix and workspace:
        return login_account(found, workspace, now)
    status = seen_last(load_status(found.connection, now, found.accounts))
    return Selected(status, _selected_by(prefix, workspace))


def _selected_by(prefix: str | None, workspace: str | None) -> SelectedBy:
    return "argument" if prefix else "codex_home" if workspace else "last_seen"


def login_account(found: Session, workspace: str | None, now: float) -> Selected:
    """Return the account of a workspace; of several of its users it is the one seen last."""
    from store.queries.accounts import workspace_accounts
    from store.queries.status import load_status

    members = workspace_accounts(found.connection, workspace) if workspace else []
    if not members:
        return NO_ACCOUNT
    return Selected(seen_last(load_status(found.connection, now, members)), "codex_home", len(members))


def seen_last(document: StatusDocument) -> AccountStatus | None:
    """Return the account of a document that was seen last, else one of which no limit is known; None without any."""
    from store.analysis.account_limits import in_use

    return in_use(document) or next(iter(document["accounts"]), None)


def _forecasts(found: Session, status: AccountStatus | None, now: float) -> Mapping[str, WindowForecast]:
    from store.analysis.account_limits import main_limit
    from store.queries.forecast import load_forecasts

    limit = main_limit(status) if status else None
    if status is None or limit is None:
        return {}
    chosen = chosen_accounts(found.connection, [status["account"]])
    (forecast,) = load_forecasts(found.connection, now, chosen, limit["limit_id"])["accounts"]
    return {slot: window for each in forecast["limits"] for slot, window in each["windows"].items()}


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
