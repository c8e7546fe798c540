"""The command line: what each command takes, which question it asks, and the exit code that answers.

Only what every command needs is imported here; the rest is imported by the command that needs it, because people put
these commands into their prompts.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in {None, ""}:
    # Run as `python scripts/cli.py`: the checkout takes the place of this folder, ahead of all else.
    _here = Path(__file__).resolve().parent
    sys.path[:] = [str(_here.parent), *(each for each in sys.path if each != str(_here))]

import click

from scripts.printable import printable
from store.settings import DATABASE_VARIABLE, default_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console
    from rich.text import Text

    from scripts.launch import Shell
    from store.queries import Account

WRONG_USE, NOTHING_KNOWN, FAILED = 2, 3, 4
"""Exit codes; 1 is a condition that was asked for and does not hold."""

PROXY_ADDRESS = "127.0.0.1:8080"

NOTHING_YET = "Nothing seen yet. Run Codex through the tap once:  codex-tap run codex"

_WRITE_WAIT_MILLISECONDS = 5_000
"""How long naming and forgetting wait for a proxy that is writing."""


class CommandError(Exception):
    """An expected failure: one line for people, an exit code for programs."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Commands(click.Group):
    """The commands; what is expected to go wrong in any of them ends in one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """Return the names in the order of this file: what is wanted most often comes first."""
        return list(self.commands)

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
            click.echo("Error: " + "\n".join(printable(line) for line in message.splitlines()), err=True)
            ctx.exit(exit_code)


def _explained(error: Exception) -> tuple[str, int] | None:
    """Return the message and the exit code of an expected failure."""
    from scripts.launch.errors import LaunchError
    from store.database import DatabaseError, MissingError
    from store.queries import AccountError

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


# What commands share


def _database(_context: click.Context, _parameter: click.Parameter, value: Path | None) -> Path | None:
    return value.expanduser() if value else None


database_option = click.option(
    "--db",
    "database",
    type=click.Path(path_type=Path),
    metavar="PATH",
    callback=_database,
    help=f"The database; else {DATABASE_VARIABLE}, else the user's data folder.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")
host_option = click.option("--host", "hosts", multiple=True, help="Read this gateway too; can be repeated.")
proxy_option = click.option("--proxy", "address", metavar="HOST:PORT", help="A running codex-tap proxy.")
accounts_argument = click.argument("accounts", nargs=-1, metavar="[ACCOUNT]...")


def status_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of ``status``, which the bare ``codex-tap`` has as well."""
    watch = click.option(
        "--watch",
        type=click.FloatRange(min=0.1),
        is_flag=False,
        flag_value=2.0,
        metavar="[SECONDS]",
        help="Show it again and again, every 2 seconds or so many, until Ctrl-C.",
    )
    return database_option(json_option(watch(command)))


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database for reading.

    Raises:
        MissingError: there is none yet.
        DatabaseError: it cannot be read.
    """
    from store.database import open_reader

    with contextlib.closing(open_reader(path)) as connection:
        yield connection


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database that is there for writing."""
    from store.database import open_writer

    with contextlib.closing(open_writer(path)) as connection:
        connection.execute(f"PRAGMA busy_timeout = {_WRITE_WAIT_MILLISECONDS}")
        yield connection


def _known_accounts(connection: sqlite3.Connection) -> list[Account]:
    """Return the accounts.

    Raises:
        MissingError: there is none yet.
    """
    from store.database import MissingError
    from store.queries import accounts

    known = accounts(connection)
    if not known:
        raise MissingError
    return known


def _reject_options(context: click.Context) -> None:
    """Refuse options in front of a subcommand, which would be silently lost there."""
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(f"Options come after the command: {context.invoked_subcommand} {given[0]} …")


def _show_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from scripts.version import version

        click.echo(f"codex-tap {version()}")
        context.exit()


_CONTEXT = {"help_option_names": ["-h", "--help"]}


# Status


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
        _reject_options(context)


@cli.command(
    epilog="""\b
Examples:
  codex-tap status work        the account whose name, e-mail or key starts so
  codex-tap --watch            keep it on a screen
  codex-tap --json | jq '.accounts[].limits[].windows'
"""
)
@accounts_argument
@status_options
@click.pass_context
def status(
    context: click.Context, accounts: tuple[str, ...], database: Path | None, as_json: bool, watch: float | None
) -> None:
    """Show what is left, for all accounts or some."""
    path = database or default_database()
    if watch is not None and as_json:
        raise click.UsageError("--watch and --json exclude each other.")
    if watch is not None:
        from scripts.watch import watch as show_again_and_again

        show_again_and_again(lambda console: _status_text(_status_document(path, accounts), path, console), watch)
        return
    document = _status_document(path, accounts)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        from scripts import render

        console = render.console()
        render.put(console, _status_text(document, path, console))
    if not document["accounts"]:
        context.exit(NOTHING_KNOWN)


def _status_document(path: Path, starts: Sequence[str]) -> dict[str, Any]:
    """Return the document of ``status --json``; its accounts are empty where nothing was seen yet."""
    from store import queries
    from store.database import MissingError

    now = time.time()
    try:
        with _reading(path) as connection:
            known = _known_accounts(connection)
            chosen = dict.fromkeys(queries.find_account(known, start) for start in starts)
            return queries.status(connection, now, list(chosen) or None)
    except MissingError:
        return {"generated_at": int(now), "accounts": []}


def _status_text(document: dict[str, Any], path: Path, console: Console) -> Text:
    from rich.text import Text

    from scripts import render

    if document["accounts"]:
        return render.status(document, render.look(console))
    return Text(f"{NOTHING_YET}\n(There is nothing in {printable(path)} so far.)")


# Accounts


@cli.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  codex-tap accounts name ann@ work        from now on it is called work
  codex-tap accounts forget work           delete all that was kept of it
""",
)
@json_option
@database_option
@click.pass_context
def accounts(context: click.Context, as_json: bool, database: Path | None) -> None:
    """List the accounts that were seen; name or forget one."""
    if context.invoked_subcommand is not None:
        _reject_options(context)
        return
    from store import queries
    from store.database import MissingError

    try:
        with _reading(database or default_database()) as connection:
            known = queries.accounts(connection)
    except MissingError:
        known = []
    if as_json:
        click.echo(json.dumps([_account_entry(account) for account in known], indent=2))
    elif known:
        _print_accounts(known)
    else:
        click.echo(NOTHING_YET)
    if not known:
        context.exit(NOTHING_KNOWN)


def _account_entry(account: Account) -> dict[str, Any]:
    """Return an account as ``accounts --json`` writes it."""
    fields = account._asdict()
    del fields["id"]
    return {"account": fields.pop("key"), **fields}


def _print_accounts(known: Sequence[Account]) -> None:
    from scripts import render

    console = render.console()
    render.put(console, render.accounts(known, render.look(console)))


@accounts.command("name")
@click.argument("account")
@click.argument("name", required=False)
@click.option("--clear", is_flag=True, help="Take its name away.")
@database_option
def name_account(account: str, name: str | None, clear: bool, database: Path | None) -> None:
    """Give an account a name, which then stands for it everywhere.

    ACCOUNT is its name or the start of its e-mail, key or token key.
    """
    from store.database import rename_account
    from store.queries import find_account

    if clear == (name is not None):
        raise click.UsageError("Give a name, or --clear to take it away.")
    wanted = None if name is None else _checked_name(name)
    path = database or default_database()
    with _reading(path) as connection:
        found = find_account(_known_accounts(connection), account)
    try:
        with _writing(path) as connection:
            rename_account(connection, found.id, wanted)
    except sqlite3.IntegrityError as error:
        raise CommandError(f"another account is called {name!r} already", WRONG_USE) from error
    who = _one_line(found._replace(name=None))
    click.echo(f"{who} is now called {wanted}." if wanted else f"{who} has no name now.")


def _checked_name(name: str) -> str:
    stripped = name.strip()
    if not stripped or not stripped.isprintable():
        raise CommandError("a name has at least one character and only printable ones", WRONG_USE)
    return stripped


def _one_line(account: Account) -> str:
    from scripts.render import label

    return label(account)


@accounts.command("forget")
@click.argument("account")
@click.option("--yes", is_flag=True, help="Do not ask.")
@database_option
@click.pass_context
def forget_account(context: click.Context, account: str, yes: bool, database: Path | None) -> None:
    """Delete an account and all that was kept of it.

    ACCOUNT is its name or the start of its e-mail, key or token key. An account that Codex uses again is seen again.
    """
    from store import queries
    from store.database import forget_account as delete
    from store.database import kept_copies, waiting_files

    path = database or default_database()
    with _reading(path) as connection:
        found = queries.find_account(_known_accounts(connection), account)
        kept = queries.account_extent(connection, found)
    who = _one_line(found)
    what = f"{_count(kept.snapshots, 'snapshot')} of {_count(kept.limits, 'limit')}, {_count(kept.tokens, 'token key')}"
    if not yes and not click.confirm(f"{who}\nThis deletes {what}.\nThere is no way back. Forget it?"):
        context.exit(1)
    with _writing(path) as connection:
        delete(connection, found.id)
    click.echo(f"Forgotten: {who} ({what}).")
    others = [*kept_copies(path), *waiting_files(path)]
    if others:
        _list_paths("These files beside the database may still hold it; delete them if you need them no more:", others)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


# History


def _since(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    """Return the moment that ``7d``, ``36h`` or an ISO date means, in Unix seconds."""
    from scripts.moments import parse_since

    try:
        return None if value is None else parse_since(value, time.time())
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@cli.command(
    epilog="""\b
Examples:
  codex-tap history --since 36h
  codex-tap history work --since 2026-11-20 --csv > work.csv
  codex-tap history --limit codex --json
"""
)
@click.argument("account", required=False)
@click.option("--since", callback=_since, metavar="WHEN", help="7d, 36h, 90min, 2026-11-20, 2026-11-20T14:05.")
@click.option("--limit", "limit_id", metavar="ID", help="Only this limit: codex, codex_bengalfox, ….")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="For spreadsheets.")
@database_option
@click.pass_context
def history(
    context: click.Context,
    *,
    account: str | None,
    since: float | None,
    limit_id: str | None,
    as_json: bool,
    as_csv: bool,
    database: Path | None,
) -> None:
    """Show every change that was seen, oldest first.

    ACCOUNT is a name or the start of an e-mail, key or token key.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other.")
    from scripts import export
    from store import queries
    from store.database import MissingError

    write = export.write_json if as_json else export.write_csv if as_csv else None
    try:
        with _reading(database or default_database()) as connection:
            known = _known_accounts(connection)
            chosen = queries.find_account(known, account) if account else None
            limit_ids = _checked_limits(queries.limit_ids(connection), limit_id)
            entries = queries.history(connection, account=chosen, since=since, limit_id=limit_id)
            if write:
                write(entries, sys.stdout)
            else:
                _print_history(entries, [chosen] if chosen else known, limit_ids)
    except MissingError:
        if write:
            write((), sys.stdout)
        click.echo(NOTHING_YET, err=bool(write))
        context.exit(NOTHING_KNOWN)


def _checked_limits(known: list[str], wanted: str | None) -> list[str]:
    if wanted is None:
        return known
    if wanted not in known:
        raise CommandError(f"no limit {wanted!r} was seen; there are: {', '.join(known)}", WRONG_USE)
    return [wanted]


def _print_history(entries: Iterator[dict[str, Any]], who: Sequence[Account], limit_ids: Sequence[str]) -> None:
    from scripts import render

    console = render.console()
    look = render.look(console)
    columns = render.HistoryColumns.fitting([account.label for account in who], limit_ids, look)
    first = next(entries, None)
    if first is None:
        click.echo("No change was seen in that time.", err=True)
        return
    render.put(console, render.history_header(columns))
    render.put(console, render.history_row(first, columns, look))
    for entry in entries:
        render.put(console, render.history_row(entry, columns, look))


# Run, proxy, env


@cli.command(
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
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def run(
    context: click.Context,
    *,
    address: str | None,
    ca_file: Path | None,
    hosts: tuple[str, ...],
    database: Path | None,
    command: tuple[str, ...],
) -> None:
    """Run Codex through a tap of its own.

    All from COMMAND on is the command's. Its input, output, signals and exit code are its own, too.
    """
    if ca_file and not address:
        raise click.UsageError("--ca is of use only with --proxy.")
    if address and (database or hosts):
        raise click.UsageError("--db and --host are for the proxy that --proxy names: give them to it.")
    from scripts import launch

    context.exit(launch.run(command, database=database, hosts=hosts, proxy=address, ca_file=ca_file))


@cli.command(
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
@click.argument("mitmdump_options", nargs=-1, type=click.UNPROCESSED, metavar="[-- MITMDUMP OPTIONS]")
@click.pass_context
def proxy(
    context: click.Context,
    *,
    port: int,
    listen_host: str,
    hosts: tuple[str, ...],
    database: Path | None,
    mitmdump_options: tuple[str, ...],
) -> None:
    """Run a proxy with the tap, for several Codexes.

    It stays until Ctrl-C. `codex-tap env` leads a shell to it, `codex-tap run --proxy` a command.
    """
    from scripts import launch

    context.exit(launch.proxy(mitmdump_options, host=listen_host, port=port, database=database, hosts=hosts))


_EVALUATE = {
    "sh": 'eval "$(codex-tap env)"',
    "fish": "codex-tap env --shell fish | source",
    "powershell": "codex-tap env --shell powershell | Out-String | iex",
}


@cli.command(
    epilog="\b\nTo use it:\n" + "\n".join(f"  {shell:<12}{how}" for shell, how in _EVALUATE.items()) + "\n",
)
@click.option("--shell", type=click.Choice(list(_EVALUATE)), help="For which shell; else it is guessed.")
@click.option("--proxy", "address", metavar="HOST:PORT", default=PROXY_ADDRESS, show_default=True)
@click.option("--ca", "ca_file", type=click.Path(path_type=Path), metavar="PEM", help="That proxy's CA certificate.")
@host_option
def env(shell: Shell | None, address: str, ca_file: Path | None, hosts: tuple[str, ...]) -> None:
    """Print what leads a shell's Codex through a proxy."""
    from scripts import launch

    chosen = shell or _guess_shell()
    _warn_if_unanswered(address, ca_file)
    click.echo(launch.environment_lines(chosen, address=address, ca_file=ca_file, hosts=hosts), nl=False)
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


# Demo, doctor, uninstall


@cli.command()
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


@cli.command()
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


@cli.command()
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
        _list_paths("Not codex-tap's, and left alone:", found.others)
    if found.files:
        _list_paths("This deletes:", found.files)
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


def _list_paths(heading: str, paths: Sequence[Path]) -> None:
    click.echo("\n".join([heading, *(f"  {printable(path)}" for path in paths)]))


def _refuse_if_in_use(databases: Sequence[Path]) -> None:
    """Refuse while somebody has a database open: a running proxy would go on with a new one at once."""
    from scripts.uninstall import is_in_use

    for path in databases:
        if is_in_use(path):
            raise CommandError(f"{path} is in use; end the proxy, or the codex-tap run or --watch, first", FAILED)


def main() -> None:
    """Run the command line."""
    # A pipe on Windows cannot carry all characters of a name: better a `?` than a crash.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    cli(prog_name="codex-tap")


if __name__ == "__main__":
    main()
