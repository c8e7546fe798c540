"""The server as a program: its sockets, its start and its shutdown."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import sys
from typing import TYPE_CHECKING

import uvicorn

from scripts.support.shutdown import on_stdin_eof
from scripts.web.app import create_app
from scripts.web.protocol import BoundedProtocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from scripts.web.app import App, Settings

MAX_CONNECTIONS = 256
"""Connections that are open at once, idle ones included; a further request gets a 503."""

SWITCH_SECONDS = 0.000_5
"""How long a thread computes while another one waits to go on. A short response goes on some dozens of times: at
Python's 5 ms, one that is computed beside a long one would take a quarter of a second more.
"""

_GRACE_SECONDS = 2
_KEEP_OPEN_SECONDS = 30


class ListenError(Exception):
    """The server cannot listen on the address; the message says why."""


class Server(uvicorn.Server):
    """A uvicorn server that closes event streams on shutdown. Uvicorn itself would wait for them."""

    def __init__(self, site: App) -> None:
        """Create the server.

        Args:
            site: the application to serve.
        """
        self._hub = site.hub
        super().__init__(
            uvicorn.Config(
                site.app,
                http=BoundedProtocol,
                limit_concurrency=MAX_CONNECTIONS,
                loop="asyncio",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=_KEEP_OPEN_SECONDS,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )

    def request_shutdown(self) -> None:
        """Make the server stop soon. Any thread may call this."""
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close all streams and connections."""
        self._hub.close()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on all addresses of a host. Port 0 means any free port.

    Raises:
        ListenError: the server cannot listen on one of the addresses.
    """
    where = f"{host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ListenError(f"{where} is not a valid address to listen on: {error}") from error
    sockets: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((each[0], each[4]) for each in found):
            # Further addresses of the host get the port of the first one.
            chosen = (str(address[0]), sockets[0].getsockname()[1] if sockets else port, *address[2:])
            sockets.append(_bound(family, chosen))
    except OSError as error:
        for each in sockets:
            each.close()
        raise ListenError(f"cannot listen on {where}: {error.strerror or error}") from error
    return sockets


def _bound(family: int, address: tuple[str | int, ...]) -> socket.socket:
    # The protocol is explicit: asyncio sets TCP_NODELAY only on sockets that are known to be TCP.
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":  # there it would let two programs share a port
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        found.bind(address)
        found.listen(128)
    except BaseException:
        found.close()
        raise
    return found


def url(sockets: list[socket.socket], host: str) -> str:
    """Return the URL of the server for a browser on this machine."""
    port = sockets[0].getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 (read)
    return f"http://{shown}:{port}/"


def serve(settings: Settings, sockets: list[socket.socket], started: Callable[[], None], *, lifeline: bool) -> None:
    """Serve until Ctrl-C or SIGTERM; with a `lifeline` also until stdin ends, which means that the parent has exited.

    `started` is called when requests are accepted.
    """
    logging.basicConfig(level=logging.WARNING, format="codex-tap: %(message)s")
    server = Server(create_app(settings))
    sys.setswitchinterval(SWITCH_SECONDS)
    signal.signal(signal.SIGTERM, _exit)
    if lifeline:
        on_stdin_eof(server.request_shutdown)
    started()  # the sockets listen already, so requests wait until the server runs
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets)


def _exit(_number: int, _frame: FrameType | None) -> None:
    """Exit with 0. Uvicorn shuts down on SIGTERM and then raises the signal again, for this handler."""
    sys.exit(0)
