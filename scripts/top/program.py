"""The loop of ``top``: keys change what is shown, and the screen is drawn again when anything on it has changed."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

from scripts.render.console import detect_profile
from scripts.render.top import MIN_HEIGHT, MIN_WIDTH, PANES, SORTS, Contents, View, render_top
from scripts.support.keyboard import raw_keys, read_keys
from scripts.top.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from rich.console import Console

    from scripts.top.loader import Loader, Shown

_TICK_SECONDS = 0.25
_PAGE = 5
_STEPS = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -_PAGE, "page down": _PAGE}
_FAR = 1_000_000
_ENDS = {"home": -_FAR, "g": -_FAR, "end": _FAR, "G": _FAR}
_QUIT = frozenset({"q", "Q", "ctrl-c", "ctrl-d"})


def contents(shown: Shown, now: float) -> Contents:
    """Return what is drawn at a time."""
    words = {turn.thread: shown.names.words(turn.thread) for turn in shown.turns if turn.thread}
    return Contents(
        now,
        shown.status,
        shown.forecasts,
        shown.usage,
        shown.ranking,
        shown.turns,
        words,
        shown.labels,
        shown.logged_in,
        shown.problem,
    )


def run(loader: Loader, console: Console) -> None:
    """Show the screen until a key, Ctrl-C or SIGTERM ends it; the terminal is put back on every way out."""
    view, suspended = View(), _Suspension()
    with suspended.handled(), contextlib.suppress(KeyboardInterrupt, EOFError):
        while _show(loader, console, view, suspended):
            suspended.stop()


def press(view: View, key: str, shown: Shown) -> bool:
    """Change what is shown by a key; return False if the key ends the program."""
    if key in _QUIT:
        return False
    if view.shows_help:
        view.shows_help = False
    elif key == "?":
        view.shows_help = True
    elif key in SORTS:
        view.sort, view.pane = SORTS[key], "accounts"
    elif key == "t":
        view.by_tokens, view.pane = not view.by_tokens, "usage"
    elif key in {"tab", "back tab"}:
        view.pane = PANES[(PANES.index(view.pane) + (1 if key == "tab" else -1)) % len(PANES)]
    elif key in {"1", "2", "3"}:
        view.pane = PANES[int(key) - 1]
    elif key in {"a", "A"}:
        view.account = _next_account(view, shown)
        view.offsets.clear()
    elif key in _STEPS or key in _ENDS:
        # The renderer keeps it within the rows that there are.
        view.offsets[view.pane] = view.offsets.get(view.pane, 0) + _STEPS.get(key, _ENDS.get(key, 0))
    return True


def _next_account(view: View, shown: Shown) -> str | None:
    """Return the key of the account after the one that is shown; None, for all, follows the last."""
    keys = [None, *(account["account"] for account in shown.status["accounts"])]
    at = keys.index(view.account) if view.account in keys else 0
    return keys[(at + 1) % len(keys)]


def _show(loader: Loader, console: Console, view: View, suspended: _Suspension) -> bool:
    """Show the screen until the program ends or is suspended; return True if it is suspended."""
    drawn: object = None
    with raw_keys(), Screen(console) as screen:
        while not suspended.is_asked:
            shown, now = loader.shown, time.time()
            # Without a turn under way, nothing on the screen moves faster than minutes.
            moment = int(now) if shown.turns else int(now // 60)
            size = _size(console)
            state = (loader.number, moment, size, repr(view))
            if state != drawn:
                profile = detect_profile(console)._replace(width=max(size.columns, MIN_WIDTH))
                lines = render_top(contents(shown, now), view, profile, max(size.lines, MIN_HEIGHT))
                for line in lines:
                    line.truncate(size.columns)  # where the screen is smaller than the least that is laid out
                screen.show(lines[: size.lines])
                drawn = (*state[:-1], repr(view))  # the renderer has kept offsets within the rows
            for key in read_keys(_TICK_SECONDS):
                if key == "ctrl-l":
                    drawn = None
                elif not press(view, key, shown):
                    return False
            loader.choose(view.account)
    return True


def _size(console: Console) -> os.terminal_size:
    """Return the size of the terminal as it is now, whatever variables of a shell say of it."""
    try:
        return os.get_terminal_size(console.file.fileno())
    except (OSError, ValueError):
        return os.terminal_size((console.width, console.height))


_STOP_SIGNAL: int | None = getattr(signal, "SIGTSTP", None)
"""The signal of Ctrl-Z; None on Windows."""


class _Suspension:
    """Ctrl-Z: the terminal is put back first, then the process stops as usual; where it goes on, so does the screen."""

    def __init__(self) -> None:
        self.is_asked = False

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """Note the signal while the context is active."""
        if _STOP_SIGNAL is None:
            yield
            return
        before = signal.signal(_STOP_SIGNAL, self._ask)
        try:
            yield
        finally:
            signal.signal(_STOP_SIGNAL, before)

    def stop(self) -> None:
        """Stop the process until it is continued."""
        self.is_asked = False
        if _STOP_SIGNAL is not None:
            handler = signal.signal(_STOP_SIGNAL, signal.SIG_DFL)
            os.kill(os.getpid(), _STOP_SIGNAL)
            signal.signal(_STOP_SIGNAL, handler)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.is_asked = True
