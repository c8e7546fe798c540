"""The command line: which commands there are, and the exit code of what goes wrong in any of them.

A command's module is imported when the command is asked for: people put these commands into their prompts.
"""

from __future__ import annotations

import importlib
import io
import sqlite3
import sys
from pathlib import Path
from typing import Any

if __package__ in {None, ""}:
    # Run as `python scripts/cli.py`: the checkout takes the place of this folder, ahead of all else.
    _here = Path(__file__).resolve().parent
    sys.path[:] = [str(_here.parent), *(each for each in sys.path if each != str(_here))]

import click

from scripts.commands.options import reject_options
from scripts.commands.status import status, status_options
from scripts.support.errors import FAILED, NOTHING_KNOWN, NOTHING_YET, WRONG_USE, CommandError
from scripts.support.sanitize import sanitize

_COMMANDS = {
    "status": "status:status",
    "forecast": "forecast:forecast",
    "usage": "usage:usage",
    "next": "next_account:next_account",
    "events": "events:events",
    "history": "history:history",
    "accounts": "accounts:accounts",
    "threads": "threads:threads",
    "guard": "guard:guard",
    "statusline": "statusline:statusline",
    "alerts": "alerts:alerts",
    "serve": "serve:serve",
    "run": "run:run",
    "proxy": "proxy:proxy",
    "env": "env:env",
    "prune": "prune:prune",
    "demo": "demo:demo",
    "doctor": "doctor:doctor",
    "uninstall": "uninstall:uninstall",
}
"""Where each command is, in the order in which they are listed: what is wanted most often comes first."""


class Commands(click.Group):
    """The commands; what is expected to go wrong in any of them ends in one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """Return the names of all commands."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command and return it.

        Raises:
            click.NoSuchCommand: there is none of that name; the message says which one may be meant.
        """
        if cmd_name not in _COMMANDS:
            if ctx.resilient_parsing or cmd_name.startswith("-"):
                return None
            raise click.NoSuchCommand(cmd_name, possibilities=_COMMANDS, ctx=ctx)
        module, name = _COMMANDS[cmd_name].split(":")
        command = getattr(importlib.import_module(f"scripts.commands.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            failure = _explained(error)
            if failure is None:
                raise
            message, exit_code = failure
            # What it names (an e-mail, a limit) may have come over the wire.
            click.echo("Error: " + "\n".join(sanitize(line) for line in message.splitlines()), err=True)
            ctx.exit(exit_code)


def _explained(error: Exception) -> tuple[str, int] | None:
    """Return the message and the exit code of an expected failure."""
    from scripts.support.errors import LaunchError
    from store.errors import DatabaseError, MissingError
    from store.queries.accounts import AccountError

    if isinstance(error, (CommandError, LaunchError)):
        return str(error), error.exit_code
    if isinstance(error, MissingError):
        return NOTHING_YET, NOTHING_KNOWN
    if isinstance(error, AccountError):
        return str(error), WRONG_USE
    if isinstance(error, DatabaseError):
        return str(error), FAILED
    if isinstance(error, sqlite3.Error):
        return f"the database cannot be used: {error}", FAILED
    return None


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
  codex-tap                    see what is left

\b
Exit codes: 0 fine, 1 not so (doctor, a declined question), 2 wrong use,
3 nothing seen yet, 4 it could not be done (database, proxy).
run gives back its command's exit code, or 127 where that was not found.

\b
Completion:
  eval "$(_CODEX_TAP_COMPLETE=bash_source codex-tap)"     (zsh: zsh_source)
  _CODEX_TAP_COMPLETE=fish_source codex-tap | source
""",
)
@status_options
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show it.")
@click.pass_context
def cli(context: click.Context, /, **options: Any) -> None:
    """How much Codex you have left, read from the traffic that flows anyway.

    Without a command it is `codex-tap status`.
    """
    if context.invoked_subcommand is None:
        context.invoke(status, accounts=(), **options)
    else:
        reject_options(context)


def main() -> None:
    """Run the command line."""
    # A pipe on Windows cannot carry all characters of a name: better a `?` than a crash.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    cli(prog_name="codex-tap")


if __name__ == "__main__":
    main()
