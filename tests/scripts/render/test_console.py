"""The terminal: its profile, glyphs and colours."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from scripts.render.console import TerminalProfile, clock_time, count, level_style, truncate, window_length, wrapped
from tests.support.command_line import in_terminal, needs_terminal, started
from tests.support.factories import NOON

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("level", "style"), [("low", "green"), ("medium", "yellow"), ("high", "red"), (None, "dim")])
def test_colours(level: str | None, style: str) -> None:
    """Green, yellow and red for the levels, dim if unknown."""
    assert level_style(level) == style


@needs_terminal
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_colours_are_for_terminals(two: Path) -> None:
    """Green, yellow and red in a terminal; none with NO_COLOR, none in a pipe."""
    code, text = in_terminal("--db", str(two))
    assert code == 0
    assert "\x1b[32m" in text  # 13 % used
    assert "\x1b[31m" in text  # 90 % used
    _, plain = in_terminal("--db", str(two), NO_COLOR="1")
    assert "\x1b[32m" not in plain
    assert "\x1b" not in started("--db", two).stdout


@pytest.mark.parametrize(
    ("at", "written"),
    [
        (NOON + 7_500, "14:05"),
        (NOON - 3_600, "11:00"),
        (NOON + 86_400, "Sun 12:00"),
        (NOON + 6 * 86_400 - 1, "Fri 11:59"),
        (NOON + 6 * 86_400, "27 Nov 12:00"),
        (NOON - 86_400, "20 Nov 12:00"),
        (NOON + 60 * 86_400, "20 Jan 2027 12:00"),
        (1e18, "?"),
        (float("nan"), "?"),
    ],
)
def test_clock_time(at: float, written: str) -> None:
    """A timestamp is as short as it is clear on a Saturday noon; a weekday is always within the next week."""
    assert clock_time(at, NOON, dt.UTC) == written


@pytest.mark.parametrize(
    ("slot", "minutes", "written"),
    [
        ("5h", 300, "5 h"),
        ("5h", 299, "4 h 59 min"),
        ("7d", 10_080, "7 d"),
        ("7d", 10_079, "7 d"),
        ("30d", 43_200, "30 d"),
        ("7d", 14_400, "10 d"),
        ("7d", 2_189, "1 d 12 h"),
        ("7d", 2_190, "1 d 13 h"),
        ("7d", 2_191, "1 d 13 h"),
        ("7d", 2_130, "1 d 12 h"),
        ("7d", 1_439, "23 h 59 min"),
        ("1h", 60, "1 h"),
        ("5h", None, "5 h?"),
    ],
)
def test_window_length(slot: str, minutes: int | None, written: str) -> None:
    """The real length is shown, whatever the slot; an unknown length is marked."""
    assert window_length(slot, minutes) == written


@pytest.mark.parametrize(("number", "written"), [(0, "0 turns"), (1, "1 turn"), (2, "2 turns"), (1_200, "1,200 turns")])
def test_count(number: int, written: str) -> None:
    """One is singular, and thousands are separated."""
    assert count(number, "turn") == written


@pytest.mark.parametrize(("width", "shortened"), [(9, "alice@bob"), (8, "alice@b…"), (2, "a…"), (1, "…")])
def test_truncate(width: int, shortened: str) -> None:
    """The ellipsis is part of the width."""
    assert truncate("alice@bob", width) == shortened


def test_wrapped() -> None:
    """Words stay whole, a pipe gets one line, and control characters are replaced."""
    text = "one two three four-five \x1b[31m"
    assert wrapped(text, TerminalProfile(30), 6) == ["one two three four-five", "�[31m"]
    assert wrapped(text, TerminalProfile(30), 28) == ["one two three", "four-five �[31m"]
    assert wrapped(text, TerminalProfile(30, unlimited=True)) == ["one two three four-five �[31m"]
    assert wrapped("", TerminalProfile(30)) == wrapped("", TerminalProfile(30, unlimited=True)) == []
