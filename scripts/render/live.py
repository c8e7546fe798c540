"""Output that is refreshed until Ctrl-C."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rich.live import Live
from rich.text import Text

from scripts.render.console import detect_profile, make_console, print_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from scripts.render.console import TerminalProfile


def refresh_until_interrupted(render: Callable[[TerminalProfile], Text], wait: Callable[[], object]) -> None:
    """Show what `render` returns, again after each `wait`, until Ctrl-C.

    A terminal shows it on the alternate screen, as a pager does, and keeps the last output afterwards. Elsewhere the
    outputs follow one another, with an empty line between them.
    """
    console = make_console()
    with contextlib.suppress(KeyboardInterrupt):
        if console.is_terminal:
            _refresh_in_place(render, wait, console)
        else:
            _append(render, wait, console)


def _refresh_in_place(render: Callable[[TerminalProfile], Text], wait: Callable[[], object], console: Console) -> None:
    shown = Text()
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                shown = render(detect_profile(console))
                shown.no_wrap, shown.overflow = True, "ellipsis"
                live.update(shown, refresh=True)
                wait()
    except KeyboardInterrupt:
        print_text(console, shown)


def _append(render: Callable[[TerminalProfile], Text], wait: Callable[[], object], console: Console) -> None:
    while True:
        print_text(console, render(detect_profile(console)))
        console.file.write("\n")
        console.file.flush()
        wait()
