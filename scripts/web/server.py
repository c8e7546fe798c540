"""The server as a program: its sockets, its start, and an end that waits for nobody."""

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

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from scripts.web.app import App, Settings

_GRACE_SECONDS = 2
_KEEP_OPEN_SECONDS = 30


class ListenError(Exception):
    """The address cannot be listened at; the message says why."""


class Server(uvicorn.Server):
    """A uvicorn that ends its streams first when it is to end: it would wait for them."""

    def __init__(self, site: App) -> None:
        """Take what is served."""
        self._hub = site.hub
        super().__init__(
            uvicorn.Config(
                site.app,
                http="h11",
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

    def ask_to_end(self) -> None:
        """Let it end soon; any thread may ask."""
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End all that is open."""
        self._hub.close()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen at all addresses of a host; port 0 is any free one.

    Raises:
        ListenError: one of them cannot be had.
    """
    where = f"{host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ListenError(f"{where} is no address to listen at: {error}") from error
    sockets: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((each[0], each[4]) for each in found):
            # Further addresses of the host get the port that the first was given.
            chosen = (str(address[0]), sockets[0].getsockname()[1] if sockets else port, *address[2:])
            sockets.append(_bound(family, chosen))
    except OSError as error:
        for each in sockets:
            each.close()
        raise ListenError(f"cannot listen at {where}: {error.strerror or error}") from error
    return sockets


def _bound(family: int, address: tuple[str | int, ...]) -> socket.socket:
    # Named outright: asyncio sends small answers without delay only where it is sure that this is TCP.
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":  # where it would let two programs have one port
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
    """Return where a browser on this machine finds what listens at `host`."""
    port = sockets[0].getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 (read)
    return f"http://{shown}:{port}/"


def serve(settings: Settings, sockets: list[socket.socket], started: Callable[[], None], *, lifeline: bool) -> None:
    """Serve until Ctrl-C, SIGTERM, or with a `lifeline` until stdin ends: then whoever started this is gone.

    `started` is called when it can be asked.
    """
    logging.basicConfig(level=logging.WARNING, format="codex-tap: %(message)s")
    server = Server(create_app(settings))
    signal.signal(signal.SIGTERM, _leave)
    if lifeline:
        on_stdin_eof(server.ask_to_end)
    started()  # the sockets listen already: what is asked from now on waits for the moment until it is answered
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets)


def _leave(_number: int, _frame: FrameType | None) -> None:
    """End with 0: SIGTERM is how a server is asked to end, and uvicorn, once it has, hands it on to here."""
    sys.exit(0)
