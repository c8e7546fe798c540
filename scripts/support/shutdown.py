"""Graceful shutdown on SIGTERM, and notification when the parent process exits."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


_STDIN = 0


def exit_on_sigterm() -> None:
    """Make SIGTERM exit through every ``with`` block, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _exit)


def stop_event(*, lifeline: bool) -> threading.Event:
    """Return an event that is set by SIGTERM, and with `lifeline` when stdin ends, as the parent process has exited."""
    stop = threading.Event()

    def set_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, set_stop)
    if lifeline:
        on_stdin_eof(stop.set)
    return stop


def on_stdin_eof(callback: Callable[[], None]) -> None:
    """Call `callback` in a thread of its own when stdin ends, which means that the parent process has exited.

    The addon has an implementation of its own (`addon.control_channel`): it imports no scripts, and over its stdin the
    launcher also reports which command to end.
    """

    def wait() -> None:
        # os.read and not sys.stdin: a thread that waits inside its buffer's lock aborts the interpreter's exit.
        with contextlib.suppress(OSError):
            while os.read(_STDIN, 4_096):
                pass
        callback()

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)
