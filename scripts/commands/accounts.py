"""``accounts``: list, name and forget them."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

import click

from scripts.commands.options import database_option, json_option, reject_options
from scripts.commands.output import list_paths
from scripts.support.database import (
    account_entry,
    checked_name,
    known_accounts,
    open_for_reading,
    open_for_writing,
    residual_files,
)
from scripts.support.errors import NOTHING_KNOWN, NOTHING_YET, WRONG_USE, CommandError
from store.settings import default_database

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from store.queries.accounts import Account


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
    from store.errors import MissingError
    from store.queries.accounts import load_accounts

    try:
        with open_for_reading(database or default_database()) as connection:
            known = load_accounts(connection)
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
    from scripts.render.accounts import render_accounts
    from scripts.render.console import detect_profile, make_console, print_text

    console = make_console()
    print_text(console, render_accounts(known, detect_profile(console)))


@accounts.command("name")
@click.argument("account")
@click.argument("name", required=False)
@click.option("--clear", is_flag=True, help="Take its name away.")
@database_option
def name_account(account: str, name: str | None, clear: bool, database: Path | None) -> None:
    """Give an account a name, which then stands for it everywhere.

    ACCOUNT is its name or the start of its e-mail, key or token key.
    """
    from store.edits import rename_account
    from store.queries.accounts import find_account

    if clear == (name is not None):
        raise click.UsageError("Give a name, or --clear to take it away.")
    wanted = None if name is None else checked_name(name)
    path = database or default_database()
    with open_for_reading(path) as connection:
        found = find_account(known_accounts(connection), account)
    try:
        with open_for_writing(path) as connection:
            rename_account(connection, found.id, wanted)
    except sqlite3.IntegrityError as error:
        raise CommandError(f"another account is called {name!r} already", WRONG_USE) from error
    who = _one_line(found._replace(name=None))
    click.echo(f"{who} is now called {wanted}." if wanted else f"{who} has no name now.")


def _one_line(account: Account) -> str:
    from scripts.render.accounts import account_label

    return account_label(account)


@accounts.command("forget")
@click.argument("account")
@click.option("--yes", is_flag=True, help="Do not ask.")
@database_option
@click.pass_context
def forget_account(context: click.Context, account: str, yes: bool, database: Path | None) -> None:
    """Delete an account and all that was kept of it.

    ACCOUNT is its name or the start of its e-mail, key or token key. An account that Codex uses again is seen again.
    """
    from scripts.render.console import count
    from store.edits import forget_account as delete
    from store.queries.accounts import account_counts, find_account

    path = database or default_database()
    with open_for_reading(path) as connection:
        found = find_account(known_accounts(connection), account)
        kept = account_counts(connection, found)
    who = _one_line(found)
    what = f"{count(kept.snapshots, 'snapshot')} of {count(kept.limits, 'limit')}, {count(kept.tokens, 'token key')}"
    if not yes and not click.confirm(f"{who}\nThis deletes {what}.\nThere is no way back. Forget it?"):
        context.exit(1)
    with open_for_writing(path) as connection:
        delete(connection, found.id)
    click.echo(f"Forgotten: {who} ({what}).")
    others = residual_files(path)
    if others:
        list_paths("These files beside the database may still hold it; delete them if you need them no more:", others)
