"""``mcp``: answers the questions of agents."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING

import click

from scripts.commands.options import database_option, names_option
from scripts.support.errors import FAILED, CommandError
from store.settings import default_database

if TYPE_CHECKING:
    from pathlib import Path

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
@database_option
def mcp_server(*, names_on: bool, database: Path | None) -> None:
    """Answer the questions of agents, as an MCP server on stdio.

    Its tools are limits, forecast, usage and guard. They only read, and tell no e-mail address, title or folder unless
    that is asked for. They are about the account that Codex is logged in with. The server ends when stdin does.
    """
    if importlib.util.find_spec("mcp") is None:
        raise CommandError(f"codex-tap mcp needs the package mcp. Install it:  {_how_to_install()}", FAILED)
    from scripts.agent.server import serve

    serve(database or default_database(), names_on=names_on)


def _how_to_install() -> str:
    """Return the command that adds the package to where codex-tap runs from."""
    folders = sys.prefix.replace("\\", "/").lower().split("/")
    if "pipx" in folders:
        return f'pipx inject codex-tap "{_PACKAGE}"'
    if "uv" in folders and "tools" in folders:
        return f'uv tool install codex-tap --with "{_PACKAGE}"'
    return f'"{sys.executable}" -m pip install "{_PACKAGE}"'
