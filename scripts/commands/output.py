"""Printing that commands share: a document in the form that was asked for, styled text, lists of paths."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import click

from scripts.support.errors import NOTHING_KNOWN, NOTHING_YET
from scripts.support.json_document import versioned
from scripts.support.sanitize import sanitize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from rich.console import Console
    from rich.text import Text

    from scripts.render.console import TerminalProfile
    from scripts.render.export import Form

    Rendered = Text | str | Iterable[Text]
    Renderer = Callable[[TerminalProfile], Rendered]


class Table:
    """The rows of a document, for ``--csv`` and ``--ndjson``.

    `csv_row` returns a row as the CSV has it. `columns` are names of values in such a row.
    """

    __slots__ = ("columns", "csv_row", "rows")  # a class without more: prompts import it, and print no table

    def __init__(
        self,
        rows: Iterable[Mapping[str, Any]],
        columns: Sequence[str],
        csv_row: Callable[[Any], Mapping[str, Any]] = dict,
    ) -> None:
        self.rows, self.columns, self.csv_row = rows, columns, csv_row


def emit(
    document: object,
    form: Form | None,
    render: Renderer,
    *,
    is_known: bool,
    table: Table | None = None,
    no_rows: str = "",
    left_out: Callable[[], str | None] | None = None,
    pages: bool = False,
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
        left_out: called after the text, returns the line on what the text leaves out; None where it has all. A
            terminal shows that line as the last one; in a pipe it is on standard error.
        pages: show the text in a pager where it is longer than the terminal.
        unknown: the message while nothing is known.
    """
    if form == "json" and document is not None:
        click.echo(json.dumps(versioned(document), indent=2))
    elif form and table:
        _write_table(table, form)
    elif is_known:
        print_rendered(render, no_rows, left_out, pages=pages)
    _name_silent_machines(document)
    if is_known:
        return 0
    if table or not form:
        click.echo(unknown, err=form is not None)
    return NOTHING_KNOWN


def _name_silent_machines(document: object) -> None:
    """Say which machines of a team's database were not heard lately, where there are such."""
    silent = document.get("machines_silent") if isinstance(document, dict) else None
    if silent:
        from scripts.render.team import silence_line

        click.echo(silence_line(silent), err=True)


def print_rendered(
    render: Renderer,
    no_rows: str = "",
    left_out: Callable[[], str | None] | None = None,
    *,
    pages: bool = False,
) -> None:
    """Print what `render` returns for standard output; the other arguments are those of `emit`."""
    from rich.text import Text

    from scripts.render.console import detect_profile, make_console

    console = make_console()
    rendered = render(detect_profile(console))
    if isinstance(rendered, str):
        click.echo(rendered)
        return
    texts = iter([rendered] if isinstance(rendered, Text) else rendered)
    first = next(texts, None)
    if first is None and no_rows:
        click.echo(no_rows, err=True)
    elif first is not None:
        with _output(console, pages=pages) as show:
            for text in chain([first], texts):
                show(text)
            rest = left_out() if left_out and console.is_terminal else None
            if rest:
                show(Text(rest, "dim"))
    rest = left_out() if left_out and (first is None or not console.is_terminal) else None
    if rest:
        click.echo(rest, err=True)


@contextlib.contextmanager
def _output(console: Console, *, pages: bool) -> Iterator[Callable[[Text], None]]:
    """Yield what prints lines: on a terminal through the user's pager, if `pages` is set."""
    from scripts.render.console import ansi, print_text

    if not (pages and console.is_terminal) or os.environ.get("PAGER") in {"", "cat"}:
        yield partial(print_text, console)
        return
    # As git does: colours stay, and what fits on the screen is printed without waiting for a key.
    os.environ.setdefault("LESS", "-FRX")
    with click.get_pager_file() as pager:
        yield lambda text: print(ansi(console, text), file=pager)


def list_paths(heading: str, paths: Sequence[Path]) -> None:
    """Print a heading and paths under it."""
    click.echo("\n".join([heading, *(f"  {sanitize(path)}" for path in paths)]))


def _write_table(table: Table, form: Form) -> None:
    from scripts.render.export import write_rows

    rows = map(table.csv_row, table.rows) if form == "csv" else table.rows
    write_rows(rows, sys.stdout, form, table.columns)
