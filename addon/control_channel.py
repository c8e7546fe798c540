"""The channel between the launcher and the proxy it started.

The proxy's stdin is a pipe whose other end only the launcher holds, so end of file means that the launcher has ended,
for whatever reason. Over it the launcher sends lines::

    command 4711    the command it runs has this process id
    ended           the command has ended: its process id may be somebody else's from now on
    goodbye         an orderly shutdown of the proxy

End of file without a goodbye means that the launcher was killed: the command is then asked to end, and its last traffic
is recorded before the proxy ends too.

The proxy writes one line to stdout when it listens: ``codex-tap ready 127.0.0.1:40123``, another after a turn, at most
once a second: ``codex-tap counted {"turns": 2, …}``, and a last one when it has ended and everything is recorded:
``codex-tap ended {"turns": 3, …}``. A thread writes the counts: a launcher that is stopped does not read, and once the
pipe is full a write would hold up the traffic.
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

from store.settings import COUNTED, ENDED, READY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_PATIENCE = 5.0  # seconds that a command has to end before the proxy ends
_POLL = 0.02  # seconds between two checks that it has ended
_COUNTS_PAUSE = 1.0  # seconds between two lines of counts, each of which has the totals


class _Addons(Protocol):
    def get(self, name: str) -> object: ...


class Master(Protocol):
    """The part of mitmproxy's master that is needed here."""

    @property
    def addons(self) -> _Addons:
        """The addon manager, which finds an addon by its name."""


def listen_address(master: Master) -> tuple[str, int] | None:
    """Return the first address mitmproxy listens at, or None; its servers are started before ``running``."""
    listen_addrs = getattr(master.addons.get("proxyserver"), "listen_addrs", list)
    for host, port, *_ in listen_addrs():
        return host, port
    return None


class ControlChannel:
    """Reports that the proxy is ready, then ends it when the launcher says goodbye or has ended.

    One instance per process, not per load of the script: two threads would share out the lines of stdin.
    """

    def __init__(self, shutdown: Callable[[], None], *, patience: float = _PATIENCE) -> None:
        """Create the channel.

        Args:
            shutdown: Ends the proxy; called from a thread.
            patience: Seconds that the command has to end.

        """
        self._shutdown = shutdown
        self._patience = patience
        self._command: int | None = None
        self._started = False
        self._counts: Callable[[], str] = str
        self._counts_changed = threading.Event()
        self._output = threading.Lock()
        self._has_ended = False

    def start(self, address: tuple[str, int] | None, summary: Callable[[], str] | None = None) -> bool:
        """Report ``address`` and watch stdin from now on; a second call does nothing.

        At the end of the process, when the last response has been read, the ``summary`` is reported.

        Returns False if stdin is not a pipe (a terminal, a file, closed): nobody holds the other end, and the proxy
        runs on.
        """
        if self._started:
            return True
        self._started = True
        print(ready_line(address), flush=True)
        if summary is not None:
            atexit.register(self._report_summary, summary)
        threading.Thread(target=self._print_counts, name="codex-tap counts", daemon=True).start()
        if not _is_pipe(_STDIN):
            return False
        threading.Thread(target=self._watch, name="codex-tap lifeline", daemon=True).start()
        return True

    def report_counts(self, summary: Callable[[], str]) -> None:
        """Report the counts so far, if there is a launcher; never blocks."""
        if self._started:
            # The thread that prints them puts them together: a hook waits for this.
            self._counts = summary
            self._counts_changed.set()

    def _print_counts(self) -> None:
        while True:
            self._counts_changed.wait()
            self._counts_changed.clear()
            with self._output:
                if self._has_ended:
                    return
                _print(f"{COUNTED} {self._counts()}")
            time.sleep(_COUNTS_PAUSE)

    def _report_summary(self, summary: Callable[[], str]) -> None:
        """Report the counts for the last time: counts that followed would replace them."""
        with self._output:
            self._has_ended = True
            _print(f"{ENDED} {summary()}")

    def _watch(self) -> None:
        if not self._hear_goodbye():
            _discard_output()
            if self._command is not None:
                end_process(self._command, self._patience)
        self._shutdown()

    def _hear_goodbye(self) -> bool:
        """Read the launcher's lines to their end; return True if it said goodbye."""
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
    """Return the line that reports the proxy's address to the launcher (``[::1]:8080`` for IPv6)."""
    if address is None:
        return READY
    host, port = address
    return f"{READY} [{host}]:{port}" if ":" in host else f"{READY} {host}:{port}"


def _print(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # the launcher may have ended
        print(line, flush=True)


def end_process(pid: int, patience: float) -> None:
    """Ask a process to end and wait up to ``patience`` seconds; one that has ended already is fine."""
    if sys.platform == "win32":
        # There is no polite way. The whole tree, because npm's commands are a chain of three processes.
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
    # Python has no sys.stdin if descriptor 0 was closed at its start; by now it may be any file or socket.
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
    """Redirect stdout and stderr to nowhere: mitmproxy exits at once when it cannot print, recorded or not."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDOUT)
    os.dup2(nowhere, _STDERR)
    os.close(nowhere)
