"""Printing that commands share: a document in the form that was asked for, styled text, lists of paths."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, NamedTuple

import click

from scripts.support.errors import NOTHING_KNOWN, NOTHING_YET
from scripts.support.sanitize import sanitize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from rich.text import Text

    from scripts.render.console import TerminalProfile
    from scripts.render.export import Form

    Rendered = Text | str | Iterable[Text]
    Renderer = Callable[[TerminalProfile], Rendered]


class Table(NamedTuple):
    """The rows of a document, for ``--csv`` and ``--ndjson``.

    `csv_row` returns a row as the CSV has it. `columns` are names of values in such a row.
    """

    rows: Iterable[Mapping[str, Any]]
    columns: Sequence[str]
    csv_row: Callable[[Any], Mapping[str, Any]] = dict


def emit(
    document: object,
    form: Form | None,
    render: Renderer,
    *,
    is_known: bool,
    table: Table | None = None,
    no_rows: str = "",
    unknown: str = NOTHING_YET,
) -> int:
    """Print a document, and return the exit code: 3 while nothing is known, else 0.

    Args:
        document: what ``--json`` prints; None if that is the rows of the `table`, printed one by one.
        form: the form that was asked for; None for text.
        render: returns the text, where something is known.
        is_known: whether the database has anything that the document could be about.
        table: the rows, of a command that has ``--csv`` and ``--ndjson``.
        no_rows: the message where `render` returns no text.
        unknown: the message while nothing is known.
    """
    if form == "json" and document is not None:
        click.echo(json.dumps(document, indent=2))
    elif form and table:
        _write_table(table, form)
    elif is_known:
        _print_or_say(render, no_rows)
    if is_known:
        return 0
    if table or not form:
        click.echo(unknown, err=form is not None)
    return NOTHING_KNOWN


def print_rendered(render: Renderer) -> bool:
    """Print what `render` returns for standard output; return False if that is empty."""
    from rich.text import Text

    from scripts.render.console import detect_profile, make_console, print_text

    console = make_console()
    rendered = render(detect_profile(console))
    if isinstance(rendered, str):
        click.echo(rendered)
        return True
    printed = False
    for text in [rendered] if isinstance(rendered, Text) else rendered:
        print_text(console, text)
        printed = True
    return printed


def list_paths(heading: str, paths: Sequence[Path]) -> None:
    """Print a heading and paths under it."""
    click.echo("\n".join([heading, *(f"  {sanitize(path)}" for path in paths)]))


def _write_table(table: Table, form: Form) -> None:
    from scripts.render.export import write_rows

    rows = map(table.csv_row, table.rows) if form == "csv" else table.rows
    write_rows(rows, sys.stdout, form, table.columns)


def _print_or_say(render: Renderer, no_rows: str) -> None:
    if not print_rendered(render) and no_rows:
        click.echo(no_rows, err=True)
