"""Options, arguments and validators that commands share."""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scripts.commands.completion import complete_account
from scripts.support.place import read_place
from store.errors import SettingError
from store.settings import (
    DATABASE_VARIABLE,
    NAMES_VARIABLE,
    NEEDS_FILE,
    database_path,
    default_database,
    is_team_address,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from click.shell_completion import CompletionItem

    from scripts.codex_files.login import Login
    from scripts.render.export import Form

PROXY_ADDRESS = "127.0.0.1:8080"


# Help


class _QuickOption(click.Option):
    """An option whose help is one line: click imports `inspect` to take the indentation out of a text."""

    def __init__(self, *arguments: Any, help: str, **settings: Any) -> None:  # noqa: A002 (click's name)
        super().__init__(*arguments, **settings)
        self.help = help


quick_option = functools.partial(click.option, cls=_QuickOption)
"""``click.option`` for the commands of prompts."""


class QuickHelp(click.Command):
    """A command for prompts: its option for help is click's, without the search for a translation of its text."""

    @functools.cached_property
    def _quick_help(self) -> click.Option:
        return _QuickOption(
            ["-h", "--help"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_help,
            help="Show this message and exit.",
        )

    def get_help_option(self, ctx: click.Context) -> click.Option:  # noqa: ARG002 (click's signature)
        """Return the option; it is the same one each time."""
        return self._quick_help


def _show_help(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        click.echo(context.get_help(), color=context.color)
        context.exit()


# Validators


class _PlaceType(click.ParamType[Any]):
    """A file or, where a command only reads, a team's database."""

    name = "path"

    def __init__(self, *, may_be_team: bool) -> None:
        self._may_be_team = may_be_team

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, Path):
            return value
        if isinstance(value, str) and not is_team_address(value):
            return database_path(value)
        if not self._may_be_team:
            self.fail(_needs_file(ctx), param, ctx)
        if not isinstance(value, str):  # given in front of the command
            return value
        try:
            return read_place(value, is_argument=True)
        except SettingError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 (click's signature)
        """Leave it to the shell to complete the name of a file."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


def local_file(given: Path | None) -> Path:
    """Return the file that a command writes to: the one of the option, else that of the environment.

    Raises:
        CommandError: The environment names a team's database.
    """
    if given is None and is_team_address(os.environ.get(DATABASE_VARIABLE, "")):
        from scripts.support.errors import WRONG_USE, CommandError

        raise CommandError(_needs_file(click.get_current_context()), WRONG_USE)
    return given or default_database()


_INSTEAD = {"accounts forget": "codex-tap team forget", "prune": "codex-tap team prune"}
"""What does the same to a team's database."""


def _needs_file(context: click.Context | None) -> str:
    words = " ".join(context.command_path.split()[1:]) if context else ""
    return f"{NEEDS_FILE}; for a team's database use {_INSTEAD[words]}" if words in _INSTEAD else NEEDS_FILE


def parse_since_option(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    """Return the Unix timestamp of a duration before now, or of a date."""
    from scripts.support.timespec import parse_since

    try:
        return None if value is None else parse_since(value, time.time())
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def require_past(timestamp: float, now: float, option: str) -> None:
    """Refuse a timestamp that is not in the past.

    Raises:
        click.BadParameter: The timestamp of `option` is now or later.
    """
    if timestamp >= now:
        raise click.BadParameter("must be in the past", param_hint=f"'{option}'")


_GIVEN = {click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.DEFAULT_MAP}
"""The sources of an option that was given to a group itself, or in front of it."""


def pass_on_options(context: click.Context) -> None:
    """Make the options in front of a subcommand the subcommand's own; there it may be given another value.

    Raises:
        click.UsageError: The subcommand has no such option.
    """
    name = context.invoked_subcommand
    assert name is not None
    assert isinstance(context.command, click.Group)
    command = context.command.get_command(context, name)
    assert command is not None
    given = {
        parameter.opts[0]: True if parameter.is_flag else context.params[parameter.name or ""]
        for parameter in context.command.params
        if isinstance(parameter, click.Option) and context.get_parameter_source(parameter.name or "") in _GIVEN
    }
    for flag in given:
        if not any(flag in _flags(each) for each in (command, *_subcommands(command).values())):
            words = " ".join([*context.command_path.split()[1:], name])
            raise click.UsageError(f"{words} has no option {flag}.")
    context.default_map = {
        name: {
            **_defaults(command, given),
            **{each: _defaults(sub, given) for each, sub in _subcommands(command).items()},
        }
    }


def _flags(command: click.Command) -> dict[str, str]:
    """Return the name of the parameter of each option of a command."""
    return {flag: parameter.name or "" for parameter in command.params for flag in parameter.opts}


def _subcommands(command: click.Command) -> Mapping[str, click.Command]:
    return command.commands if isinstance(command, click.Group) else {}


def _defaults(command: click.Command, given: Mapping[str, Any]) -> dict[str, Any]:
    own = _flags(command)
    return {own[flag]: value for flag, value in given.items() if flag in own}


# The form of the output


def _json_form(_context: click.Context, _parameter: click.Parameter, value: bool) -> Form | None:
    return "json" if value else None


json_option = quick_option("--json", "form", is_flag=True, callback=_json_form, help="Print JSON.")
"""``--json``, of commands without rows; the command takes `form`, which is "json" or None."""

_FORMS: tuple[Form, ...] = ("json", "csv", "ndjson")


def export_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add ``--json``, ``--csv`` and ``--ndjson``; the command takes `form`, which is None where none was given."""

    @functools.wraps(command)
    def with_form(*arguments: Any, as_json: bool, as_csv: bool, as_ndjson: bool, **options: Any) -> None:
        given = [form for form, asked in zip(_FORMS, (as_json, as_csv, as_ndjson), strict=True) if asked]
        if len(given) > 1:
            raise click.UsageError(f"--{given[0]} cannot be combined with --{given[1]}.")
        command(*arguments, form=given[0] if given else None, **options)

    as_json = quick_option("--json", "as_json", is_flag=True, help="Print JSON.")
    as_csv = quick_option("--csv", "as_csv", is_flag=True, help="Print CSV.")
    as_ndjson = quick_option("--ndjson", "as_ndjson", is_flag=True, help="Print one JSON object per line.")
    return as_json(as_csv(as_ndjson(with_form)))


# Options and arguments

ACCOUNT_HELP = "ACCOUNT is a name, or a prefix of a name, e-mail, account key or token key."

database_option = quick_option(
    "--db",
    "database",
    type=_PlaceType(may_be_team=False),
    metavar="PATH",
    help=f"Database file. [env: {DATABASE_VARIABLE}; default: in the user data folder]",
)
"""``--db``, of commands that write; the command takes `database`, a path or None."""

place_option = quick_option(
    "--db",
    "database",
    type=_PlaceType(may_be_team=True),
    metavar="PATH|URL",
    help="Database file, or the postgresql:// URL of a team's database."
    f" [env: {DATABASE_VARIABLE}; default: a file in the user data folder]",
)
"""``--db``, of commands that only read; the command takes `database`, a `scripts.support.place.Place` or None."""

any_option = quick_option(
    "--any", "any_account", is_flag=True, help="Take the account seen last, whichever is logged in here."
)


def status_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of ``status``, which the bare ``codex-tap`` has as well."""
    watch = quick_option(
        "--watch",
        type=click.FloatRange(min=0.1),
        is_flag=False,
        flag_value=2.0,
        metavar="[SECONDS]",
        help="Refresh every SECONDS (default 2) until Ctrl-C.",
    )
    every = all_option("Show every account, however many there are.")
    any_account = quick_option("--any", "any_account", is_flag=True, help="Ignore which account is logged in here.")
    return place_option(json_option(any_account(every(watch(command)))))


_ON_OFF = ("on", "off")


def names_option(
    default: str | None = "on", default_help: str = "on"
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option ``--names``; the command takes `names_on`, which is None without a default."""

    def are_on(_context: click.Context, _parameter: click.Parameter, value: str | None) -> bool | None:
        chosen = value or os.environ.get(NAMES_VARIABLE) or default
        if chosen not in {None, *_ON_OFF}:
            raise click.BadParameter(f"{chosen!r} is not one of 'on', 'off'.", param_hint=NAMES_VARIABLE)
        return None if chosen is None else chosen == "on"

    return quick_option(
        "--names",
        "names_on",
        type=click.Choice(_ON_OFF),
        callback=are_on,
        help="Show titles, folders and projects of threads, from Codex's own files."
        f" [env: {NAMES_VARIABLE}; default: {default_help}]",
    )


accounts_argument = click.argument("accounts", nargs=-1, metavar="[ACCOUNT]...", shell_complete=complete_account)


def all_option(effect: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option ``--all`` with its help; the command takes `shows_all`."""
    return quick_option("--all", "shows_all", is_flag=True, help=effect)


def quiet_option(effect: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option ``--quiet`` with its help; the command takes `quiet`."""
    return quick_option("--quiet", "-q", is_flag=True, help=effect)


pager_option = quick_option(
    "--pager/--no-pager", "pages", default=True, help="Page a long text on a terminal. [default: pager; env: PAGER]"
)

LOGIN_HELP = "the account that is logged in in CODEX_HOME (or ~/.codex), else the one seen last"


def shell_login(account: str | None = None, *, any_account: bool = False, quiet: bool = False) -> Login:
    """Return the login of this shell's Codex; one without an account where it does not matter.

    Args:
        account: The account that was named, for which the login does not matter.
        any_account: Whether the login is to be left out of it.
        quiet: Whether to print no note on a login that cannot be read.

    Raises:
        click.UsageError: An account was named, and the login is to be left out of it.
    """
    from scripts.codex_files.login import Login, find_login

    if account and any_account:
        raise click.UsageError("--any cannot be combined with ACCOUNT.")
    login = Login("") if account or any_account else find_login(os.environ)
    if login.problem and not quiet:
        from scripts.render.selection import unread_login
        from scripts.support.sanitize import sanitize

        click.echo(sanitize(unread_login(login)), err=True)
    return login


yes_option = quick_option("--yes", is_flag=True, help="Do not ask for confirmation.")


SINCE_HELP = "Start of the time range: a duration (7d, 36h, 90min) or a date (2026-11-20, 2026-11-20T14:05)."


def since_option(default: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option ``--since``; the command takes a Unix timestamp, or None without a default."""
    return quick_option(
        "--since",
        callback=parse_since_option,
        default=default,
        show_default=default is not None,
        metavar="WHEN",
        help=SINCE_HELP,
    )


host_option = quick_option(
    "--host", "hosts", multiple=True, metavar="HOST", help="Additional gateway host to watch (repeatable)."
)

_BESIDE_OPTIONS = (
    quick_option("--serve", is_flag=True, help="Also start the web page (codex-tap serve)."),
    quick_option("--alerts", is_flag=True, help="Also send alerts (codex-tap alerts watch)."),
    quick_option("--otlp", is_flag=True, help="Also send metrics to a collector (codex-tap otlp)."),
    quick_option("--ship", metavar="URL", help="Also ship to a team's database (codex-tap ship --watch)."),
)


def beside_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for each command that can run beside a proxy; the command takes `beside`."""

    @functools.wraps(command)
    def with_beside(*arguments: Any, **options: Any) -> None:
        from scripts.support.beside import Beside

        given = {name: options.pop(name) for name in Beside._fields}
        command(*arguments, beside=Beside(**given), **options)

    for option in reversed(_BESIDE_OPTIONS):
        option(with_beside)
    return with_beside


proxy_option = quick_option(
    "--proxy", "address", metavar="HOST:PORT", help="Use this running codex-tap proxy instead of starting one."
)


def ca_option(command: Callable[..., None]) -> Callable[..., None]:
    """Add ``--ca``; the command takes `ca_file`, a path or None."""
    return quick_option(
        "--ca",
        "ca_file",
        type=click.Path(path_type=Path),  # made where it is used: click looks up a translation of its name
        metavar="PEM",
        help="CA certificate of that proxy. [default: codex-tap's own]",
    )(command)
