"""Chart of ``history --plot``: used percent over time, a line for each window, drawn by plotext.

Each window has its own character, so that the chart can be read without colours.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

from scripts.render.accounts import account_label
from scripts.render.console import count, window_length
from scripts.support.sanitize import sanitize
from store.analysis.formatting import DAY, HOUR, MINUTE, clock_time, duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.render.console import TerminalProfile
    from store.analysis.timeline import Bucket, WindowTimeline
    from store.queries.timeline import LimitTimeline

HEIGHT = 18
"""Lines of a chart, with its time axis."""

_MIN_WIDTH = 32
_MAX_WIDTH = 160
"""Columns of a chart: fewer leave no room to draw, more show nothing new."""

_AXIS_WIDTH = 7
"""Columns to the left of the drawing."""

FEW_READINGS = 3
"""With this many readings or fewer, a note says that the chart shows little."""

_MIN_RESET_COLUMNS = 6
"""Average columns between two resets that get a vertical line: closer lines would hatch the chart."""

_COLOURS = ("cyan", "magenta", "orange", "blue+")


class _Marks(NamedTuple):
    windows: tuple[str, ...]
    unseen: str


_TYPOGRAPHIC = _Marks(("•", "×", "+", "o"), "·")
_PLAIN = _Marks(("*", "x", "+", "o"), ".")

_PLAIN_FRAME = str.maketrans("│┤├─┬┴┼└┘┌┐┊", "|||-+++++++:")
"""The frame in ASCII."""

_TICK_STEPS = (
    *(5 * MINUTE, 10 * MINUTE, 30 * MINUTE),
    *(HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR),
    *(DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 60 * DAY, 120 * DAY, 360 * DAY),
)
_TICK_WIDTH = 12


def chart_columns(width: int) -> int:
    """Return the columns between the axes, in a terminal of this width."""
    return _chart_width(width) - _AXIS_WIDTH


def render_chart(timeline: LimitTimeline, profile: TerminalProfile) -> str:
    """Draw a limit's windows, with a legend below."""
    lines = [_title(timeline, profile)]
    if timeline.windows:
        lines += _drawing(timeline, profile)
    lines += _legend(timeline, profile)
    return "\n".join(lines)


def _title(timeline: LimitTimeline, profile: TerminalProfile) -> str:
    limit = sanitize(timeline.limit_name or timeline.limit_id)
    times = f"{clock_time(timeline.begin, profile.zone)} to {clock_time(timeline.end, profile.zone)}"
    return profile.glyphs.dot.join([account_label(timeline.account, profile.glyphs), limit, times])


def _drawing(timeline: LimitTimeline, profile: TerminalProfile) -> list[str]:
    import plotext

    marks = _marks(profile)
    figure = plotext.figure
    plotext.terminal.limit(width=False, height=False)
    figure.clear()
    figure.theme("colorless")
    figure.plot_size(_chart_width(profile.width), HEIGHT)
    width = chart_columns(profile.width)
    for column in _reset_columns(timeline, width):
        figure.line(column, orientation="vertical", style="dotted", pixel=plotext.pixel(foreground="gray"))
    for window, mark, colour in zip(timeline.windows.values(), marks.windows, _COLOURS, strict=False):
        for points, char in ((_steps(window), mark), (_unseen(window), marks.unseen)):
            for xs, ys in points:
                marker = plotext.marker(char, pixel=plotext.pixel(foreground=colour))
                figure.draw(figure.signal(xs, ys, marker=marker).lines(True))
    top = max(100, *(window.peak for window in timeline.windows.values()))
    figure.ruler("y", "left").lim(0, top).ticks([0, 25, 50, 75, 100], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    positions, labels = _ticks(timeline, width, profile)
    figure.ruler("x", "lower").lim(0, width - 1).ticks(positions, labels)
    figure.axes(False, axis="x", side="upper")
    figure.axes(False, axis="y", side="right")
    drawn = str(figure.build().string(colorless=not profile.colours)).rstrip("\n")
    if marks is _PLAIN:
        drawn = drawn.translate(_PLAIN_FRAME)
    return drawn.split("\n")


def _chart_width(width: int) -> int:
    return max(_MIN_WIDTH, min(width, _MAX_WIDTH))


def _marks(profile: TerminalProfile) -> _Marks:
    return _PLAIN if "".join(profile.glyphs).isascii() else _TYPOGRAPHIC


Points = tuple[list[float], list[float]]


def _steps(window: WindowTimeline) -> Iterator[Points]:
    """Yield the lines of a window: across at the previous value, then up and down within the column."""
    xs: list[float] = []
    ys: list[float] = []
    for x, bucket in enumerate(window.columns):
        if bucket is None or _is_unseen(bucket):
            if xs:
                yield xs, ys
            xs, ys = [], []
            continue
        across = [ys[-1]] if ys else []
        for y in (*across, bucket.low, bucket.high, bucket.last):
            xs.append(x)
            ys.append(y)
    if xs:
        yield xs, ys


def _unseen(window: WindowTimeline) -> Iterator[Points]:
    """Yield the columns after a reset that no reading has confirmed."""
    for x, bucket in enumerate(window.columns):
        if bucket is not None and _is_unseen(bucket):
            yield [float(x)], [0.0]


def _is_unseen(bucket: Bucket) -> bool:
    return bucket.unseen and not bucket.high


def _reset_columns(timeline: LimitTimeline, width: int) -> set[int]:
    """Return the columns of the vertical lines."""
    scale = width / max(timeline.end - timeline.begin, 1.0)
    found: set[int] = set()
    for window in timeline.windows.values():
        if len(window.resets) * _MIN_RESET_COLUMNS <= width:
            found |= {min(width - 1, int((reset.at - timeline.begin) * scale)) for reset in window.resets}
    return found


def _ticks(timeline: LimitTimeline, width: int, profile: TerminalProfile) -> tuple[list[float], list[str]]:
    """Return the positions and labels of the time axis: full hours and days of local time."""
    span = max(timeline.end - timeline.begin, 1.0)
    max_ticks = max(1, width // _TICK_WIDTH)
    step = next((step for step in _TICK_STEPS if span / step <= max_ticks), _TICK_STEPS[-1])
    form = "%d %b" if step >= DAY else "%a %H:%M" if span > DAY else "%H:%M"
    positions: list[float] = []
    labels: list[str] = []
    local = _start_of_day(timeline.begin, profile)
    while (timestamp := _timestamp(local, profile)) <= timeline.end:
        if timestamp >= timeline.begin:
            positions.append((timestamp - timeline.begin) / span * (width - 1))
            labels.append(local.strftime(form))
        local += dt.timedelta(seconds=step)
    return positions, labels


def _start_of_day(timestamp: float, profile: TerminalProfile) -> dt.datetime:
    """Return the local midnight before a timestamp, without a time zone."""
    return dt.datetime.fromtimestamp(timestamp, profile.zone).replace(
        hour=0, minute=0, second=0, microsecond=0, tzinfo=None
    )


def _timestamp(local: dt.datetime, profile: TerminalProfile) -> float:
    return (local if profile.zone is None else local.replace(tzinfo=profile.zone)).timestamp()


def _legend(timeline: LimitTimeline, profile: TerminalProfile) -> Iterator[str]:
    """Yield the meaning of each character, and notes on the chart."""
    if not timeline.windows:
        yield "  no changes of its windows in that time range"
        return
    marks = _marks(profile)
    for (slot, window), mark in zip(timeline.windows.items(), marks.windows, strict=False):
        yield f"  {mark} {window_length(slot, window.window_minutes):<5} {_summary(window)}"
    if any(_is_unseen(bucket) for window in timeline.windows.values() for bucket in window.columns if bucket):
        yield f"  {marks.unseen} reset, not seen since: shown as 0 %"
    readings = max(window.readings for window in timeline.windows.values())
    if readings <= FEW_READINGS:
        span = duration(timeline.end - timeline.begin)
        yield f"  Only {count(readings, 'change')} in {span}: the chart shows little."


def _summary(window: WindowTimeline) -> str:
    resets = len(window.resets)
    parts = [f"now {percent(window.now)}", f"at most {percent(window.peak)}"]
    parts += [count(resets, "reset")] if resets else []
    return ", ".join(parts)
