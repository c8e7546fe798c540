"""The program that the launcher starts as its proxy: mitmdump, which lets nobody in from elsewhere without a password.

What mitmdump's own arguments and configuration come to is known only in its own process, and there before any port is
open. So that is where it is checked.

Once it serves, only codex-tap's own messages go to the launcher, unless the user asked mitmdump for more. Everything
else goes to a log file. Nothing here waits for a reader: neither the launcher nor a disk can hold up the traffic.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import io
import ipaddress
import logging
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from mitmproxy import optmanager
from mitmproxy.addons.termlog import TermLogHandler
from mitmproxy.proxy import mode_specs
from mitmproxy.tools import dump
from mitmproxy.tools.main import mitmdump

# It is run by its path and with -P: the package it belongs to may not be importable by itself.
_root = str(Path(__file__).resolve().parents[2])
if _root not in sys.path:
    sys.path.append(_root)

from scripts.launch.proxy_log import LogFile  # noqa: E402 (as above)
from scripts.support.output_queue import OutputQueue, write_unbuffered  # noqa: E402 (importable only from here on)

if TYPE_CHECKING:
    from mitmproxy.options import Options

WRONG_USE = 2
LOG_FOLDER_OPTION = "codex_tap_log_folder"

_OWN_LOGGERS = ("addon.", "store.")
_STDERR = 2

_logger = logging.getLogger("python")


class LocalMaster(dump.DumpMaster):
    """A mitmdump that ends, with one line and exit code 2, where it would let others in."""

    def __init__(self, options: Options, *args: Any, **named: Any) -> None:
        """Register the option that only the launcher sets."""
        super().__init__(options, *args, **named)
        self._is_talkative = False
        options.add_option(LOG_FOLDER_OPTION, str, "", "The folder of the log files; empty for none.")

    async def run(self) -> None:
        """Serve until asked to end."""
        refusal = why_refused(self.options)
        if refusal:
            print(refusal, flush=True)
            sys.exit(WRONG_USE)
        asyncio.get_running_loop().set_exception_handler(_report_unhandled)
        self._is_talkative = self.options._options["termlog_verbosity"].value is not optmanager.unset  # noqa: SLF001
        if not self._is_talkative:
            self.options.update(termlog_verbosity="warn")  # "info" has four lines for every connection
        await super().run()

    async def running(self) -> None:
        """Keep what is not codex-tap's from the launcher; why it did not start has been told by now."""
        await super().running()
        if not self._is_talkative:
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
    """A standard output whose writes never wait."""

    encoding = "utf-8"

    def __init__(self, stream: TextIO | None) -> None:
        """Take the place of `stream`."""
        self.queue = OutputQueue(lambda text: write_unbuffered(stream, text))
        self._rest = ""

    def write(self, text: str) -> int:
        """Queue each line once it is whole."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self.queue.put(line)
        return len(text)


def _report_unhandled(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # Before 3.12.2, asyncio reports each connection that is still open at the end as a failure.
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


def _keep_stderr_quiet() -> None:
    """Log what Python itself would print, with its text left out, and let nothing else through."""
    sys.unraisablehook = threading.excepthook = _log_unhandled
    sys.excepthook = lambda *failure: _logger.error("Unhandled exception", exc_info=failure)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDERR)
    os.close(nowhere)


def _log_unhandled(failure: sys.UnraisableHookArgs | threading.ExceptHookArgs) -> None:
    trace = (failure.exc_type, failure.exc_value, failure.exc_traceback)
    _logger.error("Unhandled exception", exc_info=trace)  # type: ignore[arg-type]  # its parts are never None


def why_refused(options: Options) -> str | None:
    """Return what is wrong with where mitmproxy's options say to listen, or None."""
    if not options.server or _asks_for_password(options.proxyauth):
        return None
    for mode in map(mode_specs.ProxyMode.parse, options.mode):
        host = mode.listen_host(options.listen_host)
        if mode.default_port is not None and not _is_loopback(host):
            return (
                f"at {host or 'all addresses'} others than this machine could use the proxy: "
                "listen at 127.0.0.1, or ask them for a password with -- --set proxyauth=USER:PASSWORD "
                "(or proxyauth=@FILE, as htpasswd writes it, which the list of processes does not show)"
            )
    return None


def _asks_for_password(proxyauth: str | None) -> bool:
    return bool(proxyauth) and proxyauth != "any"  # "any" asks, and takes whatever it is told


def _is_loopback(host: str) -> bool:
    # As in `scripts.commands.serve`, of which nothing can be imported: this is run by its path and with -P.
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False  # what a name leads to is not known until then


def main() -> None:
    """Run it; what it writes is for nobody else to read."""
    os.umask(0o077)
    output = QueuedStdout(sys.stdout)
    sys.stdout = output
    atexit.register(output.queue.drain)
    dump.DumpMaster = LocalMaster  # type: ignore[misc]  # mitmdump() takes its master from there
    mitmdump()
    gc.freeze()  # its exit, which the user waits for, takes 0.05 s instead of 0.3


if __name__ == "__main__":
    main()
