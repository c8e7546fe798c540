"""What the launcher and the proxy it started tell each other.

The proxy's stdin is a pipe whose other end only the launcher holds, so its end tells that the launcher is
gone, however it went. Over it the launcher sends lines::

    command 4711    the command it runs has this process id
    ended           the command has ended: its process id may be somebody else's from now on
    goodbye         all is well, the proxy is to end

End of file without a goodbye means that the launcher was killed: the command is then asked to end, and what
it still says on its way out is recorded before the proxy ends too.

The proxy answers with one line on stdout when it listens: ``codex-tap ready 127.0.0.1:40123``, and with another when it
has ended and all is recorded: ``codex-tap ended {"turns": 3, …}``.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Protocol

from store.settings import ENDED, READY, UPSTREAM_AUTH_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_PATIENCE = 5.0  # seconds that a command gets to end before the proxy ends under it
_POLL = 0.02  # seconds between two looks whether it has


class _Addons(Protocol):
    def get(self, name: str) -> object: ...


class Master(Protocol):
    """The part of mitmproxy's master that is needed here."""

    @property
    def addons(self) -> _Addons:
        """The addon manager, which finds an addon by its name."""


def take_upstream_auth(environ: MutableMapping[str, str] = os.environ) -> str | None:
    """Take the upstream proxy's ``user:password`` out of the environment, to be set as ``upstream_auth``."""
    return environ.pop(UPSTREAM_AUTH_VARIABLE, None)


def listen_address(master: Master) -> tuple[str, int] | None:
    """Return the first address mitmproxy listens at, or None; its servers are up before ``running``."""
    listen_addrs = getattr(master.addons.get("proxyserver"), "listen_addrs", list)
    for host, port, *_ in listen_addrs():
        return host, port
    return None


class ControlChannel:
    """Says that the proxy is ready, then ends it when the launcher says goodbye or is gone.

    Make one for the process, not one for each load of the script: two threads would share out its lines.
    """

    def __init__(self, shutdown: Callable[[], None], *, patience: float = _PATIENCE) -> None:
        """Take what ends the proxy (called from a thread) and how many seconds the command gets to end."""
        self._shutdown = shutdown
        self._patience = patience
        self._command: int | None = None
        self._started = False

    def start(self, address: tuple[str, int] | None, summary: Callable[[], str] | None = None) -> bool:
        """Report ``address`` and watch stdin from now on; a second call does nothing.

        At the end of the process the ``summary`` is reported: by then the last response is read.

        Returns False when stdin is no pipe (a terminal, a file, closed): nobody holds the other end, and the
        proxy just goes on.
        """
        if self._started:
            return True
        self._started = True
        print(ready_line(address), flush=True)
        if summary is not None:
            atexit.register(_report_summary, summary)
        if not _is_pipe(_STDIN):
            return False
        threading.Thread(target=self._watch, name="codex-tap lifeline", daemon=True).start()
        return True

    def _watch(self) -> None:
        if not self._hear_goodbye():
            _discard_output()
            if self._command is not None:
                end_process(self._command, self._patience)
        self._shutdown()

    def _hear_goodbye(self) -> bool:
        """Follow the launcher's lines to their end; return whether it parted on good terms."""
        for line in _lines(_STDIN):
            word, _, rest = line.partition(" ")
            if word == "command" and rest.isdigit():
                self._command = int(rest)
            elif word == "ended":
                self._command = None
            elif word == "goodbye":
                return True
        return False


def ready_line(address: tuple[str, int] | None) -> str:
    """Return the line that tells the launcher where the proxy listens (``[::1]:8080`` for IPv6)."""
    if address is None:
        return READY
    host, port = address
    return f"{READY} [{host}]:{port}" if ":" in host else f"{READY} {host}:{port}"


def _report_summary(summary: Callable[[], str]) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody may be listening any more
        print(f"{ENDED} {summary()}", flush=True)


def end_process(pid: int, patience: float) -> None:
    """Ask the process to end and give it ``patience`` seconds; one that is gone already is fine."""
    if sys.platform == "win32":
        # Nothing asks there. The tree, because npm's commands are a chain of three processes.
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                ["taskkill", "/T", "/F", "/PID", str(pid)],  # noqa: S607 - it is where Windows has it
                check=False,
                timeout=patience,
                stdin=subprocess.DEVNULL,
                capture_output=True,
            )
        return
    deadline = time.monotonic() + patience
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGTERM)
        while time.monotonic() < deadline:
            time.sleep(_POLL)
            os.kill(pid, 0)


def _is_pipe(descriptor: int) -> bool:
    # Python has no sys.stdin where descriptor 0 was closed at its start; by now it may be any file or socket.
    if sys.stdin is None:
        return False
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _lines(descriptor: int) -> Iterator[str]:
    # os.read and not sys.stdin: a thread that waits inside its buffer's lock hangs the interpreter's exit.
    rest = b""
    while chunk := _read(descriptor):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode("ascii", "replace").strip() for line in lines)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""  # a broken pipe is how Windows can say end of file


def _discard_output() -> None:
    """Send stdout and stderr nowhere: mitmproxy exits at once when it cannot print, all recorded or not."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDOUT)
    os.dup2(nowhere, _STDERR)
    os.close(nowhere)
