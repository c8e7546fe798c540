"""``import``: turns and limits from Codex's session files."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts.commands.options import database_option, json_option, local_file, parse_since_option, require_past
from scripts.commands.output import emit
from scripts.support.errors import NOTHING_KNOWN, WRONG_USE, CommandError
from store.settings import expand_home

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence

    from scripts.codex_files.session_import import ImportQuery, ImportResult
    from scripts.render.console import TerminalProfile
    from scripts.render.export import Form
    from store.documents import ImportDocument

_INTERRUPTED = 1
"""Exit code after Ctrl-C: what was stored until then stays."""


@click.command(
    "import",
    epilog="""\b
Examples:
  codex-tap import                          all session files of CODEX_HOME
  codex-tap import --since 90d --dry-run    count what the last 90 days hold
  codex-tap import --codex-home ~/.codex --codex-home /mnt/laptop/.codex
""",
)
@click.option(
    "--codex-home",
    "homes",
    multiple=True,
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Folder of Codex's files (repeatable). [env: CODEX_HOME; default: ~/.codex]",
)
@click.option(
    "--since",
    callback=parse_since_option,
    metavar="WHEN",
    help="Only what is newer than an age (90d, 36h) or a date (2026-11-20). Default: everything.",
)
@click.option("--again", is_flag=True, help="Read all files from their beginning; brings back what was deleted since.")
@click.option("--dry-run", is_flag=True, help="Count what would be imported, and change nothing.")
@click.option("--quiet", "-q", is_flag=True, help="No progress and no summary.")
@json_option
@database_option
@click.pass_context
def import_sessions(
    context: click.Context,
    *,
    homes: tuple[Path, ...],
    since: float | None,
    again: bool,
    dry_run: bool,
    quiet: bool,
    form: Form | None,
    database: Path | None,
) -> None:
    """Read turns and limits from Codex's own session files.

    So usage, threads and forecasts know what was used before codex-tap was there. Of each turn its thread, model, times
    and token counts are stored, never a prompt, a response or a path. What the tap saw itself counts once. Importing
    again adds only what is new. A proxy may be running.
    """
    from scripts.codex_files.session_import import ImportQuery

    now = time.time()
    if since is not None:
        require_past(since, now, "--since")
    query = ImportQuery(_homes(homes), now, since=since, again=again, dry_run=dry_run)
    with _connection(local_file(database), dry_run=dry_run) as connection:
        result = _import(connection, query, shows_progress=not quiet)
    document = _document(result, query)
    if not result.files and not result.unreadable:
        message = f"no session files in {', '.join(map(str, query.homes))}; --codex-home names another folder"
        raise CommandError(message, NOTHING_KNOWN)

    def render(profile: TerminalProfile) -> str:
        from scripts.render.imports import render_import

        return render_import(document, profile)

    if not quiet or form:
        emit(document, form, render, is_known=True)
    context.exit(_INTERRUPTED if result.interrupted else 0)


def _homes(given: Sequence[Path]) -> list[Path]:
    from scripts.codex_files.location import codex_home

    homes = [expand_home(each) for each in given]
    missing = next((each for each in homes if not each.is_dir()), None)
    if missing is not None:
        raise CommandError(f"{missing} is not a folder; name the one that has Codex's sessions folder", WRONG_USE)
    return homes or [codex_home(os.environ)]


@contextlib.contextmanager
def _connection(path: Path, *, dry_run: bool) -> Iterator[sqlite3.Connection]:
    """Open the database, and create it unless nothing is to be stored: then an empty one stands for it."""
    from scripts.support.database import open_for_writing
    from store.database import open_empty, open_reader
    from store.errors import MissingError

    if not dry_run:
        with open_for_writing(path) as connection:
            yield connection
        return
    with contextlib.ExitStack() as stack:
        try:
            connection = stack.enter_context(contextlib.closing(open_reader(path)))
        except MissingError:
            connection = stack.enter_context(contextlib.closing(open_empty()))
        yield connection


def _import(connection: sqlite3.Connection, query: ImportQuery, *, shows_progress: bool) -> ImportResult:
    from scripts.codex_files.session_import import import_sessions as run

    with _progress(shown=shows_progress) as (on_start, on_bytes):
        return run(connection, query, on_start=on_start, on_bytes=on_bytes)


@contextlib.contextmanager
def _progress(*, shown: bool) -> Iterator[tuple[Callable[[int], None], Callable[[int], None]]]:
    """Show a progress bar on a terminal; yield the functions that give it its length and advance it."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("Reading"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal)) as progress:
        task = progress.add_task("Reading", total=None)
        yield lambda total: progress.update(task, total=total), lambda number: progress.advance(task, number)


def _document(result: ImportResult, query: ImportQuery) -> ImportDocument:
    return {
        "generated_at": int(query.now),
        "codex_homes": [str(each) for each in query.homes],
        "since": query.since,
        "dry_run": query.dry_run,
        "files": result.files,
        "bytes": result.total_bytes,
        "sessions": result.sessions,
        "new_turns": result.new_turns,
        "known_turns": result.known_turns,
        "turns_without_account": result.without_account,
        "limits": result.limits,
        "first_at": result.first_at,
        "last_at": result.last_at,
        "unfinished_files": result.unfinished,
        "damaged_lines": result.damaged,
        "other_providers": result.other_providers,
        "interrupted": result.interrupted,
        "unreadable": [{"path": path, "reason": reason} for path, reason in result.unreadable],
    }
