"""The proxy: a mitmdump with the addon, as a child process."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.launch.child_process import ChildProcess
from scripts.launch.holder import hand_over, inherited
from scripts.support.errors import WRONG_USE, LaunchError
from scripts.support.output_queue import STDOUT
from store.settings import COUNTED, ENDED, READY

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

# -u: the output that precedes a crash is not lost in a buffer.
_PROGRAM = ("-u", str(Path(__file__).with_name("mitmdump.py")))
_OWN_LOG_TIME = re.compile(r"\[\d\d:\d\d:\d\d\.\d+\] ?(?=codex-tap: )")
_PREFIX = re.compile(r"^\[\d\d:\d\d:\d\d\.\d+\]\s*(codex-tap: )?")  # redundant where this program prints the line
_UNINFORMATIVE = re.compile(r"Errors? logged during startup, exiting\.\.\.")
_MAX_LINES_IN_ERROR = 10


class ProxyProcess(ChildProcess):
    """A running proxy.

    Over its stdin the launcher reports what the proxy has to know if the launcher is killed (`addon.control_channel`).
    """

    name = "the proxy"
    ready_prefix = READY
    start_seconds = 60.0  # a cold start on a busy machine is slow
    stop_seconds = 10.0  # time to write everything that it has seen
    max_lines = 2_000

    def __init__(
        self,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        *,
        listener: socket.socket | None = None,
        upstream_auth: str | None = None,
        echo: bool = False,
    ) -> None:
        """Start it.

        Args:
            arguments: those of mitmdump.
            environ: the whole environment of the process.
            listener: the listening socket that it adopts; None lets it listen by itself.
            upstream_auth: ``user:password`` of the upstream proxy, which goes through the pipe: other processes of the
                user could read it in the arguments or in the environment.
            echo: print the output that follows the ready line; without it, `lines` has codex-tap's own lines.

        Raises:
            LaunchError: the process cannot be started.
        """
        self.summary: str | None = None
        self._goodbye_sent = False
        arguments = (*_PROGRAM, *arguments)
        super().__init__(arguments, environ, echo=STDOUT if echo else None, descriptors=inherited(listener))
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended
            hand_over(self._process.stdin.fileno(), self._process.pid, listener, {"upstream_auth": upstream_auth})

    @property
    def was_ready(self) -> bool:
        """Return True if it has ever listened."""
        return self._ready_text is not None

    @property
    def lines(self) -> list[str]:
        """Its last lines of output, without their times of day; once it is ready, only codex-tap's own lines."""
        lines = [line for line in self._lines if self._ready_text is None or _OWN_LOG_TIME.match(line)]
        return [_PREFIX.sub("", line) for line in lines if not _UNINFORMATIVE.fullmatch(line)]

    def start_output(self, code: int) -> str:
        """Return what it printed before it ended with an exit code, in one line."""
        return "; ".join(self.lines[-_MAX_LINES_IN_ERROR:]) or f"exit code {code}"

    def wait_until_ready(self) -> str:
        """Return its address, ``host:port``, as soon as it listens.

        Raises:
            LaunchError: it ended or is stuck; the message has its output. The exit code is 2 where others than this
                machine could have used it.
        """
        if not self._ready_or_exited.wait(self.start_seconds):
            raise LaunchError(f"the proxy was not ready within {self.start_seconds:.0f} s")
        if self._ready_text is None:
            code = self.wait()
            output = self.start_output(code)
            if code == WRONG_USE:
                raise LaunchError(output, WRONG_USE)
            raise LaunchError(f"the proxy did not start: {output}")
        return self._ready_text

    def report_command(self, pid: int) -> None:
        """Tell it which process to end if the launcher is killed."""
        self._send(f"command {pid}")

    def report_end(self) -> None:
        """Tell it that the command has ended."""
        self._send("ended")

    def ask_to_end(self) -> None:
        """Ask it to write everything that it has seen and to end; terminate it when called a second time."""
        if self._goodbye_sent:
            self._process.terminate()
            return
        self._goodbye_sent = True
        self._send("goodbye")
        self._close_stdin()

    def _ask_to_stop(self) -> bool:
        if self._ready_text is None:  # nothing was recorded yet
            return False
        if not self._goodbye_sent:
            self.ask_to_end()
        return True

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it has ended, or its stdin is closed
            os.write(self._process.stdin.fileno(), f"{line}\n".encode())

    def _handle_line(self, line: str) -> None:
        if line.startswith((ENDED, COUNTED)):
            self.summary = line.removeprefix(ENDED).removeprefix(COUNTED)
        elif self._ready_text is None:
            super()._handle_line(line)
        elif self._echo is not None:
            super()._handle_line(_OWN_LOG_TIME.sub("", line))
        elif _OWN_LOG_TIME.match(line):
            self._lines.append(line)
