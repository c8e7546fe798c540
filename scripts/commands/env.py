"""``env``: shell lines that route Codex through a running proxy."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts.commands.options import PROXY_ADDRESS, host_option
from scripts.support.errors import WRONG_USE

if TYPE_CHECKING:
    from scripts.launch.environment import Shell


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
    from scripts.launch import session
    from scripts.launch.background_server import warnings

    chosen = shell or _guess_shell()
    _warn_if_unanswered(address, ca_file)
    bypass = session.shell_bypass(address=address, ca_file=ca_file, hosts=hosts)
    if bypass:
        click.echo(f"Note: {bypass.warning}", err=True)
    click.echo(session.environment_lines(chosen, address=address, ca_file=ca_file, hosts=hosts), nl=False)
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
    from scripts.launch import session
    from scripts.launch.certificates import ca_certificate
    from store.files import certificate_folder

    try:
        session.probe(address, ca_file or ca_certificate(certificate_folder()), seconds=1)
    except session.LaunchError as error:
        if error.exit_code == WRONG_USE:
            raise
        click.echo(f"Note: {error}", err=True)
