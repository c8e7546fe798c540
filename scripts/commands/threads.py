"""``threads``: list and name them."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from scripts.commands.options import database_option, json_option, reject_options, since_option
from scripts.support.database import checked_name, known_accounts, open_for_reading, open_for_writing
from scripts.support.errors import NOTHING_KNOWN, NOTHING_YET, WRONG_USE, CommandError
from scripts.support.sanitize import sanitize
from store.settings import default_database

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from store.queries.threads import Thread


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  codex-tap threads --since 24h
  codex-tap threads name 0199a8c2 refactor-auth    from now on called so
  codex-tap threads name refactor-auth ""           its name is taken away
""",
)
@since_option("30d")
@json_option
@database_option
@click.pass_context
def threads(context: click.Context, since: float, as_json: bool, database: Path | None) -> None:
    """List the threads that were seen, the newest first; name one.

    Turns are those since then, without refused ones and warm-ups.
    """
    if context.invoked_subcommand is not None:
        reject_options(context)
        return
    from store.errors import MissingError
    from store.queries.threads import load_threads as found_threads
    from store.queries.threads import thread_entry

    try:
        with open_for_reading(database or default_database()) as connection:
            known = known_accounts(connection)
            found = found_threads(connection, since, known)
    except MissingError:
        known, found = [], []
    if as_json:
        click.echo(json.dumps([thread_entry(thread) for thread in found], indent=2))
    elif found:
        _print_threads(found)
    elif known:
        click.echo("No thread was seen in that time.", err=True)
    else:
        click.echo(NOTHING_YET)
    if not known:
        context.exit(NOTHING_KNOWN)


def _print_threads(found: Sequence[Thread]) -> None:
    from scripts.render.console import detect_profile, make_console, print_text
    from scripts.render.threads import render_threads

    console = make_console()
    print_text(console, render_threads(found, time.time(), detect_profile(console)))


@threads.command("name")
@click.argument("thread")
@click.argument("name")
@database_option
def name_thread(thread: str, name: str, database: Path | None) -> None:
    """Give a thread a name, or take it away with an empty one.

    THREAD is its name or the start of its id.
    """
    from store.database import transaction
    from store.edits import rename_thread
    from store.queries.threads import ThreadError, find_thread, is_thread_name

    wanted = checked_name(name) if name else None
    path = database or default_database()
    try:
        with open_for_reading(path) as connection:
            known_accounts(connection)
            found, _ = find_thread(connection, thread)
    except ThreadError as error:
        raise CommandError(str(error), WRONG_USE) from error
    with open_for_writing(path) as connection, transaction(connection):
        if wanted and is_thread_name(connection, wanted, but=found):
            raise CommandError(f"another thread is called {wanted!r} already", WRONG_USE)
        rename_thread(connection, found, wanted)
    click.echo(f"{sanitize(found)} is now called {wanted}." if wanted else f"{sanitize(found)} has no name now.")
