"""``accounts``: list, name and forget them."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

import click

from scripts.commands.shared import (
    NOTHING_KNOWN,
    NOTHING_YET,
    WRONG_USE,
    CommandError,
    account_entry,
    checked_name,
    database_option,
    json_option,
    known_accounts,
    list_paths,
    may_still_hold,
    reading,
    reject_options,
    writing,
)
from store.settings import default_database

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from store.queries import Account


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  codex-tap accounts name ann@ work        from now on it is called work
  codex-tap accounts forget work           delete all that was kept of it
""",
)
@json_option
@database_option
@click.pass_context
def accounts(context: click.Context, as_json: bool, database: Path | None) -> None:
    """List the accounts that were seen; name or forget one."""
    if context.invoked_subcommand is not None:
        reject_options(context)
        return
    from store import queries
    from store.database import MissingError

    try:
        with reading(database or default_database()) as connection:
            known = queries.accounts(connection)
    except MissingError:
        known = []
    if as_json:
        click.echo(json.dumps([account_entry(account) for account in known], indent=2))
    elif known:
        _print_accounts(known)
    else:
        click.echo(NOTHING_YET)
    if not known:
        context.exit(NOTHING_KNOWN)


def _print_accounts(known: Sequence[Account]) -> None:
    from scripts import render

    console = render.console()
    render.put(console, render.accounts(known, render.look(console)))


@accounts.command("name")
@click.argument("account")
@click.argument("name", required=False)
@click.option("--clear", is_flag=True, help="Take its name away.")
@database_option
def name_account(account: str, name: str | None, clear: bool, database: Path | None) -> None:
    """Give an account a name, which then stands for it everywhere.

    ACCOUNT is its name or the start of its e-mail, key or token key.
    """
    from store.database import rename_account
    from store.queries import find_account

    if clear == (name is not None):
        raise click.UsageError("Give a name, or --clear to take it away.")
    wanted = None if name is None else checked_name(name)
    path = database or default_database()
    with reading(path) as connection:
        found = find_account(known_accounts(connection), account)
    try:
        with writing(path) as connection:
            rename_account(connection, found.id, wanted)
    except sqlite3.IntegrityError as error:
        raise CommandError(f"another account is called {name!r} already", WRONG_USE) from error
    who = _one_line(found._replace(name=None))
    click.echo(f"{who} is now called {wanted}." if wanted else f"{who} has no name now.")


def _one_line(account: Account) -> str:
    from scripts.render import label

    return label(account)


@accounts.command("forget")
@click.argument("account")
@click.option("--yes", is_flag=True, help="Do not ask.")
@database_option
@click.pass_context
def forget_account(context: click.Context, account: str, yes: bool, database: Path | None) -> None:
    """Delete an account and all that was kept of it.

    ACCOUNT is its name or the start of its e-mail, key or token key. An account that Codex uses again is seen again.
    """
    from scripts.render import count
    from store import queries
    from store.database import forget_account as delete

    path = database or default_database()
    with reading(path) as connection:
        found = queries.find_account(known_accounts(connection), account)
        kept = queries.account_extent(connection, found)
    who = _one_line(found)
    what = f"{count(kept.snapshots, 'snapshot')} of {count(kept.limits, 'limit')}, {count(kept.tokens, 'token key')}"
    if not yes and not click.confirm(f"{who}\nThis deletes {what}.\nThere is no way back. Forget it?"):
        context.exit(1)
    with writing(path) as connection:
        delete(connection, found.id)
    click.echo(f"Forgotten: {who} ({what}).")
    others = may_still_hold(path)
    if others:
        list_paths("These files beside the database may still hold it; delete them if you need them no more:", others)
