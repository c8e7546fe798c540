"""Terminal output of ``status``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rich.text import Text

from scripts.render.console import TerminalProfile, clock_time, colour, window_length
from scripts.support.sanitize import sanitize
from store.analysis import formatting
from store.analysis.formatting import DAY, UNKNOWN, duration, percent
from store.analysis.ranking import blocked_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from store.documents import LimitStatus


_JUST_NOW, _OLD_SECONDS = 5, DAY
_MIN_BAR, _MAX_BAR = 8, 30


# Words and figures


def _ago(seconds: float) -> str:
    return f"{duration(seconds)} ago" if seconds >= _JUST_NOW else "just now"


# Status


class _Row(NamedTuple):
    """A window, written but not yet laid out."""

    length: str
    used_percent: float | None
    used: str
    left: str
    resets: str


class _Columns(NamedTuple):
    """The widths that all windows share; 0 for what there is no room for."""

    length: int
    bar: int
    used: int
    left: int


def render_status(
    document: Mapping[str, Any], look: TerminalProfile, forecasts: Mapping[str, Text] | None = None
) -> Text:
    """Show the document of ``status --json``: an account's facts in one line, below it its limits and their windows.

    `forecasts` are lines by the accounts' keys, for where there is one.
    """
    accounts, now = document["accounts"], document["generated_at"]
    rows = {id(limit): _rows(limit, now, look) for account in accounts for limit in account["limits"]}
    columns = _columns([row for found in rows.values() for row in found], look)
    titles = [_title(account) for account in accounts]
    sections = []
    for account, title in zip(accounts, titles, strict=True):
        parts = (
            [*title, sanitize(account["account"])]
            if titles.count(title) > 1 and title != [account["account"]]
            else title
        )
        section = [_heading([*parts, *_facts(account)], look)]
        for limit in account["limits"]:
            section += _limit(limit, rows[id(limit)], columns, now, look)
        line = (forecasts or {}).get(account["account"])
        if line:
            section.append(Text("  ").append(line))
        sections.append(Text("\n").join(section))
    return Text("\n\n").join(sections)


def _title(account: Mapping[str, Any]) -> list[str]:
    """Return what an account is called: name and e-mail, or its key where it has neither."""
    return [sanitize(part) for part in (account["name"], account["email"]) if part] or [sanitize(account["account"])]


def _facts(account: Mapping[str, Any]) -> list[str]:
    """Return what is known of an account as a whole: plan, credits, resets to spend, a spending limit."""
    facts = [sanitize(account["plan_type"])] if account["plan_type"] else []
    credits_told = account["credits"] or {}
    if credits_told.get("unlimited"):
        facts.append("credits without limit")
    elif credits_told.get("has_credits"):
        facts.append(f"credits {sanitize(credits_told['balance'] or UNKNOWN)}")
    if account["reset_credits"]:
        facts.append(f"resets to spend: {account['reset_credits']}")
    if account["spend_control_reached"]:
        facts.append("spending limit reached")
    return facts


def _heading(parts: Sequence[str], look: TerminalProfile) -> Text:
    return Text(parts[0], "bold").append(look.glyphs.dot.join(["", *parts[1:]]), "not bold")


def _rows(limit: Mapping[str, Any], now: float, look: TerminalProfile) -> list[_Row]:
    return [_row(slot, window, now, look) for slot, window in limit["windows"].items()]


def _row(slot: str, window: Mapping[str, Any], now: float, look: TerminalProfile) -> _Row:
    used = window["used_percent"]
    left = None if used is None else max(0.0, 100 - formatting.rounded(used))
    resets = _resets(window, now, look)
    return _Row(window_length(slot, window["window_minutes"]), used, percent(used), percent(left), resets)


def _resets(window: Mapping[str, Any], now: float, look: TerminalProfile) -> str:
    if window["reset_unseen"]:
        return "reset, not seen since"
    at, seconds = window["resets_at"], window["resets_in_seconds"]
    if at is None:
        return f"resets {UNKNOWN}"
    return f"resets in {duration(seconds)} ({clock_time(at, now, look.zone)})"


def _columns(rows: Sequence[_Row], look: TerminalProfile) -> _Columns:
    def widest(name: str) -> int:
        return max((len(getattr(row, name)) for row in rows), default=0)

    length, used, left, resets = (widest(name) for name in ("length", "used", "left", "resets"))
    room = look.width - len(_line_head("", length)) - used - len(" used  ") - left - len(" left  ") - resets
    bar = room - len("  ")
    if room < 0 and not look.whole:
        left = 0
    return _Columns(length, min(bar, _MAX_BAR) if bar >= _MIN_BAR else 0, used, left)


def _line_head(length: str, width: int) -> str:
    return f"    {length:>{width}}  "


def _limit(
    limit: LimitStatus, rows: Sequence[_Row], columns: _Columns, now: float, look: TerminalProfile
) -> Iterator[Text]:
    name, limit_id = limit["limit_name"], sanitize(limit["limit_id"])
    title = f"{sanitize(name)} ({limit_id})" if name and name != limit["limit_id"] else limit_id
    age = limit["age_seconds"]
    yield (
        Text("  ")
        .append(title)
        .append(f"{look.glyphs.dot}seen {_ago(age)}", "yellow" if age >= _OLD_SECONDS else "dim")
    )
    for row in rows:
        yield _window(row, columns, look)
    if not rows:
        yield Text("    no figures were told", "dim")
    words = _block(limit, now, look)
    if words:
        yield Text("    ").append(words, "yellow" if limit["on_credits"] else "bold red")


def _window(row: _Row, columns: _Columns, look: TerminalProfile) -> Text:
    style = colour(row.used_percent)
    line = Text(_line_head(row.length, columns.length))
    if columns.bar:
        full = _filled(row.used_percent, columns.bar)
        empty = " " if row.used_percent is None else look.glyphs.empty
        line.append(look.glyphs.full * full, style).append(empty * (columns.bar - full), "dim").append("  ")
    line.append(f"{row.used:>{columns.used}} used  ", style)
    if columns.left:
        line.append(f"{row.left:>{columns.left}} left  ")
    return line.append(row.resets)


def _filled(used: float | None, width: int) -> int:
    """Return how much of a bar is full: some of it for any use, all of it for nothing but 100 %."""
    if not used:
        return 0
    return width if used >= 100 else min(width - 1, max(1, round(width * used / 100)))


def _block(limit: LimitStatus, now: float, look: TerminalProfile) -> str | None:
    """Say what a limit is closed by and until when, or that credits carry it."""
    windows, by, reached = limit["windows"], limit["blocked_by"], limit["reached_type"]
    if limit["on_credits"]:
        return "used up, running on credits"
    if by is None:
        return None
    at = blocked_until(limit)
    until = "" if at is None else f" until {clock_time(at, now, look.zone)}"
    if by in windows:
        return f"blocked by {window_length(by, windows[by]['window_minutes'])}{until}"
    kind = f" ({sanitize(reached)})" if reached else ""
    return f"blocked: credits are used up{kind}{until}" if by == "credits" else f"blocked by the server{kind}{until}"
