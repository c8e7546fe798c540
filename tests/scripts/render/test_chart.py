"""The chart of `history --plot`."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from scripts.render.chart import HEIGHT, chart_columns, render_chart
from scripts.render.console import _PLAIN, TerminalProfile
from store.queries.accounts import Account
from store.queries.timeline import LimitTimeline
from tests.support.factories import NOON
from tests.support.timeline_factories import HOUR, five, row

if TYPE_CHECKING:
    from store.analysis.timeline import WindowTimeline

ANN = Account(1, "acct-a/user-a", "work", "ann@example.com", "plus", (), NOON, NOON, label="work")


def drawn(
    level: WindowTimeline, *, profile: TerminalProfile | None = None, colours: bool = False, name: str | None = None
) -> list[str]:
    profile = (profile or TerminalProfile(60, zone=dt.UTC))._replace(colours=colours)
    timeline = LimitTimeline(ANN, "codex", name, NOON, NOON + 10 * HOUR, {"5h": level})
    return render_chart(timeline, profile).splitlines()


def many(width: int = 60) -> WindowTimeline:
    rows = [row(number / 10, 10 + number % 70, resets=30) for number in range(100)]
    return five(*rows, columns=chart_columns(width))


@pytest.mark.parametrize("width", [32, 60, 80, 160])
def test_a_chart_fits_its_terminal(width: int) -> None:
    """The chart has the width of the terminal and a fixed height."""
    lines = drawn(many(width), profile=TerminalProfile(width, zone=dt.UTC))
    picture = lines[1 : 1 + HEIGHT]
    assert max(map(len, picture)) <= width
    assert picture[0].startswith("100 %")
    assert any("•" in line for line in picture)
    assert lines[0] == "work · ann@example.com · plus · codex · 2026-11-21 12:00 to 2026-11-21 22:00"


def test_the_legend() -> None:
    """The legend has length, current value, peak and resets of each window, and the mark of unseen resets."""
    level = five(*(row(number / 4, 15 * number, resets=4) for number in range(5)), columns=chart_columns(60))
    text = drawn(level)
    assert "  • 5 h   now 0 %, at most 60 %, 1 reset" in text
    assert "  · reset, not seen since: shown as 0 %" in text
    assert sum("┊" in line for line in text) > 5


def test_few_readings_have_a_note() -> None:
    """A chart of one reading is drawn, with a note."""
    text = drawn(five(row(1, 10, resets=20), columns=chart_columns(60)))
    assert text[-1] == "  Only 1 change in 10 h: the chart shows little."
    assert not any("Only" in line for line in drawn(many()))


def test_a_plain_terminal_gets_plain_characters() -> None:
    """Frame, marks and legend are ASCII."""
    text = "\n".join(drawn(many(), profile=TerminalProfile(60, glyphs=_PLAIN, zone=dt.UTC)))
    assert text.isascii()
    assert "*" in text


def test_names_are_sanitized() -> None:
    """An escape sequence in a limit's name is replaced."""
    assert "\x1b" not in "\n".join(drawn(many(), name="\x1b[31mred\x07"))


def test_colours() -> None:
    """The chart is the same with and without colours."""
    assert "\x1b[" in "\n".join(drawn(many(), colours=True))
    assert "\x1b" not in "\n".join(drawn(many()))
