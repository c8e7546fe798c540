"""``proxy``: one proxy for several Codex processes, in the foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from scripts.commands.options import beside_options, database_option, host_option, quiet_option
from scripts.commands.run import check_beside

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.support.beside import Beside

_VERBOSE = ("--set", "termlog_verbosity=info")
"""mitmdump's lines on connections, without their contents."""


@click.command(
    epilog="""\b
Examples:
  codex-tap proxy
  codex-tap proxy --port 8081
  codex-tap proxy -- --flow-detail 2     options of mitmdump follow --
"""
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Port to listen on (0: any)."
)
@click.option("--listen-host", default="127.0.0.1", show_default=True, metavar="HOST", help="Address to listen on.")
@host_option
@database_option
@beside_options
@quiet_option("Do not print where it listens.")
@click.option("--verbose", "-v", is_flag=True, help="Also print a line for each connection made or lost.")
@click.option("--held-socket", "held", is_flag=True, hidden=True)
@click.argument("mitmdump_options", nargs=-1, type=click.UNPROCESSED, metavar="[-- MITMDUMP OPTIONS]")
@click.pass_context
def proxy(
    context: click.Context,
    *,
    port: int,
    listen_host: str,
    hosts: tuple[str, ...],
    database: Path | None,
    beside: Beside,
    quiet: bool,
    verbose: bool,
    held: bool,
    mitmdump_options: tuple[str, ...],
) -> None:
    """Run a proxy with the tap, for several Codex processes.

    It runs until Ctrl-C. To use it, evaluate `codex-tap env` in a shell, or start a command with
    `codex-tap run --proxy`.
    """
    if quiet and verbose:
        raise click.UsageError("--quiet cannot be combined with --verbose.")
    from scripts.launch import session

    if held:
        from scripts.install.trusted_bundle import refresh_installed

        refresh_installed()
        context.exit(session.installed_proxy(database=database, hosts=hosts, beside=beside))
    check_beside(beside)
    context.exit(
        session.proxy(
            [*(_VERBOSE if verbose else ()), *mitmdump_options],
            host=listen_host,
            port=port,
            database=database,
            hosts=hosts,
            beside=beside,
            quiet=quiet,
        )
    )
