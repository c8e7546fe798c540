"""``prune``: deletion of old data."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from typing import TYPE_CHECKING

import click

from scripts.commands.options import database_option, json_option, local_file, parse_since_option, require_past
from scripts.commands.output import emit
from scripts.support.database import open_for_writing, session
from store.connection import is_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from scripts.render.console import TerminalProfile
    from scripts.render.export import Form
    from store.documents import PruneDocument
    from store.queries.retention import PruneCounts

_BATCH = 500
"""Rows deleted in one transaction: a few milliseconds, less than the writer of a proxy waits."""

_VACUUM_SHARE = 0.1
"""The share of the file that has to be free before the file is rewritten without it."""


@click.command(
    epilog="""\b
Examples:
  codex-tap prune --older-than 90d           show what would be deleted
  codex-tap prune --older-than 90d --yes     delete it
"""
)
@click.option(
    "--older-than",
    "before",
    required=True,
    callback=parse_since_option,
    metavar="WHEN",
    help="Age (90d, 26w) or date (2026-08-01).",
)
@click.option("--yes", is_flag=True, help="Delete the data; without it, only count.")
@json_option
@database_option
@click.pass_context
def prune(context: click.Context, *, before: float, yes: bool, form: Form | None, database: Path | None) -> None:
    """Delete data older than a given age or date.

    That is snapshots, turns and threads. The newest snapshot of each limit always stays. A proxy may be running.
    Without --yes nothing is deleted.
    """
    from store.errors import MissingError
    from store.queries.retention import file_bytes, prune_counts

    require_past(before, time.time(), "--older-than")
    path = local_file(database)
    try:
        with session(path) as found:
            assert is_file(found.connection)
            counts = prune_counts(found.connection, before, found.known)
            size, _ = file_bytes(found.connection)
    except MissingError:
        context.exit(emit(_document(before, [], 0, deleted=False), form, str, is_known=False))
    rows = sum(each.rows for each in counts)
    freed = _delete(path, before, rows) if rows and yes else _estimated(counts, size)

    def render(profile: TerminalProfile) -> str:
        from scripts.render.prune import render_prune

        return render_prune(counts, before, size, freed, profile, deleted=yes)

    emit(_document(before, counts, freed, deleted=yes), form, render, is_known=True)


def _estimated(counts: Sequence[PruneCounts], size: int) -> int:
    """Return an estimate of the bytes that would be freed: the file's share of deleted rows."""
    remaining = sum(each.snapshots_kept + each.turns_kept for each in counts)
    deleted = sum(each.snapshots + each.turns for each in counts)
    return size * deleted // max(1, remaining + deleted)


def _delete(path: Path, before: float, rows: int) -> int:
    """Delete in batches, between which a proxy can write; return by how many bytes the file is smaller."""
    from store import retention
    from store.kept.filling import drop_edited
    from store.queries.retention import file_bytes

    with open_for_writing(path) as connection, _progress(rows) as advance:
        size, _ = file_bytes(connection)
        while True:
            begin = time.monotonic()
            deleted = retention.prune(connection, before, _BATCH)
            if not deleted:
                break
            advance(deleted)
            # A waiting writer polls for the lock: leave the lock free for as long as it was held.
            time.sleep(time.monotonic() - begin)
        drop_edited(path)
        total, free = file_bytes(connection)
        if free >= total * _VACUUM_SHARE:
            # Fails while a proxy writes or the disk is full: new rows then use the free space in the file.
            with contextlib.suppress(sqlite3.Error):
                retention.vacuum(connection)
        return size - file_bytes(connection)[0]


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal; yield the function that advances it."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("Deleting", total=total)
        yield lambda count: progress.advance(task, count)


def _document(before: float, counts: Sequence[PruneCounts], freed: int, *, deleted: bool) -> PruneDocument:
    accounts = [each.document for each in counts]
    return {"before": before, "deleted": deleted, "freed_bytes": freed, "accounts": accounts}
