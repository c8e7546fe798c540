"""Graceful shutdown on SIGTERM, and notification when the parent process exits."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


def exit_on_sigterm() -> None:
    """Make SIGTERM exit through every ``with`` block, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _exit)


def on_stdin_eof(callback: Callable[[], None]) -> None:
    """Call `callback` in a thread of its own when stdin ends, which means that the parent process has exited.

    The addon has an implementation of its own (`addon.control_channel`): it imports no scripts, and over its stdin the
    launcher also reports which command to end.
    """

    def wait() -> None:
        with contextlib.suppress(OSError, ValueError):
            while sys.stdin.buffer.read(4_096):
                pass
        callback()

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)
