"""``demo``, ``doctor`` and ``uninstall``."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import click

from scripts.commands.launching import PROXY_ADDRESS
from scripts.commands.shared import FAILED, CommandError, database_option, json_option, list_paths
from store.settings import default_database

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@click.command()
def demo() -> None:
    """See it work, without an account.

    Two made-up accounts take a turn (the real Codex where it is found, else a small client) through the real proxy with
    the tap, to a stand-in for OpenAI's backend. All of it is in a temporary folder, and nothing leaves this machine.
    """
    from scripts import render
    from scripts.demo.show import play
    from scripts.goodbye import tidy_up_on_sigterm

    tidy_up_on_sigterm()
    document = play(click.echo)
    click.echo("\nWhat codex-tap read from that traffic (the figures are made up):\n")
    console = render.console()
    render.put(console, render.status(document, render.look(console)))
    click.echo("\nNothing left this machine, and nothing of it was kept.\nWith your own account:  codex-tap run codex")


@click.command()
@click.option("--proxy", "address", metavar="HOST:PORT", default=PROXY_ADDRESS, show_default=True)
@json_option
@database_option
@click.pass_context
def doctor(context: click.Context, address: str, as_json: bool, database: Path | None) -> None:
    """Check the set-up, and say what to do."""
    from scripts.doctor import examine

    found = examine(database or default_database(), address, os.environ, time.time())
    healthy = all(check.level != "problem" for check in found)
    if as_json:
        click.echo(json.dumps({"healthy": healthy, "checks": [check._asdict() for check in found]}, indent=2))
    else:
        from scripts import render

        console = render.console()
        render.put(console, render.checks(found, render.look(console)))
    context.exit(0 if healthy else 1)


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@database_option
@click.pass_context
def uninstall(context: click.Context, yes: bool, database: Path | None) -> None:
    """Delete all that codex-tap keeps on this machine.

    The database with what belongs to it, and the proxy's certificate authority with its private key. Nothing that
    codex-tap did not make is touched. How to remove the program itself is said at the end.
    """
    from scripts import uninstall as everything

    found = everything.find(database or default_database())
    if found.others:
        list_paths("Not codex-tap's, and left alone:", found.others)
    if found.files:
        list_paths("This deletes:", found.files)
        _refuse_if_in_use(found.databases)
        if not yes and not click.confirm("There is no way back. Delete it?"):
            context.exit(1)
    try:
        everything.delete(found)
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be deleted: {error.strerror}", FAILED) from error
    click.echo("Deleted." if found.files else "There is nothing to delete.")
    click.echo(f"A shell that evaluated codex-tap env still leads to the proxy: close it.\n{_PROGRAM_IS_LEFT}")
    click.echo(f"  {everything.remove_program()}")


_PROGRAM_IS_LEFT = "What is left is the program. To remove it:"


def _refuse_if_in_use(databases: Sequence[Path]) -> None:
    """Refuse while somebody has a database open: a running proxy would go on with a new one at once."""
    from scripts.uninstall import is_in_use

    for path in databases:
        if is_in_use(path):
            raise CommandError(f"{path} is in use; end the proxy, or the codex-tap run or --watch, first", FAILED)
