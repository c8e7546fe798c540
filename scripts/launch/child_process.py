"""A child process of the launcher: started, its output read, and stopped with the launcher."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, ClassVar, Self

from scripts.support.errors import LaunchError
from scripts.support.output_queue import leave_signals_to_main_thread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scripts.support.output_queue import OutputQueue

_TERMINATE_SECONDS = 3.0
_POLL_SECONDS = 0.2


class ChildProcess:
    """A running Python program; leaving the context stops it.

    The terminal's signals do not reach it, so that it never ends before the command that it serves. Its stdin is a pipe
    that only this process holds: the program watches for the end of that pipe, and so ends when this process is killed.
    """

    name: ClassVar[str]
    """Its name in error messages."""

    ready_prefix: ClassVar[str]
    """The start of the line on stdout that reports that it is ready."""

    start_seconds: ClassVar[float]
    stop_seconds: ClassVar[float]
    max_lines: ClassVar[int]

    def __init__(
        self,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        *,
        echo: OutputQueue | None = None,
        descriptors: Sequence[int] = (),
    ) -> None:
        """Start it.

        Args:
            arguments: those of the Python interpreter.
            environ: the whole environment of the process.
            echo: prints the output that follows the ready line; None stores the last lines instead.
            descriptors: file descriptors that it inherits.

        Raises:
            LaunchError: the process cannot be started.
        """
        self._echo = echo
        self._ready_text: str | None = None
        self._lines: deque[str] = deque(maxlen=self.max_lines)
        self._ready_or_exited = threading.Event()
        self._process = self._start(arguments, environ, descriptors)
        # The output is always read: a process that waits for room in the pipe would hold up the traffic.
        self._reader = threading.Thread(target=self._read_output, name=f"output of {self.name}", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def poll(self) -> int | None:
        """Return its exit code if it has ended."""
        return self._process.poll()

    def wait(self) -> int:
        """Wait until it has ended and all of its output is read; return its exit code."""
        # Windows runs Python's signal handlers only between two waits.
        while (code := self._wait(_POLL_SECONDS if sys.platform == "win32" else None)) is None:
            pass
        self._reader.join(_TERMINATE_SECONDS)
        return code

    def stop(self) -> None:
        """Stop it: ask, then terminate, then kill."""
        if self.poll() is None and self._ask_to_stop():
            self._wait(self.stop_seconds)
        if self.poll() is None:
            self._process.terminate()
            self._wait(_TERMINATE_SECONDS)
        if self.poll() is None:
            self._process.kill()
        self.wait()
        self._close_stdin()

    def _start(
        self, arguments: Sequence[str], environ: Mapping[str, str], descriptors: Sequence[int]
    ) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                # -E and -P: neither the user's PYTHON* variables nor a file in the folder may replace a module.
                [sys.executable, "-E", "-P", "-X", "utf8", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(environ),
                pass_fds=descriptors,
                start_new_session=sys.platform != "win32",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        except OSError as error:
            raise LaunchError(f"{self.name} cannot be started: {error}") from error

    def _ask_to_stop(self) -> bool:
        """Ask it to stop; return False if there is nothing to wait for."""
        self._close_stdin()
        return True

    def _close_stdin(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def _wait(self, seconds: float | None) -> int | None:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def _read_output(self) -> None:
        leave_signals_to_main_thread()
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self._handle_line(line.decode("utf-8", "replace").rstrip())
        self._ready_or_exited.set()

    def _handle_line(self, line: str) -> None:
        if self._ready_text is None and line.startswith(self.ready_prefix):
            self._ready_text = line.removeprefix(self.ready_prefix).strip()
            self._ready_or_exited.set()
        elif self._ready_text is not None and self._echo is not None:
            self._echo.put(line)
        else:
            self._lines.append(line)
