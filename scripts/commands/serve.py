"""``serve``: the web page, the JSON API and the metrics."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from scripts.commands.options import names_option, place_option, quiet_option
from scripts.support.errors import FAILED, WRONG_USE, CommandError
from scripts.support.loopback import is_loopback
from scripts.support.place import default_place
from scripts.support.ready_lines import SERVING
from scripts.support.sanitize import sanitize

if TYPE_CHECKING:
    import socket

    from scripts.support.place import Place

TOKEN_VARIABLE = "CODEX_TAP_TOKEN"  # noqa: S105 (a name, not a token)
"""Environment variable with the token of every request; an argument would be visible in the list of processes."""

PORT = 8765

_MIN_TOKEN_LENGTH = 16
_MAKE_TOKEN = 'export CODEX_TAP_TOKEN="$(python3 -c "import secrets; print(secrets.token_urlsafe(24))")"'  # noqa: S105 (a command)


@click.command(
    epilog="""\b
Examples:
  codex-tap serve --open
  codex-tap serve --port 9000
  curl -s http://127.0.0.1:8765/api/usage | jq
  CODEX_TAP_TOKEN=… codex-tap serve --host 0.0.0.0  from other machines
"""
)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="HOST", help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="Port to listen on (0: any)."
)
@place_option
@click.option("--open", "opens", is_flag=True, help="Open the page in a browser.")
@click.option("--metrics-emails", is_flag=True, help="Label accounts without a name by their e-mail in the metrics.")
@names_option(None, "on for a loopback address, else off")
@quiet_option("Do not print the address.")
@click.option("--beside", is_flag=True, hidden=True, help="Started by the launcher: any port, ends with stdin.")
def serve(
    *,
    host: str,
    port: int,
    database: Place | None,
    opens: bool,
    metrics_emails: bool,
    names_on: bool | None,
    quiet: bool,
    beside: bool,
) -> None:
    """Serve a web page, a JSON API and Prometheus metrics.

    It reads the database, whether or not a proxy is running, and runs until Ctrl-C.
    """
    token = checked_token(host)
    from scripts.web import server
    from scripts.web.app import Settings

    place = database or default_place()
    sockets = _listen(host, port, or_any=beside)
    url = server.url(sockets, host)

    def started() -> None:
        if beside:
            print(SERVING, url, flush=True)
            return
        if not quiet:
            print(f"codex-tap: serving {sanitize(place)} at {url}; press Ctrl-C to stop", file=sys.stderr, flush=True)
        if opens:
            click.launch(url)

    shows_names = is_loopback(host) if names_on is None else names_on
    server.serve(Settings(place, host, token, metrics_emails, shows_names), sockets, started, lifeline=beside)


def checked_token(host: str) -> str | None:
    """Return the token of the environment variable, if set.

    Raises:
        CommandError: The token is too short, or missing for an address that other machines can reach.
    """
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if token and len(token) < _MIN_TOKEN_LENGTH:
        raise CommandError(
            f"{TOKEN_VARIABLE} is too short; use at least {_MIN_TOKEN_LENGTH} characters:\n  {_MAKE_TOKEN}",
            WRONG_USE,
        )
    if not token and not is_loopback(host):
        raise CommandError(
            f"refusing to listen on {host} without a token; set {TOKEN_VARIABLE}:\n  {_MAKE_TOKEN}",
            WRONG_USE,
        )
    return token or None


def _listen(host: str, port: int, *, or_any: bool) -> list[socket.socket]:
    from scripts.web.server import ListenError, listen

    try:
        return listen(host, port)
    except ListenError as error:
        if not or_any:
            raise CommandError(f"{error}; use another port with --port", FAILED) from error
    try:
        return listen(host, 0)
    except ListenError as error:
        raise CommandError(str(error), FAILED) from error
