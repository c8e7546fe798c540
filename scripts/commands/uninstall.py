"""``uninstall``: deletion of all that codex-tap keeps on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from scripts.commands.options import database_option
from scripts.commands.output import list_paths
from scripts.support.errors import FAILED, CommandError
from store.settings import default_database

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@database_option
@click.pass_context
def uninstall(context: click.Context, yes: bool, database: Path | None) -> None:
    """Delete all that codex-tap keeps on this machine.

    The database with what belongs to it, and the proxy's certificate authority with its private key. Nothing that
    codex-tap did not make is touched. How to remove the program itself is said at the end.
    """
    from scripts.maintenance.uninstall import delete_files, plan_uninstall, remove_program

    found = plan_uninstall(database or default_database())
    if found.others:
        list_paths("Not codex-tap's, and left alone:", found.others)
    if found.files:
        list_paths("This deletes:", found.files)
        _refuse_if_in_use(found.databases)
        if not yes and not click.confirm("There is no way back. Delete it?"):
            context.exit(1)
    try:
        delete_files(found)
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be deleted: {error.strerror}", FAILED) from error
    click.echo("Deleted." if found.files else "There is nothing to delete.")
    click.echo(f"A shell that evaluated codex-tap env still leads to the proxy: close it.\n{_PROGRAM_IS_LEFT}")
    click.echo(f"  {remove_program()}")


_PROGRAM_IS_LEFT = "What is left is the program. To remove it:"


def _refuse_if_in_use(databases: Sequence[Path]) -> None:
    """Refuse while somebody has a database open: a running proxy would go on with a new one at once."""
    from scripts.maintenance.uninstall import is_in_use

    for path in databases:
        if is_in_use(path):
            raise CommandError(f"{path} is in use; end the proxy, or the codex-tap run or --watch, first", FAILED)
