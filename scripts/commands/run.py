"""``run``: a command through a running proxy, or one of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from scripts.commands.options import (
    alerts_option,
    ca_option,
    database_option,
    host_option,
    otlp_option,
    proxy_option,
    serve_option,
)

if TYPE_CHECKING:
    from pathlib import Path


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
@serve_option
@alerts_option
@otlp_option
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
    serves: bool,
    sends_alerts: bool,
    sends_metrics: bool,
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
    for option, given in (("--serve", serves), ("--alerts", sends_alerts), ("--otlp", sends_metrics), ("--own", own)):
        if address and given:
            raise click.UsageError(f"{option} cannot be combined with --proxy.")
    from scripts.launch import session

    if serves:
        check_serving()
    if sends_alerts:
        check_alerts()
    if sends_metrics:
        check_otlp()
    context.exit(
        session.run(
            command,
            database=database,
            hosts=hosts,
            proxy=address,
            ca_file=ca_file,
            own=own,
            serve=serves,
            alerts=sends_alerts,
            otlp=sends_metrics,
            quiet=quiet,
            strict=strict,
        )
    )


def check_serving() -> None:
    """Check that the web page can be served, before a process is started."""
    from scripts.commands.serve import checked_token

    checked_token("127.0.0.1")


def check_alerts() -> None:
    """Check that the alerts file has rules and targets, before a process is started."""
    from scripts.alerts.settings import default_path
    from scripts.commands.alerts import checked_settings

    checked_settings(default_path())


def check_otlp() -> None:
    """Check that metrics can be sent as the environment says, before a process is started."""
    from scripts.otlp.settings import load_settings

    load_settings(os.environ)
