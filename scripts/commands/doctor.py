"""``doctor``: checks of the set-up."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click

from scripts.commands.options import PROXY_ADDRESS, json_option, place_option, quiet_option
from scripts.commands.output import emit
from scripts.support.place import default_place

if TYPE_CHECKING:
    from rich.text import Text

    from scripts.render.console import TerminalProfile
    from scripts.render.export import Form
    from scripts.support.place import Place
    from store.documents import DoctorDocument

UNHEALTHY = 1
"""Exit code where a check found a problem."""


@click.command()
@click.option(
    "--proxy", "address", metavar="HOST:PORT", default=PROXY_ADDRESS, show_default=True, help="Proxy to check."
)
@quiet_option("Print problems and notes alone.")
@json_option
@place_option
@click.pass_context
def doctor(context: click.Context, *, address: str, quiet: bool, form: Form | None, database: Place | None) -> None:
    """Check the set-up, and print what to do about problems."""
    from scripts.maintenance.doctor.examine import examine

    found = examine(database or default_place(), address, os.environ, time.time())
    healthy = all(check.level != "problem" for check in found)
    document: DoctorDocument = {"healthy": healthy, "checks": [check.entry() for check in found]}

    def render(profile: TerminalProfile) -> list[Text]:
        from scripts.render.doctor import render_checks

        shown = [check for check in found if check.level in {"problem", "note"}] if quiet else found
        return [render_checks(shown, profile)] if shown else []

    emit(document, form, render, is_known=True)
    context.exit(0 if healthy else UNHEALTHY)
