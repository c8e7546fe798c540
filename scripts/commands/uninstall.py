"""``uninstall``: everything that codex-tap changed and stores on this machine, changed back and deleted."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from scripts.commands.options import database_option, yes_option
from scripts.commands.output import list_paths
from scripts.support.errors import FAILED, CommandError
from store.settings import default_database

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scripts.install.undo import Undone, UndoPlan


@click.command()
@yes_option
@click.option("--keep-data", is_flag=True, help="Undo codex-tap install alone; delete nothing that was recorded.")
@database_option
@click.pass_context
def uninstall(context: click.Context, *, yes: bool, keep_data: bool, database: Path | None) -> None:
    """Undo install, and delete everything that codex-tap stored.

    What install changed in your files is taken out again, and its service is stopped. What is deleted is the database
    with the files that belong to it, and the proxy's certificate authority with its private key. Files that codex-tap
    did not create stay. At the end it prints how to remove the program itself.
    """
    from scripts.install.undo import plan_undo

    plan = plan_undo(os.environ)
    if keep_data:
        _undo_alone(context, plan, yes=yes)
        return
    from scripts.maintenance.uninstall import delete_files, plan_uninstall, remove_program

    deletion = plan_uninstall(database or default_database())
    if deletion.others:
        list_paths("Not created by codex-tap, not deleted:", deletion.others)
    _show(plan)
    if deletion.files:
        list_paths("This deletes:", deletion.files)
        if plan.installed.always is None:  # otherwise the service has it open, and is stopped first
            _refuse_if_in_use(deletion.databases)
        if not yes and not click.confirm("This cannot be undone. Delete it?"):
            context.exit(1)
    undone = _undo(plan)
    _refuse_if_in_use(deletion.databases)
    try:
        delete_files(deletion, keep=[undone.kept] if undone.kept else [])
    except OSError as error:
        raise CommandError(f"cannot delete {error.filename}: {error.strerror}", FAILED) from error
    _report(plan, undone)
    click.echo("Deleted." if deletion.files else "Nothing to delete.")
    click.echo("Close every shell that evaluated codex-tap env: its environment still points to the proxy.")
    click.echo(f"The program itself is still installed. To remove it:\n  {remove_program()}")


def _undo_alone(context: click.Context, plan: UndoPlan, *, yes: bool) -> None:
    if plan.is_empty:
        _report(plan, _undo(plan))
        click.echo("Nothing is installed.")
        return
    _show(plan)
    if not yes and not click.confirm("Do it?"):
        context.exit(1)
    _report(plan, _undo(plan))
    click.echo("Undone.")


def _undo(plan: UndoPlan) -> Undone:
    from scripts.install.undo import apply_undo, user_registry

    return apply_undo(plan, os.environ, user_registry())


def _show(plan: UndoPlan) -> None:
    """Print what is changed back."""
    changes = [*([plan.env] if plan.env else []), *plan.start_up]
    if changes:
        list_paths("This takes the block of codex-tap out of:", [change.file.path for change in changes])
    if plan.installed.in_user_path is not None:
        click.echo(f"This takes {plan.installed.in_user_path} out of your PATH in the registry.")
    if plan.installed.always is not None:
        click.echo(f"This stops the service at port {plan.installed.always.port}.")
    for change in changes:
        if change.edited:
            click.echo(f"Lines of yours in the block of {change.file.path} stay: {len(change.edited)}.")
    for problem in plan.problems.values():
        click.echo(f"Left as it is: {problem}.")


def _report(plan: UndoPlan, undone: Undone) -> None:
    """Print what the user has to know of running programs."""
    if undone.server == "restarted":
        click.echo("Codex's background server was restarted.")
    elif undone.server != "none":
        click.echo("Codex's background server still uses the port; restart it:  codex app-server daemon restart")
    if undone.still_listens and plan.installed.always is not None:
        click.echo(f"Something still listens at port {plan.installed.always.port}: end the service that you run.")
    if plan.env is not None and undone.users:
        running = ", ".join(map(str, undone.users))
        click.echo(f"These may still use the port, and have no network until they are restarted: processes {running}.")
    if undone.kept is not None:
        until = "they have ended" if undone.users else "the system was started anew"
        click.echo(f"{undone.kept} stays for running programs; delete it when {until}.")
    if plan.start_up:
        click.echo("Close the shells that are open, or type in them:  hash -r")


def _refuse_if_in_use(databases: Sequence[Path]) -> None:
    """Refuse if a process has a database open: a running proxy would create a new one at once."""
    from scripts.maintenance.uninstall import is_in_use

    for path in databases:
        if path.exists() and is_in_use(path):
            raise CommandError(f"{path} is in use; stop the proxy, codex-tap run or --watch first", FAILED)
