"""``threads``: list and name threads."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import click

from scripts.commands.completion import complete_thread
from scripts.commands.options import (
    all_option,
    database_option,
    json_option,
    local_file,
    names_option,
    pass_on_options,
    place_option,
    since_option,
)
from scripts.commands.output import emit
from scripts.support.database import checked_name, open_for_writing, session
from scripts.support.errors import WRONG_USE, CommandError
from scripts.support.place import default_place
from scripts.support.sanitize import sanitize

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rich.text import Text

    from scripts.render.console import TerminalProfile
    from scripts.render.export import Form
    from scripts.support.place import Place
    from store.documents import ThreadEntry


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  codex-tap threads --since 24h
  codex-tap threads --tree                         with reviews and sub-agents
  codex-tap threads name 0199a8c2 refactor-auth    rename a thread
  codex-tap threads name refactor-auth --clear     remove its name
""",
)
@since_option("30d")
@click.option(
    "--tree", is_flag=True, help="List the threads of sub-agents and reviews below the thread that started them."
)
@all_option("List all threads, however many.")
@names_option()
@json_option
@place_option
@click.pass_context
def threads(
    context: click.Context,
    *,
    since: float,
    tree: bool,
    shows_all: bool,
    names_on: bool,
    form: Form | None,
    database: Place | None,
) -> None:
    """List threads, the last used first; name one.

    Turn counts exclude refused turns and warm-ups. Sub-agents and reviews count for the thread that started them.
    """
    if context.invoked_subcommand is not None:
        pass_on_options(context)
        return
    now = time.time()
    most = None if form or shows_all else _MAX_ROWS
    listing = _load(database or default_place(), now, since, most, tree=tree, names_on=names_on)

    def render(profile: TerminalProfile) -> Iterable[Text]:
        from scripts.render.threads import render_threads

        return (
            [render_threads(listing.threads, listing.labels, now, profile, all_rows=shows_all, others=listing.others)]
            if listing.threads
            else []
        )

    no_rows = "No threads in that time range."
    context.exit(emit(listing.threads, form, render, is_known=bool(listing.labels), no_rows=no_rows))


_MAX_ROWS = 1_000
"""Rows of text, in a pipe as well; ``--all`` and ``--json`` have each."""


class _Listing(NamedTuple):
    """Threads, the label of each account by its key, and the number of threads that are left out.

    There is no label where the database has no account.
    """

    threads: list[ThreadEntry]
    labels: dict[str, str]
    others: int = 0


def _load(place: Place, now: float, since: float, most: int | None, *, tree: bool, names_on: bool) -> _Listing:
    from scripts.codex_files.names import name_threads
    from scripts.support.kept import keep_use
    from store.errors import MissingError
    from store.queries.threads import load_newest_sessions

    try:
        keep_use(place, (), now, since)
        with session(place) as found:
            newest = load_newest_sessions(found.connection, now, since, found.known, most, tree=tree)
    except MissingError:
        return _Listing([], {})
    labels = {account.key: account.label for account in found.known}
    return _Listing(name_threads(newest.threads) if names_on else newest.threads, labels, newest.others)


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
    path = local_file(database)
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
