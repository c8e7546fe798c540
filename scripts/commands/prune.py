"""``prune``: delete what is old."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import click

from scripts.commands.options import database_option, json_option, parse_since_option
from scripts.support.database import known_accounts, open_for_reading, open_for_writing
from scripts.support.errors import NOTHING_KNOWN, NOTHING_YET
from store.settings import default_database

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from store.documents import PruneDocument
    from store.queries.retention import PruneCounts

_BATCH = 500
"""Rows that one transaction deletes: a few milliseconds, less than a proxy's writer waits."""

_WORTH_IT = 0.1
"""The part of the file that has to be free before it is written anew without it."""


@click.command(
    epilog="""\b
Examples:
  codex-tap prune --older-than 90d           see what would go
  codex-tap prune --older-than 90d --yes     delete it
"""
)
@click.option(
    "--older-than", "before", required=True, callback=parse_since_option, metavar="WHEN", help="90d, 26w, 2026-08-01."
)
@click.option("--yes", is_flag=True, help="Delete it; without this it is only counted.")
@json_option
@database_option
@click.pass_context
def prune(context: click.Context, *, before: float, yes: bool, as_json: bool, database: Path | None) -> None:
    """Delete readings, turns and threads that are older.

    The newest reading of each limit always stays. A proxy may go on running meanwhile. Without --yes nothing is
    deleted.
    """
    from store.errors import MissingError
    from store.queries.retention import file_bytes, prune_counts

    if before >= time.time():
        raise click.BadParameter("that is still to come", param_hint="'--older-than'")
    path = database or default_database()
    try:
        with open_for_reading(path) as connection:
            old = prune_counts(connection, before, known_accounts(connection))
            size, _ = file_bytes(connection)
    except MissingError:
        click.echo(json.dumps(_document(before, [], 0, deleted=False), indent=2) if as_json else NOTHING_YET)
        context.exit(NOTHING_KNOWN)
    rows = sum(each.rows for each in old)
    freed = _freed(old, size)
    if rows and yes:
        freed = _delete(path, before, rows)
    if as_json:
        click.echo(json.dumps(_document(before, old, freed, deleted=yes), indent=2))
    else:
        _say(old, before, size, freed, deleted=yes)


def _freed(old: Sequence[PruneCounts], size: int) -> int:
    """Return how many bytes of a file would be free, about: as many of them as of its rows."""
    kept = sum(each.snapshots_kept + each.turns_kept for each in old)
    gone = sum(each.snapshots + each.turns for each in old)
    return size * gone // max(1, kept + gone)


def _delete(path: Path, before: float, rows: int) -> int:
    """Delete, in steps between which a proxy can write; return by how many bytes the file is smaller."""
    from store.queries.retention import file_bytes
    from store.retention import prune as delete
    from store.retention import vacuum

    with open_for_writing(path) as connection, _progress(rows) as advance:
        size, _ = file_bytes(connection)
        while True:
            begin = time.monotonic()
            gone = delete(connection, before, _BATCH)
            if not gone:
                break
            advance(gone)
            # Whoever waits for the lock looks for it now and then: leave it free as long as it was held.
            time.sleep(time.monotonic() - begin)
        now, free = file_bytes(connection)
        if free >= now * _WORTH_IT:
            # A proxy that is writing just now, or a full disk: then new rows use the space that is free in the file.
            with contextlib.suppress(sqlite3.Error):
                vacuum(connection)
        return size - file_bytes(connection)[0]


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Any]:
    """Show a bar on a terminal; give what moves it on."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("Deleting", total=total)
        yield lambda count: progress.advance(task, count)


def _document(before: float, old: Sequence[PruneCounts], freed: int, *, deleted: bool) -> PruneDocument:
    accounts = [each.document for each in old]
    return {"before": before, "deleted": deleted, "freed_bytes": freed, "accounts": accounts}


def _say(old: Sequence[PruneCounts], before: float, size: int, freed: int, *, deleted: bool) -> None:
    from scripts.render.accounts import account_label
    from scripts.render.console import count, detect_profile, make_console
    from store.analysis import formatting

    moment = formatting.clock_time(before)
    affected = [each for each in old if each.rows]
    if not affected:
        click.echo(f"Nothing is older than {moment}.")
        return
    click.echo(f"{'Deleted, because' if deleted else 'What is'} older than {moment}:")
    glyphs = detect_profile(make_console()).glyphs
    names = [account_label(each.account, glyphs) for each in affected]
    for name, each in zip(names, affected, strict=True):
        told = ((each.snapshots, "reading"), (each.turns, "turn"), (each.threads, "thread"))
        parts = [count(number, thing) for number, thing in told]
        click.echo(f"  {name:<{max(map(len, names))}}  {', '.join(parts)}")
    if deleted:
        smaller = f"The file is {_megabytes(freed)} smaller: {_megabytes(size - freed)}."
        click.echo(
            smaller if freed else "The file is as large as before; new readings use the space that is free in it."
        )
        return
    click.echo(f"That is about {_megabytes(freed)} of {_megabytes(size)}. The newest reading of each limit stays.")
    click.echo("Nothing was deleted. Add --yes to do it.")


def _megabytes(count: int) -> str:
    return f"{count / 1_000_000:,.1f} MB"
