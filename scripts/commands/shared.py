"""What commands share: options, exit codes, how the database is opened, and which accounts are meant."""

from __future__ import annotations

import contextlib
import gc
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scripts.printable import printable
from store.settings import DATABASE_VARIABLE

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from store.queries import Account


WRONG_USE, NOTHING_KNOWN, FAILED = 2, 3, 4
"""Exit codes; 1 is a condition that was asked for and does not hold."""

NOTHING_YET = "Nothing seen yet. Run Codex through the tap once:  codex-tap run codex"

_WRITE_WAIT_MILLISECONDS = 5_000
"""How long naming and forgetting wait for a proxy that is writing."""


class CommandError(Exception):
    """An expected failure: one line for people, an exit code for programs."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def _database(_context: click.Context, _parameter: click.Parameter, value: Path | None) -> Path | None:
    return value.expanduser() if value else None


database_option = click.option(
    "--db",
    "database",
    type=click.Path(path_type=Path),
    metavar="PATH",
    callback=_database,
    help=f"The database; else {DATABASE_VARIABLE}, else the user's data folder.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")

accounts_argument = click.argument("accounts", nargs=-1, metavar="[ACCOUNT]...")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database for reading.

    Raises:
        MissingError: there is none yet.
        DatabaseError: it cannot be read.
    """
    from store.database import open_reader

    # An answer is made of many small values without a cycle: looking for one takes a sixth of the time.
    gc.disable()
    try:
        with contextlib.closing(open_reader(path)) as connection:
            yield connection
    finally:
        gc.enable()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
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
    from store.database import MissingError
    from store.queries import accounts

    known = accounts(connection)
    if not known:
        raise MissingError
    return known


def chosen_accounts(known: Sequence[Account], starts: Sequence[str]) -> list[Account] | None:
    """Return the accounts that names or starts of them stand for, each once; None, which is all, where none is given.

    Raises:
        AccountError: one stands for none or several.
    """
    from store.queries import find_account

    return list(dict.fromkeys(find_account(known, start) for start in starts)) or None


def told_account(path: Path, start: str | None) -> Mapping[str, Any] | None:
    """Return the account that a start stands for, else the one in use, as ``status`` tells it; None before it is told.

    Raises:
        AccountError: it stands for none or several.
        DatabaseError: the database cannot be read.
    """
    from store import queries
    from store.choice import in_use
    from store.database import MissingError

    try:
        with reading(path) as connection:
            chosen = chosen_accounts(known_accounts(connection), [start] if start else [])
            document = queries.status(connection, time.time(), chosen)
    except MissingError:
        return None
    return next(iter(document["accounts"]), None) if start else in_use(document)


def account_entry(account: Account) -> dict[str, Any]:
    """Return an account as ``accounts --json`` and the API write it: its fields but ``id``, its key as ``account``."""
    fields = account._asdict()
    del fields["id"]
    return {"account": fields.pop("key"), **fields}


def may_still_hold(path: Path) -> list[Path]:
    """Return the files beside a database that forgetting leaves alone and that may still hold the account."""
    from scripts.alerts.state import state_path
    from store.database import kept_copies, unfinished_files, waiting_files

    told = state_path(path)
    return [*kept_copies(path), *waiting_files(path), *([told] if told.exists() else []), *unfinished_files(path)]


def reject_options(context: click.Context) -> None:
    """Refuse options in front of a subcommand, which would be silently lost there."""
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(f"Options come after the command: {context.invoked_subcommand} {given[0]} …")


def since_moment(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    """Return the moment that ``7d``, ``36h`` or an ISO date means, in Unix seconds."""
    from scripts.moments import parse_since

    try:
        return None if value is None else parse_since(value, time.time())
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def since_option(default: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option ``--since``, which gives a command a moment in Unix seconds."""
    return click.option(
        "--since",
        callback=since_moment,
        default=default,
        show_default=default is not None,
        metavar="WHEN",
        help="7d, 36h, 90min, 2026-11-20, 2026-11-20T14:05.",
    )


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


def list_paths(heading: str, paths: Sequence[Path]) -> None:
    """Print a heading and paths under it."""
    click.echo("\n".join([heading, *(f"  {printable(path)}" for path in paths)]))
