"""``demo``: the tap at work, without an account."""

from __future__ import annotations

import click


@click.command()
def demo() -> None:
    """See it work, without an account.

    Two made-up accounts take a turn (the real Codex where it is found, else a small client) through the real proxy with
    the tap, to a stand-in for OpenAI's backend. All of it is in a temporary folder, and nothing leaves this machine.
    """
    from scripts.demo.play import play
    from scripts.render.console import detect_profile, make_console, print_text
    from scripts.render.status import render_status
    from scripts.support.shutdown import exit_on_sigterm

    exit_on_sigterm()
    document = play(click.echo)
    click.echo("\nWhat codex-tap read from that traffic (the figures are made up):\n")
    console = make_console()
    print_text(console, render_status(document, detect_profile(console)))
    click.echo("\nNothing left this machine, and nothing of it was kept.\nWith your own account:  codex-tap run codex")
