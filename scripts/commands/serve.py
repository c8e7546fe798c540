"""``serve``: the page, the JSON API and the metrics."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import TYPE_CHECKING

import click

from scripts.commands.options import database_option
from scripts.support.errors import FAILED, WRONG_USE, CommandError
from scripts.support.loopback import is_loopback
from scripts.support.ready_lines import SERVING
from scripts.support.sanitize import sanitize
from store.settings import default_database

if TYPE_CHECKING:
    import socket
    from pathlib import Path

TOKEN_VARIABLE = "CODEX_TAP_TOKEN"  # noqa: S105 (a name, not a token)
"""Environment variable with the token that every request needs; an argument would show in the list of processes."""

PORT = 8765

_NEEDED = ("fastapi", "uvicorn", "prometheus_client")
_MIN_TOKEN_LENGTH = 16
_MAKE_TOKEN = 'export CODEX_TAP_TOKEN="$(python3 -c "import secrets; print(secrets.token_urlsafe(24))")"'  # noqa: S105 (a command)


@click.command(
    epilog="""\b
Examples:
  codex-tap serve --open
  codex-tap serve --port 9000
  curl -s http://127.0.0.1:8765/api/usage | jq
  CODEX_TAP_TOKEN=… codex-tap serve --host 0.0.0.0  for others, with the token
"""
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True)
@database_option
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
@click.option("--metrics-emails", is_flag=True, help="Call accounts without a name by their e-mail in the metrics.")
@click.option("--beside", is_flag=True, hidden=True, help="Started by the launcher: any port, ends with stdin.")
def serve(*, host: str, port: int, database: Path | None, opens: bool, metrics_emails: bool, beside: bool) -> None:
    """Show it in a browser, as JSON, and as metrics for Prometheus.

    It reads the database, whether or not a proxy runs, and stays until Ctrl-C.
    """
    require_web()
    token = checked_token(host)
    from scripts.web.app import Settings
    from scripts.web.server import serve as run
    from scripts.web.server import url

    path = database or default_database()
    sockets = _listen(host, port, or_any=beside)
    where = url(sockets, host)

    def started() -> None:
        if beside:
            print(SERVING, where, flush=True)
            return
        print(f"codex-tap: {where} shows {sanitize(path)}; Ctrl-C ends it", file=sys.stderr, flush=True)
        if opens:
            click.launch(where)

    run(Settings(path, host, token, metrics_emails), sockets, started, lifeline=beside)


def require_web() -> None:
    """Check that what the server is made of is installed.

    Raises:
        CommandError: it is not; the message says how to get it.
    """
    if any(importlib.util.find_spec(name) is None for name in _NEEDED):
        raise CommandError('the server needs more than is installed: pip install "codex-tap[web]"', FAILED)


def checked_token(host: str) -> str | None:
    """Return the token that the environment sets, if any.

    Raises:
        CommandError: it is too short, or others are to be let in without one.
    """
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if token and len(token) < _MIN_TOKEN_LENGTH:
        raise CommandError(
            f"{TOKEN_VARIABLE} is too short to be a token; make one of {_MIN_TOKEN_LENGTH} characters or more:\n"
            f"  {_MAKE_TOKEN}",
            WRONG_USE,
        )
    if not token and not is_loopback(host):
        raise CommandError(
            f"at {host} others than this machine could look in; set a token that they have to know:\n  {_MAKE_TOKEN}",
            WRONG_USE,
        )
    return token or None


def _listen(host: str, port: int, *, or_any: bool) -> list[socket.socket]:
    from scripts.web.server import ListenError, listen

    try:
        return listen(host, port)
    except ListenError as error:
        if not or_any:
            raise CommandError(f"{error}; choose another port with --port", FAILED) from error
    try:
        return listen(host, 0)
    except ListenError as error:
        raise CommandError(str(error), FAILED) from error
