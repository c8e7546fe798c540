"""``demo``: a demonstration without an account."""

from __future__ import annotations

import click

from scripts.commands.output import print_rendered


@click.command()
def demo() -> None:
    """See codex-tap work, without an account.

    Two made-up accounts take a turn each through the real proxy and the tap, to a stand-in for OpenAI's backend. The
    client is the real Codex if it is found, else a small stand-in. Everything is in a temporary folder, and nothing
    leaves this machine.
    """
    from scripts.demo.play import play
    from scripts.render.status import render_status
    from scripts.support.shutdown import exit_on_sigterm

    exit_on_sigterm()
    document = play(click.echo)
    click.echo("\nWhat codex-tap read from that traffic (the figures are made up):\n")
    print_rendered(lambda profile: render_status(document, profile))
    click.echo("\nNothing left this machine, and nothing was stored.\nWith your own account:  codex-tap run codex")
