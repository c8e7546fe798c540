"""``ship``: what the machine recorded, sent to a team's database."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

import click

from scripts.commands.options import database_option, json_option, quiet_option
from scripts.commands.output import emit
from scripts.support.database import checked_name, open_for_reading, open_for_writing
from scripts.support.errors import FAILED, NOTHING_KNOWN, WRONG_USE, CommandError
from scripts.support.ready_lines import SHIPPING
from scripts.support.sanitize import sanitize
from store.errors import SettingError
from store.outbox.privacy import CHOICES
from store.settings import SHIP_VARIABLE, default_database

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.render.console import TerminalProfile
    from scripts.render.export import Form
    from scripts.ship.shipper import Shipper
    from store.documents import ShipStatusDocument
    from store.outbox.ledger import Wishes
    from store.outbox.privacy import Choice
    from store.team.address import TeamAddress

_NO_TEAM = f"name the team's database: codex-tap ship postgresql://HOST/DATABASE, or set {SHIP_VARIABLE}"

_NEVER_SHIPPED = "Nothing was ever sent to a team's database. Send it once:  codex-tap ship URL"

_choice = click.Choice(CHOICES)


@click.command(
    epilog="""\b
Examples:
  codex-tap ship postgresql://ann_laptop@db.example/codex_tap
  codex-tap ship "postgresql://?service=codex-tap" --watch
  codex-tap ship --emails hash --threads drop
  codex-tap ship --status                       how much is not sent yet
"""
)
@click.argument("team", required=False, metavar="[URL]")
@click.option("--watch", "stays", is_flag=True, help="Send what is new every minute or so, until Ctrl-C.")
@click.option("--status", "shows_status", is_flag=True, help="Show how much is not sent yet; send nothing.")
@click.option("--off", "ends", is_flag=True, help="End shipping: prune no longer keeps rows that were not sent.")
@click.option("--emails", type=_choice, help="What is sent of e-mails. [default: as before; at first: keep]")
@click.option("--threads", type=_choice, help="What is sent of threads. [default: as before; at first: keep]")
@click.option("--name", metavar="NAME", help="Name of this machine. [default: as before; at first: its role's]")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.01),
    metavar="SECONDS",
    help="With --watch, time between two looks. [default: 30 to 60, at random]",
)
@quiet_option("Print errors alone.")
@json_option
@database_option
@click.option("--beside", is_flag=True, hidden=True, help="Run as a sidecar: stop when stdin ends.")
@click.pass_context
def ship(
    context: click.Context,
    *,
    team: str | None,
    stays: bool,
    shows_status: bool,
    ends: bool,
    emails: Choice | None,
    threads: Choice | None,
    name: str | None,
    interval: float | None,
    quiet: bool,
    form: Form | None,
    database: Path | None,
    beside: bool,
) -> None:
    """Send what this machine recorded to a team's database.

    URL names it, or a service of libpq's; a password belongs into ~/.pgpass, a service file or CODEX_TAP_SHIP. Each
    row is sent once, however often it is tried. Never sent: raw fields, sessions, and the visible part of token keys.
    """
    path = database or default_database()
    if shows_status:
        context.exit(_show_status(path, form))
    if form:
        raise click.UsageError("--json requires --status.")
    if interval is not None and not stays:
        raise click.UsageError("--interval requires --watch.")
    if ends:
        _end(path)
        return
    from store.outbox.ledger import Wishes

    address = team_address(team)
    wishes = Wishes(emails, threads, None if name is None else checked_name(name))
    with _shipper(path, wishes, address) as shipper:
        if stays or beside:
            _watch(path, shipper, address.shown, interval, quiet=quiet, beside=beside)
        else:
            _ship_once(shipper, address.shown, quiet=quiet)


def team_address(given: str | None) -> TeamAddress:
    """Return the address of the team's database: the given one, else that of the environment.

    Raises:
        CommandError: None is named.
        SettingError: It cannot be used; the message says why, and repeats no password.
        DatabaseError: psycopg is not installed.
    """
    from store.team.address import read_address

    text = given or os.environ.get(SHIP_VARIABLE)
    if not text:
        raise CommandError(_NO_TEAM, WRONG_USE)
    try:
        return read_address(text, is_argument=given is not None)
    except SettingError as error:
        raise CommandError(str(error), WRONG_USE) from error


def _shipper(path: Path, wishes: Wishes, address: TeamAddress) -> Shipper:
    from scripts.ship.shipper import Shipper
    from store.team.way_in import connect_machine

    return Shipper(path, wishes, lambda: connect_machine(address))


def _ship_once(shipper: Shipper, shown: str, *, quiet: bool) -> None:
    """Send everything that is new, and print how much it was."""
    from scripts.ship.shipper import ship_all

    sent = ship_all(shipper)
    if not quiet:
        from scripts.render.console import count

        what = f"Sent {count(sent.snapshots, 'snapshot')} and {count(sent.requests, 'turn')} to"
        click.echo(f"{what if sent.is_taken else 'Nothing new for'} {sanitize(shown)}.")
    if shipper.left_out:
        raise CommandError(f"the team's database refused rows, which were left out: {shipper.left_out}", FAILED)


def _watch(path: Path, shipper: Shipper, shown: str, interval: float | None, *, quiet: bool, beside: bool) -> None:
    from scripts.ship.watcher import watch
    from scripts.support.shutdown import stop_event

    stop = stop_event(lifeline=beside)
    if beside:
        print(SHIPPING, sanitize(shown), flush=True)
    elif not quiet:
        click.echo(f"codex-tap: shipping {sanitize(path)} to {sanitize(shown)}; press Ctrl-C to stop", err=True)
    with contextlib.suppress(KeyboardInterrupt):
        watch(path, shipper, stop, interval=interval, last_look=beside)


# Without a team's database


def _show_status(path: Path, form: Form | None) -> int:
    """Print how far the file is, and return the exit code."""
    from store.outbox.ledger import progress

    now = time.time()
    with open_for_reading(path) as connection:
        found = progress(connection)
    document: ShipStatusDocument | None = None
    if found:
        document = {
            "generated_at": int(now),
            "shipping": not found.is_off,
            "snapshots_left": found.snapshots,
            "turns_left": found.requests,
            "sent_at": found.taken_at,
        }

    def render(_profile: TerminalProfile) -> str:
        from scripts.render.ship import render_ship_status

        assert document is not None
        return render_ship_status(document, now)

    return emit(document, form, render, is_known=found is not None, unknown=_NEVER_SHIPPED)


def _end(path: Path) -> None:
    from store.outbox.ledger import end_shipping

    with open_for_reading(path), open_for_writing(path) as connection:
        if not end_shipping(connection):
            raise CommandError(_NEVER_SHIPPED, NOTHING_KNOWN)
    click.echo("Shipping has ended. What was sent stays in the team's database; the next codex-tap ship goes on.")
