"""``run``: a command through a tap of its own."""

from __future__ import annotations

from pathlib import Path

import click

from scripts.commands.options import alerts_option, database_option, host_option, proxy_option, serve_option


@click.command(
    context_settings={"allow_interspersed_args": False},
    epilog="""\b
Examples:
  codex-tap run codex
  codex-tap run codex exec --json "say ok"
  codex-tap run --proxy 127.0.0.1:8080 codex    through one that runs already
""",
)
@proxy_option
@click.option("--ca", "ca_file", type=click.Path(path_type=Path), metavar="PEM", help="That proxy's CA certificate.")
@host_option
@database_option
@serve_option
@alerts_option
@click.option("--quiet", "-q", is_flag=True, help="Leave out the closing line.")
@click.option("--strict", is_flag=True, help="Stop if Codex's own .env would make it bypass the tap.")
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
    tells: bool,
    quiet: bool,
    strict: bool,
    command: tuple[str, ...],
) -> None:
    """Run Codex through a tap of its own.

    All from COMMAND on is the command's. Its input, output, signals and exit code are its own, too. Only a codex gets
    --no-daemon, too, where it knows that flag and could use its background server; a codex that the command finds in
    its PATH gets it as well. In a terminal a line at the end says what was read and what is left.
    """
    if ca_file and not address:
        raise click.UsageError("--ca is of use only with --proxy.")
    if address and hosts:
        raise click.UsageError("--host is for the proxy that --proxy names: give it to that one.")
    for option, given in (("--serve", serves), ("--alerts", tells)):
        if address and given:
            raise click.UsageError(
                f"{option} is for a proxy of its own: the one that --proxy names has its own database."
            )
    from scripts.launch import session

    if serves:
        check_serving()
    if tells:
        check_alerts()
    context.exit(
        session.run(
            command,
            database=database,
            hosts=hosts,
            proxy=address,
            ca_file=ca_file,
            serve=serves,
            alerts=tells,
            quiet=quiet,
            strict=strict,
        )
    )


def check_serving() -> None:
    """Check that the page can be served, before anything is started."""
    from scripts.commands.serve import checked_token

    checked_token("127.0.0.1")


def check_alerts() -> None:
    """Check that there is something to tell and somebody to tell it to, before anything is started."""
    from scripts.alerts.settings import default_path
    from scripts.commands.alerts import checked_settings

    checked_settings(default_path())
