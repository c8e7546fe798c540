"""Non-blocking output: lines go to a bounded queue, and a thread writes them.

A reader may be slow or stopped (``| less``, Ctrl-S). Lines that do not fit into the queue are dropped and counted; the
count is written as soon as the output is read again.
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
"""Capacity of a queue; a single line may exceed it."""

_END_SECONDS = 1.0
_RETRY_SECONDS = 0.05


class OutputQueue:
    """A queue of lines with a daemon thread that writes them."""

    def __init__(self, write: Callable[[str], None], *, max_characters: int = MAX_CHARACTERS) -> None:
        """Prepare the queue; the thread starts with the first line.

        Args:
            write: writes text, and may block forever; its `OSError` and `ValueError` are ignored.
            max_characters: the capacity of the queue.
        """
        self._write = write
        self._max_characters = max_characters
        self._changed = threading.Condition()
        self._waiting: deque[str] = deque()
        self._characters = self._dropped = 0
        self._is_writing = self._has_thread = False

    def put(self, line: str) -> None:
        """Queue a line, given without its line end, or drop it; never blocks."""
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
        """Wait at most `seconds` for the queue to be written; return True if it was."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._waiting or self._dropped or self._is_writing), seconds)

    def _run(self) -> None:
        leave_signals_to_main_thread()
        while True:
            line = self._next()
            with contextlib.suppress(OSError, ValueError):  # the reader has closed the output
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
    """Block signals in this thread: a signal delivered here does not wake the main thread."""
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def write_unbuffered(stream: TextIO | None, text: str) -> None:
    """Write to a standard stream without its buffer, whose lock would block the exit of the interpreter.

    Raises:
        OSError: The reader has closed the stream.
    """
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    if stream is None or raw is None:  # no stream, or an object without a buffer in its place
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
    """Wait shortly for the remaining output when the block ends."""
    try:
        yield
    finally:
        STDOUT.drain()
        STDERR.drain()
