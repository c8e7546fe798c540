"""A mitmdump with the addon, started as a program of its own, listened to and ended."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Self

from scripts.support.errors import LaunchError
from scripts.support.output_queue import STDOUT, leave_signals_to_main_thread
from store.settings import ENDED, READY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# -P: a file in the user's folder must not stand in for a module. -u: what was said before a crash is heard.
_MITMDUMP = ("-P", "-u", "-X", "utf8", str(Path(__file__).with_name("mitmdump.py")))
_REFUSED = 2  # our mitmdump's exit code where it would let others in
_TIME = re.compile(r"\[\d\d:\d\d:\d\d\.\d+\] ?(?=codex-tap: )")  # before our own lines
_PREFIX = re.compile(r"^\[\d\d:\d\d:\d\d\.\d+\]\s*(codex-tap: )?")  # the time of day, and our name, which is known here
_SAYS_NOTHING = re.compile(r"Errors? logged during startup, exiting\.\.\.")

_START_SECONDS = 60.0  # a cold start on a busy machine takes many
_STOP_SECONDS = 10.0  # what it has seen is written in that time
_TERMINATE_SECONDS = 3.0
_POLL_SECONDS = 0.2
_KEPT_LINES = 2000
_WORDS_AT_START = 10  # lines of its own that tell why it did not start


class ProxyProcess:
    """A running mitmdump; on leaving the context it is ended.

    It is out of reach of the terminal's signals, so that it never ends before the command it serves, and it
    has a lifeline: the addon watches its stdin and ends it when this process is gone.
    """

    def __init__(self, arguments: Sequence[str], environ: Mapping[str, str], *, echo: bool = False) -> None:
        """Start it; with ``echo`` what it says once it is ready is printed, without it is kept.

        Raises:
            LaunchError: no process can be started.
        """
        self.address: str | None = None
        self.summary: str | None = None
        self._echo = echo
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._settled = threading.Event()
        self._goodbye_said = False
        self._process = _start(arguments, environ)
        # Always drained: a proxy that waits for room in the pipe would hold the traffic.
        self._reader = threading.Thread(target=self._listen, name="proxy output", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def lines(self) -> list[str]:
        """What it said, each line without its time of day; once it is ready, only codex-tap's own lines."""
        lines = [line for line in self._lines if self.address is None or _TIME.match(line)]
        return [_PREFIX.sub("", line) for line in lines if not _SAYS_NOTHING.fullmatch(line)]

    def wait_until_ready(self) -> str:
        """Return its address, ``host:port``, as soon as it listens.

        Raises:
            LaunchError: it ended or got stuck instead; the message has its own words. The exit code is 2 where
                it would have let others in.
        """
        if not self._settled.wait(_START_SECONDS):
            raise LaunchError(f"the proxy was not ready within {_START_SECONDS:.0f} s")
        if self.address is None:
            self.wait()
            words = "; ".join(self.lines[-_WORDS_AT_START:]) or f"exit code {self._process.returncode}"
            if self._process.returncode == _REFUSED:
                raise LaunchError(words, _REFUSED)
            raise LaunchError(f"the proxy did not start: {words}")
        return self.address

    def report_command(self, pid: int) -> None:
        """Tell the lifeline which process is to end when this one is killed."""
        self._say(f"command {pid}")

    def report_end(self) -> None:
        """Tell the lifeline that the command has ended."""
        self._say("ended")

    def poll(self) -> int | None:
        """Return its exit code if it has ended."""
        return self._process.poll()

    def wait(self) -> int:
        """Wait for its end, and until all it said is heard; return its exit code."""
        while (code := self._wait(_POLL_SECONDS if sys.platform == "win32" else None)) is None:
            pass  # Windows runs our signal handlers only between two waits
        self._reader.join(_TERMINATE_SECONDS)
        return code

    def ask_to_end(self) -> None:
        """Ask it to end with everything it has seen on disk; the second time, insist."""
        if self._goodbye_said:
            self._process.terminate()
            return
        self._goodbye_said = True
        self._say("goodbye")
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()

    def stop(self) -> None:
        """End it: ask, then insist, then kill. One that is not ready has nothing to write down."""
        if self._process.poll() is None and self.address is not None:
            if not self._goodbye_said:
                self.ask_to_end()
            self._wait(_STOP_SECONDS)
        if self._process.poll() is None:
            self._process.terminate()
            self._wait(_TERMINATE_SECONDS)
        if self._process.poll() is None:
            self._process.kill()
        self.wait()

    def _wait(self, seconds: float | None) -> int | None:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def _say(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # it has ended, or its goodbye is said
            assert self._process.stdin is not None
            os.write(self._process.stdin.fileno(), f"{line}\n".encode())

    def _listen(self) -> None:
        leave_signals_to_main_thread()
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self._hear(line.decode("utf-8", "replace").rstrip())
        self._settled.set()

    def _hear(self, line: str) -> None:
        if self.address is None and line.startswith(READY):
            self.address = line.removeprefix(READY).strip()
            self._settled.set()
        elif line.startswith(ENDED):
            self.summary = line.removeprefix(ENDED)
        elif self.address is None:
            self._lines.append(line)
        elif self._echo:
            STDOUT.put(_TIME.sub("", line))
        elif _TIME.match(line):
            self._lines.append(line)


def _start(arguments: Sequence[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    windows = sys.platform == "win32"
    try:
        return subprocess.Popen(
            [sys.executable, *_MITMDUMP, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environ),
            start_new_session=not windows,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
    except OSError as error:
        raise LaunchError(f"the proxy cannot be started: {error}") from error
