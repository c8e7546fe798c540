"""``install``: every ``codex`` of the user through codex-tap."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import click

from scripts.commands.options import beside_options, host_option, yes_option
from scripts.commands.run import check_beside
from scripts.support.errors import FAILED, WRONG_USE, CommandError
from scripts.support.sanitize import sanitize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scripts.install.always_step import AlwaysPlan
    from scripts.install.file_change import FileChange
    from scripts.install.shell_step import ShellPlan
    from scripts.install.start_up_files import ShellName
    from scripts.launch.background_server import Restart
    from scripts.support.beside import Beside

_SHELLS = ("bash", "zsh", "fish", "powershell")
_UNDO = "Undo it with:  codex-tap uninstall --keep-data"
_SERVER: dict[Restart, str] = {
    "restarted": "Codex's background server was restarted.",
    "waiting": "Codex's background server restarts as soon as its turn has ended; its turns are not read until then.",
    "failed": "Codex's background server could not be restarted; do it yourself:  codex app-server daemon restart",
}


@click.command(
    epilog="""\b
Examples:
  codex-tap install              a codex typed in a shell is read
  codex-tap install --print      only show the line for the shell
  codex-tap install --always     the editor's Codex and others as well
""",
)
@click.option("--shell", type=click.Choice(_SHELLS), help="Shell to set up. [default: guessed]")
@click.option("--print", "only_prints", is_flag=True, help="Print the line for a start-up file; change none.")
@click.option("--always", is_flag=True, help="Run a service that Codex's own .env leads to.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the service. [default: 26339]")
@click.option("--no-service", is_flag=True, help="Use no service manager; you run the service.")
@click.option("--fresh", is_flag=True, help="Keep no option of an earlier installation.")
@host_option
@beside_options
@yes_option
@click.pass_context
def install(
    context: click.Context,
    *,
    shell: ShellName | None,
    only_prints: bool,
    always: bool,
    port: int | None,
    no_service: bool,
    fresh: bool,
    hosts: tuple[str, ...],
    beside: Beside,
    yes: bool,
) -> None:
    """Read every Codex of yours, not only those of codex-tap run.

    Without --always, a small codex comes first in the PATH of your shell. It runs `codex-tap run codex`, and Codex
    alone if codex-tap cannot start or was removed.

    With --always, a service holds one fixed port, and Codex's own .env leads every Codex there. If codex-tap fails or
    was removed, the service passes everything on unread.

    Repeated, both keep what --host, --serve, --alerts, --otlp and --ship asked for before; --fresh drops what is not
    named again. Both show what they change, and ask. `codex-tap uninstall` undoes it.
    """
    of_service = [*(["--no-service"] if no_service else ()), *(option for option, *_ in beside.options)]
    of_service += [] if port is None else ["--port"]
    _check_options(always=always, shell=shell, only_prints=only_prints, of_service=of_service)
    gateways = _checked(hosts)
    check_beside(beside)
    from scripts.install.always_step import NOTHING_KEPT, kept_options, plan_always

    kept = NOTHING_KEPT if fresh else kept_options()
    if not always:
        _install_shell(context, shell, gateways, kept.gateways, only_prints=only_prints, yes=yes)
        return
    plan = plan_always(os.environ, port=port, gateways=gateways, beside=beside, kept=kept)
    _install_always(context, plan, kept.options, uses_service=not no_service, yes=yes)


def _check_options(*, always: bool, shell: str | None, only_prints: bool, of_service: Sequence[str]) -> None:
    if of_service and not always:
        raise click.UsageError(f"{of_service[0]} requires --always.")
    for option, given in (("--shell", shell is not None), ("--print", only_prints)):
        if given and always:
            raise click.UsageError(f"{option} cannot be combined with --always.")


def _checked(hosts: Sequence[str]) -> list[str]:
    """Return the gateways in one form."""
    from store.settings import checked_host

    try:
        return [checked_host(host) for host in hosts]
    except ValueError as error:
        raise CommandError(str(error), WRONG_USE) from error


def _install_shell(
    context: click.Context,
    shell: ShellName | None,
    hosts: Sequence[str],
    kept_hosts: Sequence[str],
    *,
    only_prints: bool,
    yes: bool,
) -> None:
    from dataclasses import replace

    from scripts.install.shell_step import apply_shell, plan_shell
    from scripts.install.start_up_files import guess_shell
    from scripts.install.undo import user_registry

    chosen = shell or guess_shell(os.environ, sys.platform)
    if chosen is None:
        raise CommandError(f"your shell is not known; name it with --shell ({', '.join(_SHELLS)})", WRONG_USE)
    registry = user_registry()
    plan = plan_shell(chosen, list(dict.fromkeys([*kept_hosts, *hosts])), os.environ, registry)
    if only_prints:
        apply_shell(replace(plan, files=(), user_path=None))
        click.echo(plan.lines[-1])
        return
    _show_shell(plan)
    _show_kept([part for host in kept_hosts for part in ("--host", host)])
    if not yes and not click.confirm("Do it?"):
        context.exit(1)
    apply_shell(plan, registry)
    _report_edited(plan.files)
    click.echo(f"Done. It holds for every shell that starts from now on.\n{_UNDO}")
    _mention_import()


def _show_shell(plan: ShellPlan) -> None:
    click.echo("A codex that you type will run through codex-tap. This changes:")
    click.echo(f"  {plan.folder}: the small codex that does it")
    for change in plan.files:
        what = "a block that puts that folder first in PATH"
        click.echo(f"  {change.file.path}: {_verb(change)}{what}")
        if change.file.target != change.file.path.absolute():
            click.echo(f"    (a link to {change.file.target}, which is changed)")
    if plan.user_path is not None:
        click.echo("  your PATH in the registry: that folder comes first")


def _show_kept(options: Sequence[str]) -> None:
    if options:
        click.echo(f"Kept from before, unless you add --fresh: {sanitize(' '.join(options))}")


def _verb(change: FileChange) -> str:
    if not change.is_needed:
        return "already has "
    return "created, with " if change.file.content is None else "gets "


def _report_edited(files: Sequence[FileChange]) -> None:
    for change in files:
        if change.edited:
            click.echo(f"Lines of yours in the block of {change.file.path} stay, above it: {len(change.edited)}.")


def _install_always(
    context: click.Context, plan: AlwaysPlan, kept: Sequence[str], *, uses_service: bool, yes: bool
) -> None:
    from scripts.install.always_step import is_current, lead_codex, start_service, write_service
    from scripts.install.service_manager import NoManager, manager_of

    manager = manager_of(sys.platform, os.environ) if uses_service else NoManager()
    problem = manager.why_not()
    if problem:
        raise CommandError(problem, FAILED)
    _show_always(plan, manager.file)
    _show_kept(kept)
    if not yes and not click.confirm("Do it?"):
        context.exit(1)
    is_running = is_current(plan, manager)
    command = write_service(plan)
    if not start_service(plan, manager, command, is_running=is_running):
        click.echo(
            "Nothing listens at that port yet, so Codex's .env is unchanged. Run this at every start of the system:\n"
            f"  {_joined(command)}\nThen repeat the command."
        )
        return
    server = lead_codex(plan, os.environ)
    _report_edited([plan.env])
    click.echo(f"Done. The service answers at {plan.address}, and every Codex that starts from now on is read.")
    if not uses_service:
        click.echo("You run the service: while it does not run, Codex has no network.")
    if server in _SERVER:
        click.echo(_SERVER[server])
    click.echo(_UNDO)
    _mention_import()


def _mention_import() -> None:
    from scripts.codex_files.import_hint import import_hint
    from store.settings import default_database

    hint = import_hint(default_database())
    if hint:
        click.echo(hint)


def _show_always(plan: AlwaysPlan, unit: object) -> None:
    from store.files import service_folder, trusted_file

    click.echo("Every Codex of yours will run through codex-tap, at a port that a service holds. This changes:")
    click.echo(f"  {service_folder()}: the service, listening at {plan.address}")
    if unit is not None:
        click.echo(f"  {unit}: runs it, from the start of your session on")
    click.echo(f"  {trusted_file()}: the certificates of this system, and the one of codex-tap")
    click.echo(f"  {plan.env.file.path}: {_verb(plan.env)}a block with")
    for line in plan.env_lines[1:]:
        click.echo(f"    {line}")
    if plan.upstream is not None:
        click.echo(f"The service forwards everything to your proxy {plan.upstream.url}.")


def _joined(command: Sequence[str]) -> str:
    import shlex

    return subprocess.list2cmdline(command) if sys.platform == "win32" else shlex.join(command)
