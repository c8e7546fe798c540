"""``status``: what is left."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, NamedTuple

import click

from scripts.commands.options import accounts_argument, database_option, json_option
from scripts.support.database import chosen_accounts, known_accounts, open_for_reading
from scripts.support.errors import NOTHING_KNOWN, NOTHING_YET
from scripts.support.sanitize import sanitize
from store.settings import default_database

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rich.console import Console
    from rich.text import Text

    from store.documents import StatusDocument, UrgentWindow


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
        from scripts.render.live import refresh_until_interrupted as show_again_and_again

        show_again_and_again(lambda console: _text(_read(path, accounts, forecast=True), path, console), watch)
        return
    found = _read(path, accounts, forecast=not as_json)
    if as_json:
        click.echo(json.dumps(found.document, indent=2))
    else:
        from scripts.render.console import make_console, print_text

        console = make_console()
        print_text(console, _text(found, path, console))
    if not found.document["accounts"]:
        context.exit(NOTHING_KNOWN)


class _Found(NamedTuple):
    """The document of ``status --json``, and the most urgent window of each account."""

    document: StatusDocument
    first: dict[str, UrgentWindow]


def _read(path: Path, starts: Sequence[str], *, forecast: bool) -> _Found:
    """Return how it stands; there are no accounts where nothing was seen yet."""
    from store.errors import MissingError
    from store.queries.status import load_status

    now = time.time()
    try:
        with open_for_reading(path) as connection:
            chosen = chosen_accounts(known_accounts(connection), starts)
            document = load_status(connection, now, chosen)
            if not forecast:
                return _Found(document, {})
            from store.queries.forecast import most_urgent_window

            return _Found(document, most_urgent_window(connection, now, document, chosen))
    except MissingError:
        return _Found({"generated_at": int(now), "accounts": []}, {})


def _text(found: _Found, path: Path, console: Console) -> Text:
    from rich.text import Text

    from scripts.render.console import detect_profile
    from scripts.render.forecast import render_most_urgent
    from scripts.render.status import render_status

    if not found.document["accounts"]:
        return Text(f"{NOTHING_YET}\n(There is nothing in {sanitize(path)} so far.)")
    look, now = detect_profile(console), found.document["generated_at"]
    lines = {key: render_most_urgent(first, now, look) for key, first in found.first.items()}
    return render_status(found.document, look, lines)
