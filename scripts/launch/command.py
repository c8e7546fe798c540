"""The user's command, which runs in the foreground of the terminal."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from scripts.support.errors import LaunchError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType

    Handler = Callable[[int, FrameType | None], object] | int | signal.Handlers | None

NOT_EXECUTABLE = 126
NOT_FOUND = 127

_FROM_TERMINAL = ("SIGINT", "SIGQUIT", "SIGBREAK")
EACH_SIGNAL = (*_FROM_TERMINAL, "SIGTERM", "SIGHUP")


def find_program(name: str, search_path: str | None) -> str:
    """Return the path of the program ``name``, as a shell would find it.

    Raises:
        LaunchError: it does not exist (exit code 127), or is not executable (126).
    """
    found = shutil.which(name, path=search_path)
    if found is not None:
        return found
    if any(candidate.exists() for candidate in _candidates(name, search_path)):
        raise LaunchError(f"{name} cannot be executed", NOT_EXECUTABLE)
    if name == "codex":
        raise LaunchError("codex was not found; get it with: npm install -g @openai/codex", NOT_FOUND)
    raise LaunchError(f"{name} was not found", NOT_FOUND)


def shell_exit_code(returncode: int) -> int:
    """Return the exit code that a shell would report: 128 + N for a process that signal N killed."""
    return returncode if returncode >= 0 else 128 - returncode


class Signals:
    """Passes signals to a function instead of ending this process.

    A signal that was ignored when this process started stays ignored, for the command's sake (nohup). Child processes
    inherit ignored signals, but not handlers: they start with the default ones.
    """

    def __init__(self, receive: Callable[[int], None], *, stay_ignored: Sequence[str] = EACH_SIGNAL) -> None:
        """Prepare the handlers, which are installed while the context is active.

        Args:
            receive: called in the main thread with the number of each signal.
            stay_ignored: the names of the signals that stay ignored if they are.
        """
        self._receive = receive
        self._stay_ignored = stay_ignored
        self._before: dict[int, Handler] = {}

    def __enter__(self) -> Self:
        for name in EACH_SIGNAL:
            number = getattr(signal, name, None)  # no platform has all of them
            if number is None or (name in self._stay_ignored and signal.getsignal(number) is signal.SIG_IGN):
                continue
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._receive(number)


class Command:
    """A command in the process group of this process, so that the terminal's Ctrl-C reaches it."""

    has_started: ClassVar[bool] = False
    """Whether this process has started a command: then a failure is not mended by starting it again."""

    def __init__(self, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
        """Prepare the command.

        Args:
            arguments: the path of the program, and its arguments.
            environ: the whole environment of the command.
        """
        self._arguments = list(arguments)
        self._environ = dict(environ)
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    def start(self) -> int:
        """Start it and return its process id.

        Raises:
            LaunchError: it cannot be executed, or its interpreter is missing.
        """
        try:
            # It inherits what this process inherited, such as the pipe of a shell's <(…). The descriptors that Python
            # opens are not inheritable.
            self._process = subprocess.Popen(self._arguments, env=self._environ, close_fds=sys.platform == "win32")
        except OSError as error:
            code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
            raise LaunchError(f"{self._arguments[0]} cannot be executed: {error.strerror}", code) from error
        Command.has_started = True
        for number in self._early:
            self._process.send_signal(number)
        return self._process.pid

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        assert self._process is not None
        return shell_exit_code(self._process.wait())

    def receive(self, number: int) -> None:
        """Send a signal to it, unless the terminal has sent the signal to the command as well."""
        if self._process is None:
            self._early.append(number)
        elif signal.Signals(number).name not in _FROM_TERMINAL or not _terminal_reaches_us():
            self._process.send_signal(number)


def _candidates(name: str, search_path: str | None) -> list[Path]:
    if os.path.dirname(name):  # noqa: PTH120 - `./codex` has a folder, which Path forgets
        return [Path(name)]
    return [Path(folder or ".") / name for folder in (search_path or os.defpath).split(os.pathsep)]


def _terminal_reaches_us() -> bool:
    """Return True if the terminal's Ctrl-C is sent to our process group; if not, the signal came from a program."""
    if sys.platform == "win32":
        return True
    try:
        terminal = os.open(os.ctermid(), os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
