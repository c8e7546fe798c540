"""Output that nobody waits for: lines go to a bounded queue, and a thread writes them.

A reader may be slow or stopped (``| less``, Ctrl-S). Lines that find no room are dropped and counted; the count is
written once somebody reads again.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

MAX_CHARACTERS = 500_000
"""How much may wait; one line alone may be longer."""

_END_SECONDS = 1.0
_RETRY_SECONDS = 0.05


class OutputQueue:
    """A queue of lines with a writer thread, which never keeps the process from ending."""

    def __init__(self, write: Callable[[str], None], *, max_characters: int = MAX_CHARACTERS) -> None:
        """Set it up; the thread starts with the first line.

        Args:
            write: writes text, and may take forever; an `OSError` or `ValueError` of it is ignored.
            max_characters: how much may wait.
        """
        self._write = write
        self._max_characters = max_characters
        self._changed = threading.Condition()
        self._waiting: deque[str] = deque()
        self._characters = self._dropped = 0
        self._is_writing = self._has_thread = False

    def put(self, line: str) -> None:
        """Queue a line, given without its end, or drop it; never waits."""
        with self._changed:
            if self._waiting and self._characters + len(line) > self._max_characters:
                self._dropped += 1
                return
            self._waiting.append(line)
            self._characters += len(line)
            if not self._has_thread:
                self._has_thread = True
                threading.Thread(target=self._run, name="output", daemon=True).start()
            self._changed.notify_all()

    def drain(self, seconds: float = _END_SECONDS) -> bool:
        """Wait until all is written, but no longer than `seconds`; return True if it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._waiting or self._dropped or self._is_writing), seconds)

    def _run(self) -> None:
        leave_signals_to_main_thread()
        while True:
            line = self._next()
            with contextlib.suppress(OSError, ValueError):  # the reader is gone
                self._write(f"{line}\n")

    def _next(self) -> str:
        with self._changed:
            self._is_writing = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting or self._dropped)
            self._is_writing = True
            if self._waiting:
                line = self._waiting.popleft()
                self._characters -= len(line)
            else:
                line, self._dropped = f"codex-tap: {self._dropped} lines were dropped: the output was blocked", 0
            return line


def leave_signals_to_main_thread() -> None:
    """Keep signals from this thread: one that arrives here wakes nobody who waits in the main thread."""
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def write_unbuffered(stream: TextIO | None, text: str) -> None:
    """Write to a standard stream past its buffer, whose lock would hold up the end of the interpreter.

    Raises:
        OSError: nobody reads it any more.
    """
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    if stream is None or raw is None:  # there is none, or something in its place
        if stream is not None:
            stream.write(text)
        return
    rest = memoryview(text.encode(stream.encoding or "utf-8", "replace"))
    while rest:
        written = raw.write(rest)
        if written is None:  # set to non-blocking by another program
            time.sleep(_RETRY_SECONDS)
        rest = rest[written or 0 :]


STDOUT = OutputQueue(lambda text: write_unbuffered(sys.stdout, text))
STDERR = OutputQueue(lambda text: write_unbuffered(sys.stderr, text))


@contextlib.contextmanager
def drained_at_exit() -> Iterator[None]:
    """Give a reader a moment for what is left when the block ends."""
    try:
        yield
    finally:
        STDOUT.drain()
        STDERR.drain()
