"""``status``: what is left of each limit."""

from __future__ import annotations

import gc
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import click

from scripts.codex_files.import_hint import import_hint
from scripts.commands.options import ACCOUNT_HELP, accounts_argument, database_option, json_option
from scripts.commands.output import emit
from scripts.support.database import session
from scripts.support.errors import NOTHING_YET
from scripts.support.sanitize import sanitize
from store.settings import default_database

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rich.text import Text

    from scripts.render.console import TerminalProfile
    from scripts.render.export import Form
    from store.documents import ForecastDocument, StatusDocument


def status_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of ``status``, which the bare ``codex-tap`` has as well."""
    watch = click.option(
        "--watch",
        type=click.FloatRange(min=0.1),
        is_flag=False,
        flag_value=2.0,
        metavar="[SECONDS]",
        help="Refresh every SECONDS (default 2) until Ctrl-C.",
    )
    return database_option(json_option(watch(command)))


@click.command(
    epilog="""\b
Examples:
  codex-tap status work        the account that begins with "work"
  codex-tap --watch            refresh until Ctrl-C
  codex-tap --json | jq '.accounts[].limits[].windows'
""",
    help=f"""Show what is left of each limit, and when it resets.

    Without ACCOUNT it shows all accounts. {ACCOUNT_HELP}
    """,
)
@accounts_argument
@status_options
@click.pass_context
def status(
    context: click.Context,
    *,
    accounts: tuple[str, ...],
    database: Path | None,
    form: Form | None,
    watch: float | None,
) -> None:
    """Show what is left of each limit."""
    path = database or default_database()
    if watch is not None:
        if form:
            raise click.UsageError("--watch cannot be combined with --json.")
        _watch(path, accounts, watch)
        return
    found = _load(path, accounts, with_forecasts=not form)
    is_known = bool(found.document["accounts"])
    code = emit(found.document, form, found.render, is_known=is_known, unknown=_unknown(path))
    hint = None if form or not sys.stdout.isatty() else import_hint(path)
    if hint:
        click.echo(hint)
    context.exit(code)


def _watch(path: Path, prefixes: Sequence[str], seconds: float) -> None:
    from scripts.render.live import refresh_until_interrupted
    from scripts.support.shutdown import exit_on_sigterm

    def render(profile: TerminalProfile) -> Text:
        from rich.text import Text

        found = _load(path, prefixes, with_forecasts=True)
        return found.render(profile) if found.document["accounts"] else Text(_unknown(path))

    gc.enable()
    exit_on_sigterm()  # so that `timeout` leaves the terminal as it was
    refresh_until_interrupted(render, partial(time.sleep, seconds))


class _Status(NamedTuple):
    """The documents of ``status --json`` and of ``forecast --json``; the latter is None where it is not shown."""

    document: StatusDocument
    forecasts: ForecastDocument | None = None

    def render(self, profile: TerminalProfile) -> Text:
        from scripts.render.status import render_status

        return render_status(self.document, profile, self.forecasts)


def _load(path: Path, prefixes: Sequence[str], *, with_forecasts: bool) -> _Status:
    """Return the status; it has no accounts while nothing is known."""
    from store.errors import MissingError
    from store.queries.status import empty_status, load_status

    now = time.time()
    try:
        with session(path, prefixes) as (connection, accounts, _):
            document = load_status(connection, now, accounts)
            if not with_forecasts:
                return _Status(document)
            from store.queries.forecast import load_forecasts

            return _Status(document, load_forecasts(connection, now, accounts))
    except MissingError:
        return _Status(empty_status(now))


def _unknown(path: Path) -> str:
    return f"{NOTHING_YET}\n(Database: {sanitize(path)})"
