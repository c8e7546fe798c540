"""The terminal as a whole screen: the other screen of the terminal, without a cursor, put back afterwards."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Self

from scripts.render.console import ansi

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.text import Text

_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
# A terminal that knows these shows nothing between them, so that no half of a screen is seen.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"


class Screen:
    """The other screen while the context is active."""

    def __init__(self, console: Console) -> None:
        """Prepare it.

        Args:
            console: a terminal that understands escape sequences.
        """
        self._console = console

    def __enter__(self) -> Self:
        self._console.set_alt_screen(True)
        self._console.show_cursor(False)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # the terminal was closed
            self._console.show_cursor(True)
            self._console.set_alt_screen(False)
            self._console.file.flush()

    def show(self, lines: Sequence[Text]) -> None:
        """Show lines, which are as many as the screen has, and no wider."""
        text = f"{_CLEAR_LINE}\r\n".join(ansi(self._console, line) for line in lines)
        self._console.file.write(f"{_BEGIN}{_HOME}{text}{_CLEAR_LINE}{_CLEAR_BELOW}{_END}")
        self._console.file.flush()
