"""A polite end, which leaves nothing behind, and word of the end of whoever started this."""

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
    """From now on let SIGTERM leave every ``with`` block on its way out, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _leave)


def on_stdin_eof(then: Callable[[], None]) -> None:
    """Call `then`, in a thread of its own, as soon as stdin ends: whoever holds its other end is gone.

    The addon has an implementation of its own (`addon.control_channel`): it imports no scripts, and over its stdin the
    launcher also reports which command to end.
    """

    def listen() -> None:
        with contextlib.suppress(OSError, ValueError):
            while sys.stdin.buffer.read(4_096):
                pass
        then()

    threading.Thread(target=listen, name="lifeline", daemon=True).start()


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)
