"""A program in its own terminal: typed keys, the screen, and the state in which it leaves the terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from typing import TYPE_CHECKING, Any, Self

import pyte

from tests.support.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# A session and a terminal for the program, as a login has them; pty.fork() is not safe beside threads.
_WITH_TERMINAL = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)
_PASTED = "\x1b[200~{}\x1b[201~"
_ESCAPES = re.compile(r"\x1b(\[[<=>?0-9;]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[()].|[^[\]()])")
_MAIN_SCREEN, _OTHER_SCREEN = "\x1b[?1049l", "\x1b[?1049h"
_END_SECONDS = 90  # a busy machine
_TRY_SECONDS = 5
_MAX_TRIES = 6


class _Screen(pyte.Screen):
    """The cells of a terminal, which answers what a program asks it, such as where the cursor is."""

    def __init__(self, columns: int, rows: int, keyboard: int) -> None:
        super().__init__(columns, rows)
        self._keyboard = keyboard

    def write_process_input(self, data: str) -> None:
        os.write(self._keyboard, data.encode())


class Terminal:
    """A program that runs in a terminal of 40 rows and 120 columns while the `with` block lasts; then it is killed."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self._command = [sys.executable, "-I", "-S", "-c", _WITH_TERMINAL, *command]
        self._environment = dict(environment)
        self._folder = folder
        self._seen = bytearray()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._master, self._slave = pty.openpty()
        self._screen = _Screen(120, 40, self._master)
        self._stream = pyte.ByteStream(self._screen)
        self._set_size(40, 120)
        self._state_before = self.state()
        self.process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            env=self._environment,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, 9)  # what it has put into other groups loses its terminal
        self.process.wait(_END_SECONDS)
        os.close(self._slave)
        self._reader.join(_END_SECONDS)
        os.close(self._master)

    def state(self) -> tuple[Any, ...]:
        """The modes of the line and of the screen: echo, raw keys, the other screen, the mouse, the cursor."""
        attributes = termios.tcgetattr(self._slave)
        return *attributes[:4], frozenset(self._screen.mode), bool(self._screen.cursor.hidden)

    @property
    def is_as_before(self) -> bool:
        """Return True if the terminal is in the state it had before the program."""
        return self.state() == self._state_before

    def screen(self) -> str:
        """Return the screen, each line without trailing blanks."""
        with self._lock:
            return "\n".join(line.rstrip() for line in self._screen.display)

    def lines(self) -> list[str]:
        """Return the lines printed outside of full-screen programs, without blank ones."""
        text = self._seen.decode("utf-8", "replace")
        parts = text.split(_OTHER_SCREEN)
        outside = [parts[0], *(part.rpartition(_MAIN_SCREEN)[2] for part in parts[1:])]
        printed = (_ESCAPES.sub("", line).strip() for line in "\n".join(outside).splitlines())
        return [line for line in printed if line]

    def wait_for(self, text: str) -> None:
        """Wait until the screen shows a text; raise `TimeoutError` if it never does."""
        wait_until(lambda: text in self.screen(), lambda: f"{text!r} is not shown:\n{self.screen()}", _END_SECONDS)

    def press(self, keys: str) -> None:
        """Type keys, as they are."""
        os.write(self._master, keys.encode())

    def press_until_ended(self, keys: str) -> None:
        """Type keys that end the program, and again if it goes on: Codex loses keys while it starts."""
        for _ in range(_MAX_TRIES):
            self.press(keys)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_TRY_SECONDS)
                return

    def enter(self, text: str) -> None:
        """Paste a text into Codex, wait until it is there, and press Enter.

        Codex takes letters that follow each other as fast as a test types them, and an Enter after them, for a paste.
        """
        self.press(_PASTED.format(text))
        self.wait_for(f"› {text}")
        self.press("\r")

    def resize(self, rows: int, columns: int) -> None:
        """Resize the terminal; the kernel signals the program."""
        with self._lock:
            self._screen.resize(rows, columns)
        self._set_size(rows, columns)

    def wait(self) -> int:
        """Wait until the program has ended and its output is read, and return the exit code."""
        code = self.process.wait(_END_SECONDS)
        mark = f"end of {self.process.pid}"
        os.write(self._slave, mark.encode())
        wait_until(lambda: mark.encode() in self._seen, lambda: "the terminal is not read to its end")
        del self._seen[self._seen.index(mark.encode()) :]
        return code

    def _set_size(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._master, 65_536):
                self._seen += data
                with self._lock:
                    self._stream.feed(data)
