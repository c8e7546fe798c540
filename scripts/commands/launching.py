"""``run``, ``proxy`` and ``env``: Codex through the tap."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts.commands.shared import WRONG_USE, database_option

if TYPE_CHECKING:
    from scripts.launch import Shell


PROXY_ADDRESS = "127.0.0.1:8080"

host_option = click.option("--host", "hosts", multiple=True, help="Read this gateway too; can be repeated.")

serve_option = click.option("--serve", "serves", is_flag=True, help="Show the page beside it, as codex-tap serve does.")

alerts_option = click.option(
    "--alerts", "tells", is_flag=True, help="Tell what the alerts file asks for, as codex-tap alerts watch does."
)

proxy_option = click.option("--proxy", "address", metavar="HOST:PORT", help="A running codex-tap proxy.")


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
    from scripts import launch

    if serves:
        check_serving()
    if tells:
        check_alerts()
    context.exit(
        launch.run(
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


@click.command(
    epilog="""\b
Examples:
  codex-tap proxy
  codex-tap proxy --port 8081
  codex-tap proxy -- --flow-detail 2     mitmdump's own options come after --
"""
)
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True)
@click.option("--listen-host", default="127.0.0.1", show_default=True, metavar="HOST")
@host_option
@database_option
@serve_option
@alerts_option
@click.argument("mitmdump_options", nargs=-1, type=click.UNPROCESSED, metavar="[-- MITMDUMP OPTIONS]")
@click.pass_context
def proxy(
    context: click.Context,
    *,
    port: int,
    listen_host: str,
    hosts: tuple[str, ...],
    database: Path | None,
    serves: bool,
    tells: bool,
    mitmdump_options: tuple[str, ...],
) -> None:
    """Run a proxy with the tap, for several Codexes.

    It stays until Ctrl-C. `codex-tap env` leads a shell to it, `codex-tap run --proxy` a command.
    """
    from scripts import launch

    if serves:
        check_serving()
    if tells:
        check_alerts()
    context.exit(
        launch.proxy(
            mitmdump_options, host=listen_host, port=port, database=database, hosts=hosts, serve=serves, alerts=tells
        )
    )


def check_serving() -> None:
    """Check that the page can be served, before anything is started."""
    from scripts.commands.serve import checked_token, require_web

    require_web()
    checked_token("127.0.0.1")


def check_alerts() -> None:
    """Check that there is something to tell and somebody to tell it to, before anything is started."""
    from scripts.alerts.settings import default_path
    from scripts.commands.alerts import checked_settings

    checked_settings(default_path())


_EVALUATE = {
    "sh": 'eval "$(codex-tap env)"',
    "fish": "codex-tap env --shell fish | source",
    "powershell": "codex-tap env --shell powershell | Out-String | iex",
}


@click.command(
    epilog="\b\nTo use it:\n" + "\n".join(f"  {shell:<12}{how}" for shell, how in _EVALUATE.items()) + "\n",
)
@click.option("--shell", type=click.Choice(list(_EVALUATE)), help="For which shell; else it is guessed.")
@click.option("--proxy", "address", metavar="HOST:PORT", default=PROXY_ADDRESS, show_default=True)
@click.option("--ca", "ca_file", type=click.Path(path_type=Path), metavar="PEM", help="That proxy's CA certificate.")
@host_option
def env(shell: Shell | None, address: str, ca_file: Path | None, hosts: tuple[str, ...]) -> None:
    """Print what leads a shell's Codex through a proxy.

    It also puts a small codex first in the shell's PATH, which starts the real one with --no-daemon where it knows that
    flag: Codex's background server would keep the environment of whoever started it.
    """
    from scripts import launch
    from scripts.launch.background_server import warnings

    chosen = shell or _guess_shell()
    _warn_if_unanswered(address, ca_file)
    bypass = launch.shell_bypass(address=address, ca_file=ca_file, hosts=hosts)
    if bypass:
        click.echo(f"Note: {bypass.warning}", err=True)
    click.echo(launch.environment_lines(chosen, address=address, ca_file=ca_file, hosts=hosts), nl=False)
    for warning in warnings():
        click.echo(f"# {warning}")  # last: an eval without quotes joins the lines
        click.echo(f"Note: {warning}", err=True)
    if sys.stdout.isatty():
        click.echo(f"\nThese lines are for your shell to evaluate:  {_EVALUATE[chosen]}", err=True)


def _guess_shell() -> Shell:
    shell = Path(os.environ.get("SHELL", "")).name
    if shell == "fish":
        return "fish"
    return "powershell" if sys.platform == "win32" and not shell else "sh"


def _warn_if_unanswered(address: str, ca_file: Path | None) -> None:
    """Say it where the lines would lead to nothing: with them in place, no program of that shell gets out."""
    from scripts import launch
    from scripts.launch.certificates import ca_certificate
    from store.settings import certificate_folder

    try:
        launch.probe(address, ca_file or ca_certificate(certificate_folder()), seconds=1)
    except launch.LaunchError as error:
        if error.exit_code == WRONG_USE:
            raise
        click.echo(f"Note: {error}", err=True)
