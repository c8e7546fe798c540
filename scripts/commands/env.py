"""``env``: shell commands that route Codex through a running proxy."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts.commands.options import PROXY_ADDRESS, ca_option, database_option, host_option
from scripts.support.errors import WRONG_USE, LaunchError

if TYPE_CHECKING:
    from scripts.launch.environment import Shell


_EVALUATE = {
    "sh": 'eval "$(codex-tap env)"',
    "fish": "codex-tap env --shell fish | source",
    "powershell": "codex-tap env --shell powershell | Out-String | iex",
}


@click.command(
    epilog="\b\nEvaluate them in your shell:\n"
    + "\n".join(f"  {shell:<12}{line}" for shell, line in _EVALUATE.items())
    + "\n",
)
@click.option(
    "--shell", type=click.Choice(list(_EVALUATE)), help="Shell that evaluates the commands. [default: guessed]"
)
@click.option(
    "--proxy",
    "given",
    metavar="HOST:PORT",
    help=f"Address of the proxy. [default: a running one of the same database, else {PROXY_ADDRESS}]",
)
@ca_option
@host_option
@database_option
def env(
    *, shell: Shell | None, given: str | None, ca_file: Path | None, hosts: tuple[str, ...], database: Path | None
) -> None:
    """Print shell commands that route Codex through a running proxy.

    They also put a small codex script first in the shell's PATH. The script starts the real codex with --no-daemon, if
    codex has that flag: codex's background server would keep the environment of the shell that started it.
    """
    from scripts.launch import session
    from scripts.launch.background_server import warnings

    chosen = shell or _guess_shell()
    address = None
    if given is None and ca_file is None:
        address, hosts = _find_running(database, hosts)
    if address is None:
        address = given or PROXY_ADDRESS
        _warn_if_unreachable(address, ca_file)
    bypass = session.shell_bypass(address=address, ca_file=ca_file, hosts=hosts)
    if bypass:
        click.echo(f"Note: {bypass.warning}", err=True)
    click.echo(session.environment_lines(chosen, address=address, ca_file=ca_file, hosts=hosts), nl=False)
    for warning in warnings():
        click.echo(f"# {warning}")  # last: an eval without quotes joins the lines
        click.echo(f"Note: {warning}", err=True)
    if sys.stdout.isatty():
        click.echo(f"\nTo apply these lines, evaluate them:  {_EVALUATE[chosen]}", err=True)


def _guess_shell() -> Shell:
    shell = Path(os.environ.get("SHELL", "")).name
    if shell == "fish":
        return "fish"
    return "powershell" if sys.platform == "win32" and not shell else "sh"


def _find_running(database: Path | None, hosts: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """Return the address and the gateways of a running proxy of the same database; (None, hosts) if there is none."""
    from scripts.launch.shared_proxy import find_shared
    from store.settings import default_database

    shared = find_shared(os.environ, database or default_database(), hosts)
    if shared is None or shared.proxy.kind == "run":  # that of a run ends with its command, maybe before the shell
        return None, hosts
    if shared.warning:
        click.echo(f"Note: {shared.warning}", err=True)
    return shared.proxy.address, tuple(shared.proxy.hosts)


def _warn_if_unreachable(address: str, ca_file: Path | None) -> None:
    """Print a note if no proxy responds: with the lines in place, no program of that shell has network access."""
    from scripts.launch import session
    from scripts.launch.certificates import ca_certificate
    from store.files import certificate_folder

    try:
        session.probe(address, ca_file or ca_certificate(certificate_folder()), seconds=1)
    except LaunchError as error:
        if error.exit_code == WRONG_USE:
            raise
        click.echo(f"Note: {error}", err=True)
