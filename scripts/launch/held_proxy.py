"""A proxy at a listening socket of this process: mitmdump, started again when it ends, and meanwhile the tunnel.

Connections can be made from the first moment on. They wait for mitmdump; where it does not come in time, they are
passed through unread (`scripts.launch.holder`).
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Self, cast

from scripts.launch import holder
from scripts.support.errors import LaunchError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from scripts.launch.environment import Upstream
    from scripts.launch.holder import Child
    from scripts.launch.proxy_process import ProxyProcess

_MAX_LINES = 2_000


class Outcome(NamedTuple):
    """What a proxy did over its whole life.

    ``summaries`` are the counts that its processes reported, as JSON; ``failures`` say why processes ended before the
    command, the newest last; ``tunnelled`` is the number of connections that were passed through unread.
    """

    summaries: Sequence[str]
    failures: Sequence[str]
    restarts: int
    tunnelled: int
    lines: Sequence[str]
    was_ready: bool


class HeldProxy:
    """A running proxy; leaving the context stops it.

    The first process is started at once, in this thread; those after it by a thread.
    """

    def __init__(
        self,
        listener: socket.socket,
        start: Callable[[], ProxyProcess],
        *,
        upstream: Upstream | None = None,
        upstream_ca: str | None = None,
        instance: str = "",
        persists: bool = True,
        note: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """Start it.

        Args:
            listener: the listening socket, which is closed at the end.
            start: starts a process that adopts the socket.
            upstream: the proxy that connections go through when they are passed through.
            upstream_ca: a file of certificates that an https upstream is checked against; None: the system's.
            instance: the text that recognises this proxy while it only passes connections through.
            persists: start the process again also when it has ended with exit code 0, or has never been ready.
            note: is told when the process ends and is started again.

        Raises:
            LaunchError: the first process cannot be started.
        """
        self._listener = listener
        self._start = start
        self._persists = persists
        self._note = note
        self._lock = threading.Lock()
        self._command: int | None = None
        self._ending = False
        self._summaries: list[str] = []
        self._failures: list[str] = []
        self._lines: deque[str] = deque(maxlen=_MAX_LINES)
        self._was_ready = False
        self._exit_code = 0
        self.first = self._process = start()
        self._supervisor = holder.Supervisor(self._next_process, self._process_ended)
        own_upstream = holder.Upstream(upstream.url, upstream.auth, upstream_ca) if upstream else None
        self._tunnels = holder.Tunnels(listener.getsockname(), own_upstream, instance=instance)
        self._watcher = holder.Watcher(listener, self._tunnels, self._supervisor.patience)
        self._supervisor.start()
        self._watcher.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """Return the address of the socket, ``host:port``."""
        return socket_address(self._listener)

    def report_command(self, pid: int) -> None:
        """Tell every process which process to end if this one is killed."""
        with self._lock:
            self._command = pid
            self._process.report_command(pid)

    def report_end(self) -> None:
        """Tell the process that the command has ended, which no failure can precede any more."""
        with self._lock:
            self._command = None
            self._ending = True
            self._supervisor.stop()
            self._process.report_end()

    def ask_to_end(self) -> None:
        """Ask the process to write everything that it has seen and to end, for good; terminate it the second time."""
        self._ending = True
        self._supervisor.stop()
        self._process.ask_to_end()

    def wait(self) -> int:
        """Wait until the last process has ended and return its exit code."""
        self._supervisor.join()
        return self._exit_code

    def stop(self) -> Outcome:
        """Stop the process, close the socket, and return what happened."""
        self._ending = True
        self._supervisor.stop()
        self._watcher.stop()
        with self._lock:  # none is started any more
            process = self._process
        process.stop()
        self._supervisor.join()
        self._tunnels.close()
        self._listener.close()
        restarts = max(0, self._supervisor.starts - 1)
        return Outcome(
            self._summaries, self._failures, restarts, self._tunnels.tunnelled, list(self._lines), self._was_ready
        )

    def _next_process(self) -> Child:
        if self._supervisor.starts == 0:
            return self.first
        with self._lock:
            if self._ending:
                raise OSError(0, "it has ended")
            try:
                self._process = self._start()
            except LaunchError as error:
                raise OSError(0, str(error)) from error
            if self._command is not None:
                self._process.report_command(self._command)
            process = self._process
        self._note("the proxy is started again")
        return process

    def _process_ended(self, child: Child, code: int) -> bool:
        """Note how a process ended; return True if it is to be started again."""
        process = cast("ProxyProcess", child)
        self._exit_code = code
        self._was_ready |= process.was_ready
        self._lines.extend(process.lines if process.was_ready else ())
        if process.summary is not None:
            self._summaries.append(process.summary)
        if self._ending:
            return False
        failure = _failure(process, code)
        self._failures.append(failure)
        if not self._persists and (code == 0 or not self._was_ready):
            return False
        self._note(f"{failure}; until it is started again, connections are passed through unread")
        with contextlib.suppress(OSError):
            process.stop()  # its pipe is closed
        return True


def socket_address(listener: socket.socket) -> str:
    """Return the address of a listening socket, ``host:port``."""
    host, port, *_ = listener.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _failure(process: ProxyProcess, code: int) -> str:
    if process.was_ready:
        return f"the proxy ended ({holder.exit_text(code)})"
    return f"the proxy did not start: {process.start_output(code)}"
