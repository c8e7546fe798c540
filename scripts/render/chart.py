"""The history as a picture for a terminal: used percent over time, a line for each window, drawn by plotext.

It is made of characters that differ, so that it can be read without colours too.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

from scripts.render.accounts import account_label
from scripts.render.console import window_length
from scripts.support.sanitize import sanitize
from store.analysis.formatting import DAY, HOUR, MINUTE, clock_time, duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.render.console import TerminalProfile
    from store.analysis.timeline import Bucket, WindowTimeline
    from store.queries.timeline import LimitTimeline

HEIGHT = 18
"""Lines of a chart, with its axis."""

_NARROWEST = 32
_WIDEST = 160
"""Columns: below the first nothing is left to draw on, above the second nothing more is seen."""

_AXIS_WIDTH = 7
"""Columns to the left of the drawing."""

FEW_READINGS = 3
"""So many readings and fewer make no picture yet: that is said below it."""

_MARKS_APART = 6
"""Columns between two resets on average: closer ones would be a hatching, and the drops show them as well."""

_COLOURS = ("cyan", "magenta", "orange", "blue+")


class _Marks(NamedTuple):
    windows: tuple[str, ...]
    unseen: str


_TYPOGRAPHIC = _Marks(("•", "×", "+", "o"), "·")
_PLAIN = _Marks(("*", "x", "+", "o"), ".")

_PLAIN_FRAME = str.maketrans("│┤├─┬┴┼└┘┌┐┊", "|||-+++++++:")
"""The frame, for terminals that have nothing but ASCII."""

_TICK_STEPS = (
    *(5 * MINUTE, 10 * MINUTE, 30 * MINUTE),
    *(HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR),
    *(DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 60 * DAY, 120 * DAY, 360 * DAY),
)
_TICK_WIDTH = 12


def chart_columns(width: int) -> int:
    """Return how many columns the drawing has in a terminal of this width."""
    return _chart_width(width) - _AXIS_WIDTH


def render_chart(picture: LimitTimeline, look: TerminalProfile, *, colours: bool) -> str:
    """Draw a limit's windows; the words below it say what its characters stand for."""
    lines = [_title(picture, look)]
    if picture.windows:
        lines += _drawing(picture, look, colours=colours)
    lines += _words(picture, look)
    return "\n".join(lines)


def _title(picture: LimitTimeline, look: TerminalProfile) -> str:
    limit = sanitize(picture.limit_name or picture.limit_id)
    times = f"{clock_time(picture.begin, look.zone)} to {clock_time(picture.end, look.zone)}"
    return look.glyphs.dot.join([account_label(picture.account, look.glyphs), limit, times])


def _drawing(picture: LimitTimeline, look: TerminalProfile, *, colours: bool) -> list[str]:
    import plotext

    marks = _marks(look)
    figure = plotext.figure
    plotext.terminal.limit(width=False, height=False)
    figure.clear()
    figure.theme("colorless")
    figure.plot_size(_chart_width(look.width), HEIGHT)
    width = chart_columns(look.width)
    for at in _reset_columns(picture, width):
        figure.line(at, orientation="vertical", style="dotted", pixel=plotext.pixel(foreground="gray"))
    for level, mark, shade in zip(picture.windows.values(), marks.windows, _COLOURS, strict=False):
        for points, char in ((_steps(level), mark), (_unseen(level), marks.unseen)):
            for xs, ys in points:
                marker = plotext.marker(char, pixel=plotext.pixel(foreground=shade))
                figure.draw(figure.signal(xs, ys, marker=marker).lines(True))
    top = max(100, *(level.peak for level in picture.windows.values()))
    figure.ruler("y", "left").lim(0, top).ticks([0, 25, 50, 75, 100], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    positions, labels = _ticks(picture, width, look)
    figure.ruler("x", "lower").lim(0, width - 1).ticks(positions, labels)
    figure.axes(False, axis="x", side="upper")
    figure.axes(False, axis="y", side="right")
    drawn = str(figure.build().string(colorless=not colours)).rstrip("\n")
    if marks is _PLAIN:
        drawn = drawn.translate(_PLAIN_FRAME)
    return drawn.split("\n")


def _chart_width(width: int) -> int:
    return max(_NARROWEST, min(width, _WIDEST))


def _marks(look: TerminalProfile) -> _Marks:
    return _PLAIN if "".join(look.glyphs).isascii() else _TYPOGRAPHIC


Points = tuple[list[float], list[float]]


def _steps(level: WindowTimeline) -> Iterator[Points]:
    """Yield the lines of a window: across at the level of before, then up and down within the column."""
    xs: list[float] = []
    ys: list[float] = []
    for x, column in enumerate(level.columns):
        if column is None or _only_unseen(column):
            if xs:
                yield xs, ys
            xs, ys = [], []
            continue
        across = [ys[-1]] if ys else []
        for y in (*across, column.low, column.high, column.last):
            xs.append(x)
            ys.append(y)
    if xs:
        yield xs, ys


def _unseen(level: WindowTimeline) -> Iterator[Points]:
    """Yield what lies behind a reset that no reading has confirmed."""
    columns = [x for x, column in enumerate(level.columns) if column is not None and _only_unseen(column)]
    for x in columns:
        yield [float(x)], [0.0]


def _only_unseen(column: Bucket) -> bool:
    return column.unseen and not column.high


def _reset_columns(picture: LimitTimeline, width: int) -> set[int]:
    """Return the columns at which a vertical mark stands."""
    scale = width / max(picture.end - picture.begin, 1.0)
    found: set[int] = set()
    for level in picture.windows.values():
        if len(level.resets) * _MARKS_APART <= width:
            found |= {min(width - 1, int((reset.at - picture.begin) * scale)) for reset in level.resets}
    return found


def _ticks(picture: LimitTimeline, width: int, look: TerminalProfile) -> tuple[list[float], list[str]]:
    """Return where the time axis is labelled, and with what: full hours and days of the machine's own time."""
    span = max(picture.end - picture.begin, 1.0)
    most = max(1, width // _TICK_WIDTH)
    step = next((step for step in _TICK_STEPS if span / step <= most), _TICK_STEPS[-1])
    form = "%d %b" if step >= DAY else "%a %H:%M" if span > DAY else "%H:%M"
    positions: list[float] = []
    labels: list[str] = []
    when = _start_of_day(picture.begin, look)
    while (at := _moment(when, look)) <= picture.end:
        if at >= picture.begin:
            positions.append((at - picture.begin) / span * (width - 1))
            labels.append(when.strftime(form))
        when += dt.timedelta(seconds=step)
    return positions, labels


def _start_of_day(at: float, look: TerminalProfile) -> dt.datetime:
    """Return the midnight before a moment, as a clock on the wall tells it."""
    return dt.datetime.fromtimestamp(at, look.zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)


def _moment(when: dt.datetime, look: TerminalProfile) -> float:
    return (when if look.zone is None else when.replace(tzinfo=look.zone)).timestamp()


def _words(picture: LimitTimeline, look: TerminalProfile) -> Iterator[str]:
    """Say what each character stands for, and what a reader should know of the picture."""
    if not picture.windows:
        yield "  nothing is known of its windows in that time"
        return
    marks = _marks(look)
    for (slot, level), mark in zip(picture.windows.items(), marks.windows, strict=False):
        yield f"  {mark} {window_length(slot, level.window_minutes):<5} {_summary(level)}"
    if any(_only_unseen(column) for level in picture.windows.values() for column in level.columns if column):
        yield f"  {marks.unseen} reset, not seen since: taken for 0 %"
    readings = max(level.readings for level in picture.windows.values())
    if readings <= FEW_READINGS:
        seen = duration(picture.end - picture.begin)
        yield f"  Only {readings} reading{'' if readings == 1 else 's'} in {seen}: not much of a picture yet."


def _summary(level: WindowTimeline) -> str:
    resets = len(level.resets)
    parts = [f"now {percent(level.now)}", f"at most {percent(level.peak)}"]
    parts += [f"{resets} reset{'' if resets == 1 else 's'}"] if resets else []
    return ", ".join(parts)
