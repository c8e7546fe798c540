"""Options and arguments that commands share."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from store.settings import DATABASE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.render.export import Form
if TYPE_CHECKING:
    from collections.abc import Callable


def _database(_context: click.Context, _parameter: click.Parameter, value: Path | None) -> Path | None:
    return value.expanduser() if value else None


database_option = click.option(
    "--db",
    "database",
    type=click.Path(path_type=Path),
    metavar="PATH",
    callback=_database,
    help=f"The database; else {DATABASE_VARIABLE}, else the user's data folder.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")

accounts_argument = click.argument("accounts", nargs=-1, metavar="[ACCOUNT]...")


def reject_options(context: click.Context) -> None:
    """Refuse options in front of a subcommand, which would be silently lost there."""
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(f"Options come after the command: {context.invoked_subcommand} {given[0]} …")


def parse_since_option(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    """Return the moment that ``7d``, ``36h`` or an ISO date means, in Unix seconds."""
    from scripts.support.timespec import parse_since

    try:
        return None if value is None else parse_since(value, time.time())
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def since_option(default: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option ``--since``, which gives a command a moment in Unix seconds."""
    return click.option(
        "--since",
        callback=parse_since_option,
        default=default,
        show_default=default is not None,
        metavar="WHEN",
        help="7d, 36h, 90min, 2026-11-20, 2026-11-20T14:05.",
    )


_FORMS: tuple[Form, ...] = ("json", "csv", "ndjson")


def export_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add ``--json``, ``--csv`` and ``--ndjson``; the command takes ``form``, which is None where none was given."""

    @functools.wraps(command)
    def with_form(*arguments: Any, as_json: bool, as_csv: bool, as_ndjson: bool, **options: Any) -> None:
        given = [form for form, asked in zip(_FORMS, (as_json, as_csv, as_ndjson), strict=True) if asked]
        if len(given) > 1:
            raise click.UsageError(f"--{given[0]} and --{given[1]} exclude each other.")
        command(*arguments, form=given[0] if given else None, **options)

    as_ndjson = click.option("--ndjson", "as_ndjson", is_flag=True, help="For programs, a row a line.")
    as_csv = click.option("--csv", "as_csv", is_flag=True, help="For spreadsheets.")
    return json_option(as_csv(as_ndjson(with_form)))


PROXY_ADDRESS = "127.0.0.1:8080"

host_option = click.option("--host", "hosts", multiple=True, help="Read this gateway too; can be repeated.")

serve_option = click.option("--serve", "serves", is_flag=True, help="Show the page beside it, as codex-tap serve does.")

alerts_option = click.option(
    "--alerts", "tells", is_flag=True, help="Tell what the alerts file asks for, as codex-tap alerts watch does."
)

proxy_option = click.option("--proxy", "address", metavar="HOST:PORT", help="A running codex-tap proxy.")
