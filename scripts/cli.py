"""The command line: the list of commands, and the exit codes of their failures.

The module of a command is imported only when the command runs: people put these commands into their shell prompts.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import os
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in {None, ""}:
    # Run as `python scripts/cli.py`: the checkout replaces this folder, at the front of the path.
    _here = Path(__file__).resolve().parent
    sys.path[:] = [str(_here.parent), *(each for each in sys.path if each != str(_here))]
    from codex_tap_cli import isolate

    isolate()

from scripts.support.late_import import imported_late

with imported_late("inspect"):  # click's texts of help need it
    import click

from scripts.commands.options import QuickHelp, pass_on_options, quick_option, status_options
from scripts.support.errors import FAILED, NOTHING_KNOWN, NOTHING_YET, WRONG_USE, CommandError
from scripts.support.sanitize import sanitize

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

_COMMANDS = {
    "status": "status:status",
    "top": "top:top",
    "forecast": "forecast:forecast",
    "usage": "usage:usage",
    "speed": "speed:speed",
    "next": "next_account:next_account",
    "events": "events:events",
    "history": "history:history",
    "accounts": "accounts:accounts",
    "threads": "threads:threads",
    "guard": "guard:guard",
    "statusline": "statusline:statusline",
    "alerts": "alerts:alerts",
    "serve": "serve:serve",
    "otlp": "otlp:otlp",
    "mcp": "mcp_server:mcp_server",
    "run": "run:run",
    "install": "install:install",
    "proxy": "proxy:proxy",
    "env": "env:env",
    "ship": "ship:ship",
    "team": "team:team",
    "import": "import_sessions:import_sessions",
    "prune": "prune:prune",
    "demo": "demo:demo",
    "doctor": "doctor:doctor",
    "uninstall": "uninstall:uninstall",
}
"""The module and the function of each command, in the order of the help: the most used first."""

_DOCUMENT_COMMANDS = frozenset(
    {"status", "forecast", "usage", "speed", "next", "events", "history", "accounts", "threads", "guard", "statusline"}
)
"""Commands that print one document and end."""


class Commands(QuickHelp, click.Group):
    """The group of all commands; an expected failure of any of them ends in a message and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """Return the names of all commands."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command and return it.

        Raises:
            click.NoSuchCommand: No command has that name; the message suggests a similar one.
        """
        if cmd_name not in _COMMANDS:
            if ctx.resilient_parsing or cmd_name.startswith("-"):
                return None
            raise click.NoSuchCommand(cmd_name, possibilities=_COMMANDS, ctx=ctx)
        module, name = _COMMANDS[cmd_name].split(":")
        command = getattr(importlib.import_module(f"scripts.commands.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is to run; one that keeps running gets its garbage collector back."""
        name, command, rest = super().resolve_command(ctx, args)
        if name not in _DOCUMENT_COMMANDS:
            gc.enable()
        return name, command, rest

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the command line to its end; a shell's completion may fail to be printed as well."""
        try:
            return super().main(*arguments, **options)
        except OSError as error:
            message = _explained_by_system(error)
            if isinstance(error, BrokenPipeError):
                sys.exit(1)  # as click ends a command whose reader has closed the pipe
            with _lost_if_not_printed():
                click.echo(f"Error: {message}", err=True)
            sys.exit(FAILED)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the command line."""
        with _failures_explained():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _failures_explained():
            return super().invoke(ctx)


@contextlib.contextmanager
def _failures_explained() -> Iterator[None]:
    """End in a message and an exit code if an expected failure is raised, or if the output cannot be written."""
    try:
        with _written_at_the_end():
            yield
    except click.ClickException as error:
        with _lost_if_not_printed():
            error.show()
        raise click.exceptions.Exit(error.exit_code) from error
    except (click.Abort, click.exceptions.Exit, BrokenPipeError):
        raise  # handled by click
    except Exception as error:
        failure = _explained(error)
        if failure is None:
            raise
        message, exit_code = failure
        # Names in the message (an e-mail, a limit) may come from the wire.
        with _lost_if_not_printed():
            click.echo("Error: " + "\n".join(sanitize(line) for line in message.splitlines()), err=True)
        raise click.exceptions.Exit(exit_code) from error


@contextlib.contextmanager
def _written_at_the_end() -> Iterator[None]:
    """Write the rest of the output while a failure of that can still be told."""
    try:
        yield
    except click.exceptions.Exit:
        _write_output()
        raise
    _write_output()


def _write_output() -> None:
    # None without a console on Windows, and closed by a server that speaks over it.
    if sys.stdout is not None and not sys.stdout.closed:
        sys.stdout.flush()


@contextlib.contextmanager
def _lost_if_not_printed() -> Iterator[None]:
    """Lose a message that cannot be printed: the exit code tells as much."""
    try:
        yield
    except OSError:
        _discard(sys.stderr)


def _explained(error: Exception) -> tuple[str, int] | None:
    """Return the message and the exit code of an expected failure; None for any other."""
    from store.errors import DatabaseError, MissingError, SettingError, failure_text
    from store.queries.accounts import AccountError

    message, exit_code = str(error), FAILED
    if isinstance(error, CommandError):
        exit_code = error.exit_code
    elif isinstance(error, MissingError):
        message, exit_code = NOTHING_YET, NOTHING_KNOWN
    elif isinstance(error, AccountError):
        exit_code = WRONG_USE
    elif isinstance(error, sqlite3.Error):
        message = f"the database cannot be used: {failure_text(error)}"
    elif isinstance(error, OSError):
        message = _explained_by_system(error)
    elif not isinstance(error, DatabaseError | SettingError):
        return None
    return message, exit_code


def _explained_by_system(error: OSError) -> str:
    """Return the message for a failure that the operating system reports."""
    reason = error.strerror or type(error).__name__
    if error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {reason}"
    if isinstance(error, FileNotFoundError):
        return f"the current folder cannot be used: {reason}; change to another folder"
    _discard(sys.stdout)
    return f"the output cannot be written: {reason}"


def _discard(stream: TextIO) -> None:
    """Discard what a stream still holds: Python would try to write it again at its end, and exit with 120."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _show_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from scripts.support.version import version

        click.echo(f"codex-tap {version()}")
        context.exit()


_CONTEXT = {"help_option_names": ["-h", "--help"]}


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings=_CONTEXT,
    epilog="""\b
Start with:
  codex-tap demo               see it work, without an account
  codex-tap run codex          run Codex through the tap
  codex-tap                    show what is left

\b
Exit codes: 0 success, 1 check failed or declined, 2 usage error,
3 no data yet, 4 operation failed. run exits with the exit code of its
command, or with 127 if the command was not found.

\b
Completion:
  eval "$(_CODEX_TAP_COMPLETE=bash_source codex-tap)"     (zsh: zsh_source)
  _CODEX_TAP_COMPLETE=fish_source codex-tap | source

\b
Options work in front of a command, too; after it they take precedence.
""",
)
@status_options
@quick_option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(context: click.Context, /, **options: Any) -> None:
    """Show how much of your Codex limits is left, and when they reset.

    The figures come from Codex's own traffic. Without a command, codex-tap runs `codex-tap status`.
    """
    if context.invoked_subcommand is None:
        from scripts.commands.status import status

        context.invoke(status, accounts=(), **options)
    else:
        pass_on_options(context)


def main() -> None:
    """Run the command line."""
    # A document is many small objects without cycles: looking for cycles takes a sixth of the time. Commands that keep
    # running switch the collector on again.
    gc.disable()
    # A pipe on Windows cannot encode every character of a name: it gets a `?` instead of a crash.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        cli(prog_name="codex-tap")
    finally:
        if not gc.isenabled():
            # At its end the interpreter looks for cycles all the same, unless nothing is left to be looked at.
            gc.freeze()


if __name__ == "__main__":
    main()
