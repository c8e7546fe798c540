"""``accounts``: list, name, merge and delete accounts."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import click

from scripts.commands.completion import complete_account
from scripts.commands.options import (
    ACCOUNT_HELP,
    database_option,
    json_option,
    local_file,
    pass_on_options,
    place_option,
    yes_option,
)
from scripts.commands.output import emit, list_paths
from scripts.support.database import account_entry, checked_name, open_for_writing, residual_files, session
from scripts.support.errors import FAILED, WRONG_USE, CommandError
from scripts.support.place import default_place

if TYPE_CHECKING:
    from pathlib import Path

    from rich.text import Text

    from scripts.render.console import TerminalProfile
    from scripts.render.export import Form
    from scripts.support.place import Place
    from store.queries.accounts import Account
    from store.queries.retention import AccountCounts


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  codex-tap accounts name ann@ work     name an account "work"
  codex-tap accounts merge work 8c1f    add the data of 8c1f… to "work"
  codex-tap accounts forget work        delete an account and its data
""",
)
@json_option
@place_option
@click.pass_context
def accounts(context: click.Context, *, form: Form | None, database: Place | None) -> None:
    """List accounts; name, merge or delete them."""
    if context.invoked_subcommand is not None:
        pass_on_options(context)
        return
    known = _load(database or default_place())

    def render(profile: TerminalProfile) -> Text:
        from scripts.render.accounts import render_accounts

        return render_accounts(known, profile)

    context.exit(emit([account_entry(account) for account in known], form, render, is_known=bool(known)))


def _load(place: Place) -> list[Account]:
    from store.errors import MissingError

    try:
        with session(place) as found:
            return found.known
    except MissingError:
        return []


@accounts.command(
    "name",
    help=f"""Name an account; the name then replaces its e-mail everywhere.

    {ACCOUNT_HELP}
    """,
)
@click.argument("account", shell_complete=complete_account)
@click.argument("name", required=False)
@click.option("--clear", is_flag=True, help="Remove its name.")
@database_option
def name_account(account: str, name: str | None, *, clear: bool, database: Path | None) -> None:
    """Name an account."""
    from store.edits import rename_account
    from store.queries.accounts import labelled

    if clear == (name is not None):
        raise click.UsageError("Give either a NAME or --clear.")
    wanted = None if name is None else checked_name(name)
    path = local_file(database)
    with session(path, [account]) as found:
        (chosen,), known = found.accounts, found.known
    try:
        with open_for_writing(path) as connection:
            rename_account(connection, chosen.id, wanted)
    except sqlite3.IntegrityError as error:
        raise CommandError(f"another account already has the name {wanted!r}", WRONG_USE) from error
    nameless = [each._replace(name=None) if each.id == chosen.id else each for each in known]
    label = _label(next(account for account in labelled(nameless) if account.id == chosen.id))
    click.echo(f"{label} is now named {wanted}." if wanted else f"{label} has no name now.")


def _label(account: Account) -> str:
    from scripts.render.accounts import account_label

    return account_label(account)


@accounts.command(
    "merge",
    help=f"""Add all data of OTHER to ACCOUNT, for two accounts that are one.

    What comes for OTHER later goes to ACCOUNT, too. Where both have a name, ACCOUNT keeps its own. {ACCOUNT_HELP}
    """,
)
@click.argument("account", shell_complete=complete_account)
@click.argument("other", shell_complete=complete_account)
@yes_option
@database_option
@click.pass_context
def merge_accounts(context: click.Context, account: str, other: str, *, yes: bool, database: Path | None) -> None:
    """Add all data of an account to another."""
    from store import edits
    from store.database import transaction
    from store.queries.retention import account_counts

    path = local_file(database)
    with session(path, [account, other]) as found:
        if len(found.accounts) == 1:
            raise CommandError(f"{account!r} and {other!r} are the same account", WRONG_USE)
        kept, merged = found.accounts
        counts = account_counts(found.connection, merged)
    label, into, contents = _label(merged), _label(kept), _contents(counts)
    question = f"{label}\ngoes to: {into}\nThis moves {contents}.\nThis cannot be undone. Merge them?"
    if not yes and not click.confirm(question):
        context.exit(1)
    try:
        with open_for_writing(path) as connection, transaction(connection):
            edits.merge_accounts(connection, kept.id, merged.id)
    except LookupError as error:
        message = "one of them was merged or deleted meanwhile; codex-tap accounts lists what is there"
        raise CommandError(message, FAILED) from error
    click.echo(f"Merged: {label} into {into} ({contents}).")


@accounts.command(
    "forget",
    help=f"""Delete an account and all data stored for it.

    {ACCOUNT_HELP} The account appears again as soon as Codex uses it again.
    """,
)
@click.argument("account", shell_complete=complete_account)
@yes_option
@database_option
@click.pass_context
def forget_account(context: click.Context, account: str, *, yes: bool, database: Path | None) -> None:
    """Delete an account and all data stored for it."""
    from store import edits
    from store.kept.filling import drop_edited
    from store.queries.retention import account_counts

    path = local_file(database)
    with session(path, [account]) as found:
        (chosen,) = found.accounts
        counts = account_counts(found.connection, chosen)
    label, contents = _label(chosen), _contents(counts)
    if not yes and not click.confirm(f"{label}\nThis deletes {contents}.\nThis cannot be undone. Delete it?"):
        context.exit(1)
    with open_for_writing(path) as connection:
        edits.forget_account(connection, chosen.id)
    drop_edited(path)
    click.echo(f"Deleted: {label} ({contents}).")
    others = residual_files(path)
    if others:
        list_paths("These files beside the database may still contain its data; delete them if unneeded:", others)


def _contents(counts: AccountCounts) -> str:
    from scripts.render.console import count

    parts = ((counts.snapshots, "snapshot"), (counts.limits, "limit"), (counts.tokens, "token key"))
    snapshots, limits, tokens = (count(number, noun) for number, noun in parts)
    return f"{snapshots} of {limits}, {tokens}"
