"""``doctor``: checks of the set-up."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import click

from scripts.commands.options import PROXY_ADDRESS, database_option, json_option
from store.settings import default_database

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.option("--proxy", "address", metavar="HOST:PORT", default=PROXY_ADDRESS, show_default=True)
@json_option
@database_option
@click.pass_context
def doctor(context: click.Context, address: str, as_json: bool, database: Path | None) -> None:
    """Check the set-up, and say what to do."""
    from scripts.maintenance.doctor import examine

    found = examine(database or default_database(), address, os.environ, time.time())
    healthy = all(check.level != "problem" for check in found)
    if as_json:
        click.echo(json.dumps({"healthy": healthy, "checks": [check._asdict() for check in found]}, indent=2))
    else:
        from scripts.render.console import detect_profile, make_console, print_text
        from scripts.render.doctor import render_checks

        console = make_console()
        print_text(console, render_checks(found, detect_profile(console)))
    context.exit(0 if healthy else 1)
