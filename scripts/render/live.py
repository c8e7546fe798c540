"""An answer, shown again and again."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from rich.live import Live
from rich.text import Text

from scripts.render.console import make_console, print_text
from scripts.support.shutdown import exit_on_sigterm

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console


def refresh_until_interrupted(answer: Callable[[Console], Text], seconds: float) -> None:
    """Show what `answer` makes for the console, every so many seconds until Ctrl-C.

    A terminal is taken over as a pager does it and given back with the last answer on it; elsewhere answers follow one
    another, an empty line between them.
    """
    exit_on_sigterm()  # `timeout` should get the terminal back, too
    console = make_console()
    with contextlib.suppress(KeyboardInterrupt):
        if console.is_terminal:
            _in_place(answer, seconds, console)
        else:
            _in_turn(answer, seconds, console)


def _in_place(answer: Callable[[Console], Text], seconds: float, console: Console) -> None:
    shown = Text()
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                shown = answer(console)
                shown.no_wrap, shown.overflow = True, "ellipsis"
                live.update(shown, refresh=True)
                time.sleep(seconds)
    except KeyboardInterrupt:
        print_text(console, shown)


def _in_turn(answer: Callable[[Console], Text], seconds: float, console: Console) -> None:
    while True:
        print_text(console, answer(console))
        console.file.write("\n")
        console.file.flush()
        time.sleep(seconds)
