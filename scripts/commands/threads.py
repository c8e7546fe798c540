"""``threads``: list and name threads."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from scripts.commands.completion import complete_thread
from scripts.commands.options import all_option, database_option, json_option, pass_on_options, since_option
from scripts.commands.output import emit
from scripts.support.database import checked_name, open_for_writing, session
from scripts.support.errors import WRONG_USE, CommandError
from scripts.support.sanitize import sanitize
from store.settings import default_database

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rich.text import Text

    from scripts.render.console import TerminalProfile
    from scripts.render.export import Form
    from store.queries.threads import Thread


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  codex-tap threads --since 24h
  codex-tap threads name 0199a8c2 refactor-auth    rename a thread
  codex-tap threads name refactor-auth --clear     remove its name
""",
)
@since_option("30d")
@all_option("List all threads, however many.")
@json_option
@database_option
@click.pass_context
def threads(context: click.Context, *, since: float, shows_all: bool, form: Form | None, database: Path | None) -> None:
    """List threads, newest first; name one.

    Turn counts exclude refused turns and warm-ups.
    """
    if context.invoked_subcommand is not None:
        pass_on_options(context)
        return
    from store.queries.threads import thread_entry

    found, is_known = _load(database or default_database(), since)

    def render(profile: TerminalProfile) -> Iterable[Text]:
        from scripts.render.threads import render_threads

        return [render_threads(found, time.time(), profile, all_rows=shows_all)] if found else []

    document = [thread_entry(thread) for thread in found]
    context.exit(emit(document, form, render, is_known=is_known, no_rows="No threads in that time range."))


def _load(path: Path, since: float) -> tuple[list[Thread], bool]:
    """Return the threads, and whether the database has any account."""
    from store.errors import MissingError
    from store.queries.threads import load_threads

    try:
        with session(path) as found:
            return load_threads(found.connection, since, found.known), True
    except MissingError:
        return [], False


@threads.command("name")
@click.argument("thread", shell_complete=complete_thread)
@click.argument("name", required=False)
@click.option("--clear", is_flag=True, help="Remove its name.")
@database_option
def name_thread(thread: str, name: str | None, *, clear: bool, database: Path | None) -> None:
    """Name a thread; the name then replaces its id everywhere.

    THREAD is a name, or a prefix of an id.
    """
    from store.database import transaction
    from store.edits import rename_thread
    from store.queries.threads import ThreadError, find_thread, is_thread_name

    if clear == (name is not None):
        raise click.UsageError("Give either a NAME or --clear.")
    wanted = checked_name(name) if name else None  # an empty name removes it, too
    path = database or default_database()
    try:
        with session(path) as found:
            thread_id, _ = find_thread(found.connection, thread)
    except ThreadError as error:
        raise CommandError(str(error), WRONG_USE) from error
    with open_for_writing(path) as connection, transaction(connection):
        if wanted and is_thread_name(connection, wanted, but=thread_id):
            raise CommandError(f"another thread already has the name {wanted!r}", WRONG_USE)
        rename_thread(connection, thread_id, wanted)
    label = sanitize(thread_id)
    click.echo(f"{label} is now named {wanted}." if wanted else f"{label} has no name now.")
