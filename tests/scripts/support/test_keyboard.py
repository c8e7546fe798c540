"""Single keys of a terminal; the modes of a real one are tested with the program (`tests/scripts/top`)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.support.keyboard import parse_keys


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ("q", ["q"]),
        ("jk", ["j", "k"]),
        ("\t\r\n", ["tab", "enter", "enter"]),
        ("\x03\x1a\x0c\x04", ["ctrl-c", "ctrl-z", "ctrl-l", "ctrl-d"]),
        ("\x1b[A\x1b[B\x1bOA\x1bOB", ["up", "down", "up", "down"]),
        ("\x1b[5~\x1b[6~\x1b[H\x1b[F\x1b[1~\x1b[4~", ["page up", "page down", "home", "end", "home", "end"]),
        ("\x1b[Z", ["back tab"]),
        ("\x1b", ["escape"]),
        ("\x1b\x1b[A", ["escape", "up"]),
        ("\x1b[1;5Aq", ["q"]),
        ("\x1b[", []),
        ("é", ["é"]),
    ],
)
def test_keys(sent: str, keys: list[str]) -> None:
    """Sequences have names; those that are not known are left out, and what follows them is not."""
    assert list(parse_keys(sent)) == keys


@given(st.text())
def test_anything_may_be_sent(sent: str) -> None:
    """Whatever a terminal or a paste sends has an end."""
    assert len(list(parse_keys(sent))) <= len(sent)
