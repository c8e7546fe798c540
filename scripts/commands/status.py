"""``status``: what is left."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from scripts.commands.shared import (
    NOTHING_KNOWN,
    NOTHING_YET,
    accounts_argument,
    chosen_accounts,
    database_option,
    json_option,
    known_accounts,
    reading,
)
from scripts.printable import printable
from store.settings import default_database

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rich.console import Console
    from rich.text import Text


def status_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of ``status``, which the bare ``codex-tap`` has as well."""
    watch = click.option(
        "--watch",
        type=click.FloatRange(min=0.1),
        is_flag=False,
        flag_value=2.0,
        metavar="[SECONDS]",
        help="Show it again and again, every 2 seconds or so many, until Ctrl-C.",
    )
    return database_option(json_option(watch(command)))


@click.command(
    epilog="""\b
Examples:
  codex-tap status work        the account whose name, e-mail or key starts so
  codex-tap --watch            keep it on a screen
  codex-tap --json | jq '.accounts[].limits[].windows'
"""
)
@accounts_argument
@status_options
@click.pass_context
def status(
    context: click.Context, accounts: tuple[str, ...], database: Path | None, as_json: bool, watch: float | None
) -> None:
    """Show what is left, for all accounts or some."""
    path = database or default_database()
    if watch is not None and as_json:
        raise click.UsageError("--watch and --json exclude each other.")
    if watch is not None:
        from scripts.watch import watch as show_again_and_again

        show_again_and_again(lambda console: _text(_read(path, accounts, forecast=True), path, console), watch)
        return
    found = _read(path, accounts, forecast=not as_json)
    if as_json:
        click.echo(json.dumps(found.document, indent=2))
    else:
        from scripts import render

        console = render.console()
        render.put(console, _text(found, path, console))
    if not found.document["accounts"]:
        context.exit(NOTHING_KNOWN)


class _Found(NamedTuple):
    """The document of ``status --json``, and what runs out first by account (`store.queries.forecast.brief`)."""

    document: dict[str, Any]
    first: dict[str, dict[str, Any]]


def _read(path: Path, starts: Sequence[str], *, forecast: bool) -> _Found:
    """Return how it stands; there are no accounts where nothing was seen yet."""
    from store import queries
    from store.database import MissingError

    now = time.time()
    try:
        with reading(path) as connection:
            document = queries.status(connection, now, chosen_accounts(known_accounts(connection), starts))
            if not forecast:
                return _Found(document, {})
            from store.queries.forecast import brief

            return _Found(document, brief(connection, now, document))
    except MissingError:
        return _Found({"generated_at": int(now), "accounts": []}, {})


def _text(found: _Found, path: Path, console: Console) -> Text:
    from rich.text import Text

    from scripts import render, render_forecast

    if not found.document["accounts"]:
        return Text(f"{NOTHING_YET}\n(There is nothing in {printable(path)} so far.)")
    look, now = render.look(console), found.document["generated_at"]
    lines = {key: render_forecast.brief(first, now, look) for key, first in found.first.items()}
    return render.status(found.document, look, lines)
