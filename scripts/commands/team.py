"""``team``: a database in PostgreSQL for many machines, its roles, its machines, its months."""

from __future__ import annotations

import contextlib
import os
import re
import time
from typing import TYPE_CHECKING, Any

import click

from scripts.commands.options import json_option, yes_option
from scripts.commands.output import emit
from scripts.support.errors import WRONG_USE, CommandError
from store.errors import SettingError
from store.settings import DATABASE_VARIABLE, SHIP_VARIABLE, is_team_address

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg
    from rich.text import Text

    from scripts.render.console import TerminalProfile
    from scripts.render.export import Form
    from store.documents import TeamMachinesDocument, TeamPruneDocument, TeamRoleDocument
    from store.team.address import TeamAddress
    from store.team.admin import Credentials

_NO_TEAM = (
    "name the team's database, postgresql://USER@HOST/DATABASE: init takes it as its argument, the other commands with "
    f"--db, and all of them from the environment variable {DATABASE_VARIABLE}"
)
_NO_MACHINE = "No machine has shipped yet. Add one with codex-tap team add-machine NAME, and run codex-tap ship there."
_KEPT = re.compile(r"([1-9][0-9]{0,4}) ?(d|days?|m|months?)", re.IGNORECASE)
_DAY = 86_400

_team_option = click.option(
    "--db",
    "team",
    metavar="URL",
    help=f"The team's database, or postgresql://?service=NAME. [env: {DATABASE_VARIABLE}]",
)
_renew_option = click.option("--renew", "renews", is_flag=True, help="Give one that is there a new password.")
_no_password_option = click.option(
    "--no-password", is_flag=True, help="It logs in as pg_hba.conf says: with a client certificate, say."
)


@click.group(
    epilog="""\b
Examples:
  codex-tap team init postgresql://admin@db.example/codex_tap
  export CODEX_TAP_DB=postgresql://admin@db.example/codex_tap
  codex-tap team add-machine ann-laptop     let a machine ship to it
  codex-tap team add-reader lead            let a person read all of it
  codex-tap team machines                   when each was last heard
  codex-tap team prune --keep 12months --yes
"""
)
def team() -> None:
    """Set up a team's database: one PostgreSQL for many machines.

    Its administrator runs these commands. Machines send to it with codex-tap ship, and every command that shows
    something reads it with --db URL. A password belongs into ~/.pgpass or a service file.
    """


@team.command("init")
@click.argument("team", metavar="[URL]", required=False)
@click.option(
    "--reader-role", "readers", multiple=True, metavar="ROLE", help="Let this role of yours read (repeatable)."
)
def init(team: str | None, readers: Sequence[str]) -> None:
    """Create what a team's database needs, or update it.

    That is tables, functions and rights in a database that is there. Run it again after an update of codex-tap: it
    changes nothing else. The administrator's role may create roles, and schemas in this database.
    """
    from scripts.support.sanitize import sanitize
    from store.team import admin
    from store.team.schema import SCHEMA_VERSION, install

    address = _address(team)
    with _administered(address) as connection:
        before = install(connection)
        admin.add_months_ahead(connection)
        for role in readers:
            admin.grant_reading(connection, role)
    what = {0: "is a team's database now", SCHEMA_VERSION: "is up to date"}.get(before, "was updated")
    click.echo(f"{sanitize(address.shown)} {what} (schema {SCHEMA_VERSION}).")
    if not before:
        click.echo("Next:  codex-tap team add-machine NAME, for each machine that is to ship to it")


@team.command("add-machine")
@click.argument("name")
@_renew_option
@_no_password_option
@json_option
@_team_option
def add_machine(name: str, *, renews: bool, no_password: bool, form: Form | None, team: str | None) -> None:
    """Make the role of a machine, which may only ship.

    It sees no row, not even its own. Its random password is shown once, with the lines that the machine needs.
    """
    _add(team, "machine", name, form, renews=renews, no_password=no_password)


@team.command("add-reader")
@click.argument("name")
@click.option("--without-emails", is_flag=True, help="It sees accounts without their e-mails.")
@_renew_option
@_no_password_option
@json_option
@_team_option
def add_reader(
    name: str, *, without_emails: bool, renews: bool, no_password: bool, form: Form | None, team: str | None
) -> None:
    """Make a role that reads everything, and writes nothing."""
    _add(team, "reader", name, form, renews=renews, no_password=no_password, sees_emails=not without_emails)


@team.command("add-person")
@click.argument("name")
@click.option("--machine", "machines", multiple=True, metavar="NAME", help="A machine of theirs (repeatable).")
@_renew_option
@_no_password_option
@json_option
@_team_option
def add_person(
    name: str, machines: Sequence[str], *, renews: bool, no_password: bool, form: Form | None, team: str | None
) -> None:
    """Make a role that reads the accounts of its machines.

    It sees what all machines saw of the accounts that one of its own was seen with, and no other.
    """
    if not machines and not renews:
        raise click.UsageError("Name their machines with --machine.")
    _add(team, "person", name, form, machines, renews=renews, no_password=no_password)


def _add(
    team: str | None, kind: Any, name: str, form: Form | None, machines: Sequence[str] = (), **wanted: bool
) -> None:
    from store.team import admin

    address = _address(team)
    has_password = not wanted.pop("no_password")
    with _administered(address) as connection, connection.transaction():
        made = admin.add_role(connection, kind, name, has_password=has_password, **wanted)
        if machines:
            admin.give_machines(connection, name, machines)
        document = _role_document(connection, address, made)
    variable = SHIP_VARIABLE if kind == "machine" else DATABASE_VARIABLE
    command = "codex-tap ship" if kind == "machine" else "codex-tap"

    def render(_profile: TerminalProfile) -> str:
        from scripts.render.team import render_role

        return render_role(document, variable, command)

    emit(document, form, render, is_known=True)


def _role_document(connection: psycopg.Connection[Any], address: TeamAddress, made: Credentials) -> TeamRoleDocument:
    from store.team.address import pgpass_line, url_of_role

    line = None if made.password is None else pgpass_line(connection, made.role, made.password)
    url = url_of_role(address, connection.info.dbname, made.role)
    return {"role": made.role, "address": url, "password": made.password, "pgpass": line}


@team.command("remove-machine")
@click.argument("name")
@yes_option
@_team_option
@click.pass_context
def remove_machine(context: click.Context, name: str, *, yes: bool, team: str | None) -> None:
    """Delete the role of a machine.

    It can ship no more. What it shipped stays.
    """
    from store.team import admin

    if not yes and not click.confirm(f"The machine {name} will ship no more. What it shipped stays. Delete its role?"):
        context.exit(1)
    with _administered(_address(team)) as connection:
        if not admin.remove_role(connection, "machine", name):
            raise CommandError(f"there is no machine {name!r}", WRONG_USE)
    click.echo(f"Deleted the role of {name}.")


@team.command("machines")
@json_option
@_team_option
@click.pass_context
def machines(context: click.Context, *, form: Form | None, team: str | None) -> None:
    """List machines, and when each was last heard.

    With what it shipped, how much it had not shipped at its last batch, and how far its clock is off.
    """
    from store.queries.machines import load_machines, load_never_heard
    from store.team.connection import open_team_reader

    now = time.time()
    with contextlib.closing(open_team_reader(_address(team))) as connection:
        document: TeamMachinesDocument = {
            "generated_at": int(now),
            "machines": load_machines(connection, now),
            "never_heard": load_never_heard(connection),
        }

    def render(_profile: TerminalProfile) -> Text:
        from scripts.render.team import render_machines

        return render_machines(document)

    context.exit(
        emit(
            document, form, render, is_known=bool(document["machines"] or document["never_heard"]), unknown=_NO_MACHINE
        )
    )


@team.command("forget")
@click.argument("account")
@yes_option
@_team_option
@click.pass_context
def forget(context: click.Context, account: str, *, yes: bool, team: str | None) -> None:
    """Delete an account and what was shipped of it.

    What was seen of it up to now does not come back; it appears again once a machine sees it again.
    """
    from scripts.render.accounts import account_label
    from scripts.support.database import chosen_accounts
    from store.team import admin
    from store.team.connection import open_team_reader

    address = _address(team)
    with contextlib.closing(open_team_reader(address)) as connection:
        (chosen,) = chosen_accounts(connection, [account])
    label = account_label(chosen)
    question = f"{label}\nThis deletes what all machines shipped of it.\nThis cannot be undone. Delete it?"
    if not yes and not click.confirm(question):
        context.exit(1)
    with _administered(address) as writing:
        admin.forget_account(writing, chosen.id)
    click.echo(f"Deleted: {label}.")


def _parse_kept(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    """Return the moment of so many months or days before now (Unix seconds)."""
    found = _KEPT.fullmatch(value.strip())
    if not found:
        raise click.BadParameter("must be a number of months or days: 12months, 400d")
    number, now = int(found[1]), time.time()
    if found[2].lower().startswith("d"):
        return now - number * _DAY
    today = time.gmtime(now)
    months = today.tm_year * 12 + today.tm_mon - 1 - number
    return _first_of_month(months)


def _first_of_month(months: int) -> float:
    import datetime as dt

    year, month = divmod(months, 12)
    if year < 1970:
        raise click.BadParameter("is longer than there has been anything to keep")
    return dt.datetime(year, month + 1, 1, tzinfo=dt.UTC).timestamp()


@team.command("prune")
@click.option(
    "--keep",
    "before",
    required=True,
    callback=_parse_kept,
    metavar="TIME",
    help="How much to keep: 12months, 400d. Months that ended before are dropped.",
)
@click.option("--yes", is_flag=True, help="Drop them; without it, only show.")
@json_option
@_team_option
def prune(*, before: float, yes: bool, form: Form | None, team: str | None) -> None:
    """Drop old months of rows.

    Months that come next are made. What was seen since still shows how a limit stands. Accounts that no machine has
    seen since are deleted.
    """
    from store.team import admin

    with _administered(_address(team)) as connection:
        months = admin.old_months(connection, before)
        if yes:
            before = admin.drop_months(connection, before)
    document: TeamPruneDocument = {
        "before": before,
        "deleted": yes,
        "freed_bytes": sum(each.size for each in months),
        "months": [{"month": each.name, "bytes": each.size} for each in months],
    }

    def render(_profile: TerminalProfile) -> str:
        from scripts.render.team import render_prune

        return render_prune(document)

    emit(document, form, render, is_known=True)


def _address(given: str | None) -> TeamAddress:
    """Return the address that was given, else that of the environment.

    Raises:
        CommandError: None is named, or it cannot be used; the message repeats no password.
    """
    from store.team.address import read_address

    text = given or os.environ.get(DATABASE_VARIABLE, "")
    if not is_team_address(text):
        raise CommandError(_NO_TEAM, WRONG_USE)
    try:
        return read_address(text, is_argument=given is not None)
    except SettingError as error:
        raise CommandError(str(error), WRONG_USE) from error


@contextlib.contextmanager
def _administered(address: TeamAddress) -> Iterator[psycopg.Connection[Any]]:
    """Connect as the administrator, while the `with` block lasts.

    Raises:
        CommandError: A role cannot be made as it was asked for.
        DatabaseError: The server refuses it.
    """
    from store.team.address import connect, explained
    from store.team.admin import RoleError

    with contextlib.closing(connect(address)) as connection, explained(address):
        try:
            yield connection
        except RoleError as error:
            raise CommandError(str(error), WRONG_USE) from error
