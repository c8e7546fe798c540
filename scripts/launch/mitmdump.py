"""The program that the launcher starts as its proxy: mitmdump, which requires a password for clients elsewhere.

The options that result from mitmdump's arguments and configuration are known only in its own process. They are checked
there before a port is open.

It adopts the listening socket that the launcher holds, if it is given one (`scripts.launch.holder`).

Once it serves, only codex-tap's own messages go to the launcher, unless the user configured mitmdump to print more. All
other messages go to a log file. Output never blocks: neither the launcher nor a disk can hold up the traffic.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import faulthandler
import functools
import gc
import io
import logging
import os
import select
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from mitmproxy import optmanager
from mitmproxy.addons.termlog import TermLogHandler
from mitmproxy.proxy import mode_servers, mode_specs
from mitmproxy.tools import dump
from mitmproxy.tools.main import mitmdump

# The program is run by its path and with -P, so the root of its package may be missing in sys.path.
_root = str(Path(__file__).resolve().parents[2])
if _root not in sys.path:
    sys.path.insert(0, _root)

from scripts.launch.holder import BACKLOG, take_over  # noqa: E402 (importable only from here on)
from scripts.launch.proxy_log import LogFile  # noqa: E402 (as above)
from scripts.support.loopback import is_loopback  # noqa: E402 (as above)
from scripts.support.output_queue import OutputQueue, write_unbuffered  # noqa: E402 (importable only from here on)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mitmproxy.options import Options

WRONG_USE = 2
LOG_FOLDER_OPTION = "codex_tap_log_folder"

_OWN_LOGGERS = ("addon.", "store.")
_STDERR = 2
_EXIT_SECONDS = 8.0  # less than the installed service waits for its port

_logger = logging.getLogger("python")


class LocalMaster(dump.DumpMaster):
    """A mitmdump that refuses, with one line and exit code 2, to serve other machines without a password."""

    def __init__(self, options: Options, *args: Any, upstream_auth: str | None = None, **named: Any) -> None:
        """Register the option that only the launcher sets, and set the password of the upstream proxy."""
        super().__init__(options, *args, **named)
        if upstream_auth:
            options.update(upstream_auth=upstream_auth)
        self._verbosity_is_set = False
        options.add_option(LOG_FOLDER_OPTION, str, "", "The folder of the log files; empty for none.")

    async def run(self) -> None:
        """Serve until the proxy is shut down."""
        refusal = why_refused(self.options)
        if refusal:
            print(refusal, flush=True)
            sys.exit(WRONG_USE)
        asyncio.get_running_loop().set_exception_handler(_report_unhandled)
        self._verbosity_is_set = self.options._options["termlog_verbosity"].value is not optmanager.unset  # noqa: SLF001
        if not self._verbosity_is_set:
            self.options.update(termlog_verbosity="warn")  # "info" has four lines for every connection
        await super().run()

    async def running(self) -> None:
        """Keep other messages than codex-tap's own from the launcher; errors of the start are printed by now."""
        await super().running()
        if not self._verbosity_is_set:
            for handler in logging.getLogger().handlers:
                if isinstance(handler, TermLogHandler):
                    handler.addFilter(lambda record: record.name.startswith(_OWN_LOGGERS))
        _keep_stderr_quiet()
        folder = getattr(self.options, LOG_FOLDER_OPTION)
        if folder:
            log = LogFile(Path(folder))
            logging.getLogger().addHandler(log)
            atexit.register(log.queue.drain)


class QueuedStdout(io.TextIOBase):
    """A standard output whose writes never block."""

    encoding = "utf-8"

    def __init__(self, stream: TextIO | None) -> None:
        """Replace a standard output.

        Args:
            stream: the standard output that is replaced; None if the process has none.
        """
        self.queue = OutputQueue(lambda text: write_unbuffered(stream, text))
        self._rest = ""

    def write(self, text: str) -> int:
        """Queue each line once it is complete."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self.queue.put(line)
        return len(text)


class AcceptingThread:
    """Accepts connections in a thread and serves them in the event loop; takes the place of an `asyncio.Server`.

    On Windows, asyncio binds a listening socket for good to the first event loop that uses it, so that a second
    process could not adopt it when the first one has ended.
    """

    def __init__(self, listener: socket.socket, serve: Callable[..., Awaitable[None]]) -> None:
        """Start to accept connections; to be called in the event loop.

        Args:
            listener: the socket, which is closed by `close`.
            serve: is given the reader and the writer of each connection.
        """
        self.sockets = (listener,)
        self._serve = serve
        self._loop = asyncio.get_running_loop()
        self._wake, self._waker = socket.socketpair()
        listener.setblocking(False)
        threading.Thread(target=self._accept, args=[listener], name="accept", daemon=True).start()

    def close(self) -> None:
        """Accept nothing any more."""
        self._waker.close()

    def _accept(self, listener: socket.socket) -> None:
        with self._wake, listener, contextlib.suppress(RuntimeError):  # the loop is closed
            while self._wake not in select.select([listener, self._wake], [], [])[0]:
                with contextlib.suppress(OSError):  # another process was first, or the connection is gone
                    client, _ = listener.accept()
                    asyncio.run_coroutine_threadsafe(self._open(client), self._loop)

    async def _open(self, client: socket.socket) -> None:
        client.setblocking(False)
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader, self._serve)
        with contextlib.suppress(OSError):
            await self._loop.connect_accepted_socket(lambda: protocol, client)


def adopt(listener: socket.socket, *, by_thread: bool = sys.platform == "win32") -> None:
    """Have mitmproxy serve at a socket that listens already, in place of one that it would bind.

    Args:
        listener: the socket.
        by_thread: accept connections in a thread.
    """

    async def listen(instance: Any, _host: str, _port: int) -> list[Any]:
        own = listener.dup()  # a server closes its socket
        if by_thread:
            return [AcceptingThread(own, instance.handle_stream)]
        return [await asyncio.start_server(instance.handle_stream, sock=own, backlog=BACKLOG)]

    mode_servers.AsyncioServerInstance.listen = listen  # type: ignore[method-assign, assignment]


def _report_unhandled(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # Before 3.12.2, asyncio reports each connection that is still open at the end as a failure.
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


def _keep_stderr_quiet() -> None:
    """Log the unhandled exceptions that Python would print, and discard all other output to stderr."""
    sys.unraisablehook = threading.excepthook = _log_unhandled
    sys.excepthook = lambda *failure: _logger.error("Unhandled exception", exc_info=failure)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, _STDERR)
    os.close(null)


def _log_unhandled(failure: sys.UnraisableHookArgs | threading.ExceptHookArgs) -> None:
    trace = (failure.exc_type, failure.exc_value, failure.exc_traceback)
    _logger.error("Unhandled exception", exc_info=trace)  # type: ignore[arg-type]  # its parts are never None


def why_refused(options: Options) -> str | None:
    """Return why the proxy must not listen at the addresses of mitmproxy's options, or None."""
    if not options.server or _requires_password(options.proxyauth):
        return None
    for mode in map(mode_specs.ProxyMode.parse, options.mode):
        host = mode.listen_host(options.listen_host)
        if mode.default_port is not None and not is_loopback(host):
            return (
                f"refusing to listen at {host or 'all addresses'}: other machines could use the proxy; "
                "listen at 127.0.0.1, or require a password with -- --set proxyauth=USER:PASSWORD "
                "(or proxyauth=@FILE, an htpasswd file, which keeps the password out of the list of processes)"
            )
    return None


def _requires_password(proxyauth: str | None) -> bool:
    return bool(proxyauth) and proxyauth != "any"  # "any" accepts every password


def end_in_time(seconds: float = _EXIT_SECONDS) -> None:
    """End this process after some seconds, if its orderly exit takes that long.

    The interpreter can wait for ever for a lock of a thread that it has stopped; the listening socket would stay open.
    """
    faulthandler.dump_traceback_later(seconds, exit=True)


def main() -> None:
    """Run it; only the user can read the files that it writes."""
    os.umask(0o077)
    output = QueuedStdout(sys.stdout)
    sys.stdout = output
    atexit.register(output.queue.drain)
    listener, values = take_over()
    if listener is not None:
        adopt(listener)
    # mitmdump() takes its master from there.
    dump.DumpMaster = functools.partial(LocalMaster, upstream_auth=values.get("upstream_auth"))  # type: ignore[misc, assignment]
    try:
        mitmdump()
    finally:
        end_in_time()
    gc.freeze()  # the exit, which the user waits for, takes 0.05 s instead of 0.3


if __name__ == "__main__":
    main()
