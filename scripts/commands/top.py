"""``top``: a live screen of accounts, turns under way, and what used a window today."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from scripts.commands.options import ACCOUNT_HELP, accounts_argument, names_option, place_option
from scripts.commands.output import print_rendered
from scripts.support.errors import FAILED, NOTHING_KNOWN, NOTHING_YET, CommandError
from scripts.support.place import default_place

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from scripts.render.console import TerminalProfile
    from scripts.support.place import Place
    from scripts.top.loader import Loader


@click.command(
    epilog="""\b
Keys: Tab switches between accounts, turns and use of today, p n u r sort the
accounts, t the use, a shows one account after the other, ? lists all keys,
q ends.
""",
    help=f"""Show what is left, turns under way and use of today, live.

    Without ACCOUNT it shows all accounts, the most pressed first. In a pipe it prints the same once. {ACCOUNT_HELP}
    """,
)
@accounts_argument
@names_option()
@place_option
@click.pass_context
def top(context: click.Context, *, accounts: tuple[str, ...], names_on: bool, database: Place | None) -> None:
    """Show what is left, turns under way and use of today, live."""
    from scripts.render.console import make_console
    from scripts.top.loader import Loader

    loader = Loader(database or default_place(), accounts, names_on=names_on)
    console = make_console()
    try:
        loader.load(time.time())
        if console.is_terminal and not (console.is_dumb_terminal or console.legacy_windows) and sys.stdin.isatty():
            _show_live(loader, console)
        else:
            context.exit(_print_once(loader))
    finally:
        loader.stop()


def _show_live(loader: Loader, console: Console) -> None:
    from scripts.support.shutdown import exit_on_sigterm
    from scripts.top.program import run

    exit_on_sigterm()
    loader.start()
    run(loader, console)


def _print_once(loader: Loader) -> int:
    """Print the whole screen, and return the exit code."""
    from scripts.render.top import View, render_top
    from scripts.top.program import contents

    shown = loader.shown
    if shown.problem and shown.problem != NOTHING_YET:
        raise CommandError(shown.problem, FAILED)
    if not shown.status["accounts"]:
        click.echo(NOTHING_YET)
        return NOTHING_KNOWN

    def render(profile: TerminalProfile) -> list[Text]:
        return render_top(contents(shown, time.time()), View(), profile, None)

    print_rendered(render)
    return 0
