"""``mcp``: answers the questions of agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from scripts.commands.options import names_option, place_option
from scripts.support.errors import FAILED, CommandError
from scripts.support.packages import how_to_install, is_installed
from scripts.support.place import default_place

if TYPE_CHECKING:
    from scripts.support.place import Place

_PACKAGE = "mcp>=1.30,<3"


@click.command(
    "mcp",
    epilog="""\b
Examples:
  codex mcp add codex-tap -- codex-tap mcp     Codex asks from then on
  codex mcp remove codex-tap
""",
)
@names_option()
@place_option
def mcp_server(*, names_on: bool, database: Place | None) -> None:
    """Answer the questions of agents, as an MCP server on stdio.

    Its tools are limits, forecast, usage and guard. They only read, and tell no e-mail address, title or folder unless
    that is asked for. They are about the account that Codex is logged in with. The server ends when stdin does.
    """
    if not is_installed("mcp"):
        raise CommandError(f"codex-tap mcp needs the package mcp. Install it:  {how_to_install(_PACKAGE)}", FAILED)
    from scripts.agent.server import serve

    serve(database or default_place(), names_on=names_on)
