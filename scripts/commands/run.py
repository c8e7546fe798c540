"""``run``: a command through a running proxy, or one of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from scripts.commands.options import beside_options, ca_option, database_option, host_option, proxy_option

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.support.beside import Beside


@click.command(
    context_settings={"allow_interspersed_args": False},
    epilog="""\b
Examples:
  codex-tap run codex
  codex-tap run codex exec --json "say ok"
  codex-tap run --proxy 127.0.0.1:8080 codex    use a running proxy
""",
)
@proxy_option
@ca_option
@host_option
@database_option
@beside_options
@click.option("--own", is_flag=True, help="Start a proxy of its own, even if one is running.")
@click.option("--quiet", "-q", is_flag=True, help="Do not print the closing line.")
@click.option("--strict", is_flag=True, help="Stop if Codex's own .env would bypass the tap.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def run(
    context: click.Context,
    *,
    address: str | None,
    ca_file: Path | None,
    hosts: tuple[str, ...],
    database: Path | None,
    beside: Beside,
    own: bool,
    quiet: bool,
    strict: bool,
    command: tuple[str, ...],
) -> None:
    """Run Codex through the tap.

    A running proxy of the same database is used, else one is started that ends with COMMAND.

    Everything after COMMAND is passed to it unchanged; stdin, stdout, signals and the exit code pass through.
    --no-daemon is added to codex alone, if codex has that flag and could use its background server; this includes a
    codex that COMMAND finds in its PATH. On a terminal, a closing line summarizes what was read and what is left.
    """
    if ca_file and not address:
        raise click.UsageError("--ca requires --proxy.")
    if address and hosts:
        raise click.UsageError("--host cannot be combined with --proxy; give it to that proxy.")
    for option, *_ in (*beside.options, *([["--own"]] if own else ())):
        if address:
            raise click.UsageError(f"{option} cannot be combined with --proxy.")
    from scripts.launch import session

    check_beside(beside)
    context.exit(
        session.run(
            command,
            database=database,
            hosts=hosts,
            proxy=address,
            ca_file=ca_file,
            own=own,
            beside=beside,
            quiet=quiet,
            strict=strict,
        )
    )


def check_beside(beside: Beside) -> None:
    """Check that what is to run beside the proxy can run, before a process is started.

    Raises:
        CommandError: One of them cannot.
        DatabaseError: psycopg is not installed.
    """
    if beside.serve:
        from scripts.commands.serve import checked_token

        checked_token("127.0.0.1")
    if beside.alerts:
        from scripts.alerts.settings import default_path
        from scripts.commands.alerts import checked_settings

        checked_settings(default_path())
    if beside.otlp:
        from scripts.otlp.settings import load_settings

        load_settings(os.environ)
    if beside.ship is not None:
        from scripts.commands.ship import team_address

        team_address(beside.ship)
