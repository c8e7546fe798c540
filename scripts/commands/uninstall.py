"""``uninstall``: deletion of everything that codex-tap stores on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from scripts.commands.options import database_option, yes_option
from scripts.commands.output import list_paths
from scripts.support.errors import FAILED, CommandError
from store.settings import default_database

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@click.command()
@yes_option
@database_option
@click.pass_context
def uninstall(context: click.Context, *, yes: bool, database: Path | None) -> None:
    """Delete everything that codex-tap stores on this machine.

    That is the database with the files that belong to it, and the proxy's certificate authority with its private key.
    Files that codex-tap did not create stay. At the end it prints how to remove the program itself.
    """
    from scripts.maintenance.uninstall import delete_files, plan_uninstall, remove_program

    plan = plan_uninstall(database or default_database())
    if plan.others:
        list_paths("Not created by codex-tap, not deleted:", plan.others)
    if plan.files:
        list_paths("This deletes:", plan.files)
        _refuse_if_in_use(plan.databases)
        if not yes and not click.confirm("This cannot be undone. Delete it?"):
            context.exit(1)
    try:
        delete_files(plan)
    except OSError as error:
        raise CommandError(f"cannot delete {error.filename}: {error.strerror}", FAILED) from error
    click.echo("Deleted." if plan.files else "Nothing to delete.")
    click.echo("Close every shell that evaluated codex-tap env: its environment still points to the proxy.")
    click.echo(f"The program itself is still installed. To remove it:\n  {remove_program()}")


def _refuse_if_in_use(databases: Sequence[Path]) -> None:
    """Refuse if a process has a database open: a running proxy would create a new one at once."""
    from scripts.maintenance.uninstall import is_in_use

    for path in databases:
        if is_in_use(path):
            raise CommandError(f"{path} is in use; stop the proxy, codex-tap run or --watch first", FAILED)
