"""Single keys of a terminal, without an Enter after them; the terminal's mode is put back afterwards."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ESCAPE = "\x1b"
_ESCAPE_SECONDS = 0.05
_SEQUENCES = {
    "[A": "up",
    "OA": "up",
    "[B": "down",
    "OB": "down",
    "[5~": "page up",
    "[6~": "page down",
    "[H": "home",
    "OH": "home",
    "[1~": "home",
    "[F": "end",
    "OF": "end",
    "[4~": "end",
    "[Z": "back tab",
}
_NAMES = {
    "\t": "tab",
    "\r": "enter",
    "\n": "enter",
    "\x03": "ctrl-c",
    "\x1a": "ctrl-z",
    "\x0c": "ctrl-l",
    "\x04": "ctrl-d",
}


def parse_keys(text: str) -> Iterator[str]:
    """Yield the keys of what a terminal sent: characters, and names such as ``up``; unknown sequences are left out."""
    at = 0
    while at < len(text):
        if text[at] != _ESCAPE:
            yield _NAMES.get(text[at], text[at])
            at += 1
            continue
        end = at + 1
        if end < len(text) and text[end] in "[O":
            end += 1
            while end < len(text) and not "@" <= text[end] <= "~":
                end += 1
            end += 1
        name = _SEQUENCES.get(text[at + 1 : end])
        if name:
            yield name
        elif end == at + 1:
            yield "escape"
        at = end


if sys.platform == "win32":
    import msvcrt

    _SCAN_CODES = {"H": "up", "P": "down", "I": "page up", "Q": "page down", "G": "home", "O": "end"}

    @contextlib.contextmanager
    def raw_keys() -> Iterator[None]:
        """Take single keys while the context is active; here the console needs no mode for it."""
        yield

    def read_keys(seconds: float) -> list[str]:
        """Return the keys that were pressed, after waiting for the first for so long at most."""
        deadline = time.monotonic() + seconds
        found: list[str] = []
        while not found and time.monotonic() < deadline:
            while msvcrt.kbhit():
                character = msvcrt.getwch()
                if character in "\x00\xe0":
                    found += [name for name in [_SCAN_CODES.get(msvcrt.getwch())] if name]
                else:
                    found.append(_NAMES.get(character, character))
            if not found:
                time.sleep(min(_ESCAPE_SECONDS, max(0.0, deadline - time.monotonic())))
        return found

else:
    import select
    import termios
    import tty

    @contextlib.contextmanager
    def raw_keys() -> Iterator[None]:
        """Take single keys while the context is active: no echo, no line, and Ctrl-C and Ctrl-Z still as signals."""
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
        tty.setcbreak(descriptor, termios.TCSADRAIN)
        try:
            yield
        finally:
            with contextlib.suppress(termios.error):  # the terminal was closed
                termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

    def read_keys(seconds: float) -> list[str]:
        """Return the keys that were pressed, after waiting for the first for so long at most.

        Raises:
            EOFError: The terminal was closed.
        """
        descriptor = sys.stdin.fileno()
        try:
            ready = select.select([descriptor], [], [], seconds)[0]
            if not ready:
                return []
            data = os.read(descriptor, 1_024)
            if not data:
                raise EOFError
            # The rest of a sequence may come a moment later than its escape character.
            while data.endswith(b"\x1b") and select.select([descriptor], [], [], _ESCAPE_SECONDS)[0]:
                more = os.read(descriptor, 1_024)
                if not more:
                    break
                data += more
        except InterruptedError:
            return []
        except OSError as error:
            raise EOFError from error
        return list(parse_keys(data.decode("utf-8", "replace")))
