"""The other screen of a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from scripts.top.screen import Screen


def console(out: io.StringIO) -> Console:
    return Console(file=out, force_terminal=True, color_system="standard", width=20, height=5, legacy_windows=False)


def test_it_is_entered_and_left() -> None:
    """The cursor is hidden, and everything is put back, after an error as well."""
    out = io.StringIO()
    with pytest.raises(RuntimeError), Screen(console(out)):
        raise RuntimeError
    assert out.getvalue() == "\x1b[?1049h\x1b[H\x1b[?25l\x1b[?25h\x1b[?1049l"


def test_lines_are_drawn_over_the_earlier_ones() -> None:
    """Without clearing the screen first, which would flicker; what is left of an earlier, longer line is cleared."""
    out = io.StringIO()
    with Screen(console(out)) as screen:
        out.truncate(out.seek(0))
        screen.show([Text("one", "red"), Text("two")])
        drawn = out.getvalue()
    assert drawn == "\x1b[?2026h\x1b[H\x1b[31mone\x1b[0m\x1b[K\r\ntwo\x1b[K\x1b[J\x1b[?2026l"
