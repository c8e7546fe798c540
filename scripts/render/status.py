"""Terminal output of ``status``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.text import Text

from scripts.render.accounts import title_parts
from scripts.render.console import TerminalProfile, clock_time, filled, left_percent, level_style, window_length
from scripts.render.forecast import render_most_urgent
from scripts.support.sanitize import sanitize
from store.analysis.account_limits import blocking_length, main_limit
from store.analysis.budgets import budget_text
from store.analysis.forecast import TOO_LITTLE_HISTORY, most_urgent
from store.analysis.formatting import DAY, UNKNOWN, decimal_amount, duration, percent
from store.analysis.levels import window_level
from store.analysis.model_usage import unavailable_text
from store.analysis.pressure import by_account

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from store.documents import (
        AccountStatus,
        ForecastDocument,
        LimitStatus,
        StatusDocument,
        WindowForecast,
        WindowStatus,
    )

    Forecasts = Mapping[str, Mapping[str, WindowForecast]]

_JUST_NOW_SECONDS, _OLD_SECONDS = 5, DAY
_MIN_BAR, _MAX_BAR = 8, 30


class _Row(NamedTuple):
    """The texts of a window, before the layout."""

    length: str
    used_percent: float | None
    used: str
    left: str
    resets: str
    clock: str
    """The time of the reset, in brackets behind the duration; empty where there is none."""
    style: str


class _Columns(NamedTuple):
    """The common widths of all windows; 0 for a column without room, and then nothing of it is shown."""

    length: int
    bar: int
    used: int
    left: int
    clock: int


def render_status(
    document: StatusDocument,
    profile: TerminalProfile,
    forecasts: ForecastDocument | None = None,
    marks: Mapping[str, str] | None = None,
) -> Text:
    """Show the document of ``status --json``: a line on each account, and below it its limits and their windows.

    `forecasts` is the document of ``forecast --json``. Forecasts colour their windows, and that of the most urgent
    window is shown below the account's limits.
    """
    now = document["generated_at"]
    found = by_account(forecasts)
    accounts = [(account, found.get(account["account"], {})) for account in document["accounts"]]
    rows = [
        [_rows(limit, forecast.get(limit["limit_id"], {}), now, profile) for limit in account["limits"]]
        for account, forecast in accounts
    ]
    columns = _columns([row for limits in rows for limit in limits for row in limit], profile)
    marks = marks or {}
    sections = [Text(sanitize(marks[""]), "yellow")] if "" in marks else []
    for (account, forecast), limits in zip(accounts, rows, strict=True):
        mark = [sanitize(marks[account["account"]])] if account["account"] in marks else []
        section = [_heading([*title_parts(account), *_facts(account, now, profile), *mark], profile)]
        for limit, windows in zip(account["limits"], limits, strict=True):
            section += _limit(limit, windows, columns, now, profile)
        if not account["limits"]:
            section.append(Text("  no limit seen through the tap yet", "dim"))
        section += [Text(f"  {line}", "yellow") for line in _models(account, now, profile)]
        line = _forecast_line(account, forecast, now, profile)
        if line:
            section.append(Text("  ").append(line))
        sections.append(Text("\n").join(section))
    return Text("\n\n").join(sections)


def _forecast_line(account: AccountStatus, forecast: Forecasts, now: float, profile: TerminalProfile) -> Text | None:
    """Return the line on the most urgent window of an account's main limit; None if there is nothing to say."""
    limit = main_limit(account)
    windows = forecast.get(limit["limit_id"], {}) if limit else {}
    slot = most_urgent(windows)
    if slot is not None:
        return render_most_urgent(slot, windows[slot], now, profile)
    if any(window["note"] == TOO_LITTLE_HISTORY for window in windows.values()):
        return Text(TOO_LITTLE_HISTORY, "dim")
    return None


def _facts(account: AccountStatus, now: float, profile: TerminalProfile) -> list[str]:
    """Return the facts on the account as a whole: plan, credits, resets to spend, a spending limit."""
    facts = [sanitize(account["plan_type"])] if account["plan_type"] else []
    credit = account["credits"]
    if credit and credit["unlimited"]:
        facts.append("credits without limit")
    elif credit and credit["has_credits"]:
        facts.append(f"credits {sanitize(decimal_amount(credit['balance'] or UNKNOWN))}")
    if account["reset_credits"]:
        facts.append(f"resets to spend: {account['reset_credits']}{_banked(account, now, profile)}")
    if account["spend_control_reached"]:
        facts.append("spending limit reached")
    return facts


def _banked(account: AccountStatus, now: float, profile: TerminalProfile) -> str:
    """Return what is known of banked resets beside their number: whether they can be used, and when one expires."""
    notes = ["none now"] if account["reset_credits_applicable"] == 0 else []
    left = [at for at in account["reset_credits_expire"] or [] if at > now]
    if left:
        first = "the first " if len(left) > 1 else ""
        notes.append(f"{first}until {clock_time(left[0], now, profile.zone)}")
    return f" ({', '.join(notes)})" if notes else ""


def _models(account: AccountStatus, now: float, profile: TerminalProfile) -> list[str]:
    return [sanitize(unavailable_text(each, now, profile.zone)) for each in account["unavailable_models"]]


def _heading(parts: Sequence[str], profile: TerminalProfile) -> Text:
    return Text(parts[0], "bold").append(profile.glyphs.dot.join(["", *parts[1:]]), "not bold")


def _rows(
    limit: LimitStatus, forecasts: Mapping[str, WindowForecast], now: float, profile: TerminalProfile
) -> list[_Row]:
    return [_row(slot, window, forecasts.get(slot), now, profile) for slot, window in limit["windows"].items()]


def _row(
    slot: str, window: WindowStatus, forecast: WindowForecast | None, now: float, profile: TerminalProfile
) -> _Row:
    used = window["used_percent"]
    return _Row(
        length=window_length(slot, window["window_minutes"]),
        used_percent=used,
        used=percent(used),
        left=left_percent(used),
        resets=_resets(window, now, profile),
        clock=_clock(window, now, profile),
        style=level_style(window_level(used, forecast)),
    )


def _resets(window: WindowStatus, now: float, profile: TerminalProfile) -> str:
    if window["reset_unseen"]:
        return "reset, not seen since"
    if window["reset_overdue"]:
        return f"was due {clock_time(window['resets_at'] or 0, now, profile.zone)}, not reset"
    resets_at, seconds = window["resets_at"], window["resets_in_seconds"]
    if resets_at is None or seconds is None:
        return f"resets {UNKNOWN}"
    return f"resets in {duration(seconds)}"


def _clock(window: WindowStatus, now: float, profile: TerminalProfile) -> str:
    """Return the time of a reset that is due and known, in brackets."""
    resets_at, seconds = window["resets_at"], window["resets_in_seconds"]
    if window["reset_unseen"] or window["reset_overdue"] or resets_at is None or seconds is None:
        return ""
    return f" ({clock_time(resets_at, now, profile.zone)})"


def _columns(rows: Sequence[_Row], profile: TerminalProfile) -> _Columns:
    def widest(name: str) -> int:
        return max((len(getattr(row, name)) for row in rows), default=0)

    length, used, left = (widest(name) for name in ("length", "used", "left"))
    with_clock = max((len(row.resets) + len(row.clock) for row in rows), default=0)
    room = profile.width - len(_line_head("", length)) - used - len(" used  ") - left - len(" left  ")
    bar, clock = room - with_clock - len("  "), widest("clock")
    if room < with_clock and not profile.unlimited:
        # What is left is why people look; the time of the reset follows from the duration.
        clock = 0
        if room < widest("resets"):
            left = 0
    return _Columns(length, min(bar, _MAX_BAR) if bar >= _MIN_BAR else 0, used, left, clock)


def _line_head(length: str, width: int) -> str:
    return f"    {length:>{width}}  "


def _limit(
    limit: LimitStatus, rows: Sequence[_Row], columns: _Columns, now: float, profile: TerminalProfile
) -> Iterator[Text]:
    name, limit_id = limit["limit_name"], sanitize(limit["limit_id"])
    title = f"{sanitize(name)} ({limit_id})" if name and name != limit["limit_id"] else limit_id
    amounts = budget_text(limit["budget"]) if limit["budget"] else None
    age = limit["age_seconds"]
    yield (
        Text("  ")
        .append(title)
        .append(f": {sanitize(amounts)}" if amounts else "")
        .append(f"{profile.glyphs.dot}seen {_ago(age)}", "yellow" if age >= _OLD_SECONDS else "dim")
    )
    for row in rows:
        yield _window(row, columns, profile)
    if not rows:
        yield Text("    no windows reported", "dim")
    block = block_text(limit, now, profile)
    if block:
        yield Text("    ").append(block, "bold red" if limit["state"] == "refused" else "yellow")


def _ago(seconds: float) -> str:
    return f"{duration(seconds)} ago" if seconds >= _JUST_NOW_SECONDS else "just now"


def _window(row: _Row, columns: _Columns, profile: TerminalProfile) -> Text:
    line = Text(_line_head(row.length, columns.length))
    if columns.bar:
        full = filled(row.used_percent, columns.bar)
        empty = " " if row.used_percent is None else profile.glyphs.empty
        line.append(profile.glyphs.full * full, row.style).append(empty * (columns.bar - full), "dim").append("  ")
    line.append(f"{row.used:>{columns.used}} used  ", row.style)
    if columns.left:
        line.append(f"{row.left:>{columns.left}} left  ")
    return line.append(row.resets + row.clock if columns.clock else row.resets)


def block_text(limit: LimitStatus, now: float, profile: TerminalProfile) -> str | None:
    """Return what blocks a limit and until when, that credits carry it, or that it is unknown; None if it is open."""
    by, reached, length = limit["blocked_by"], limit["reached_type"], blocking_length(limit)
    if limit["state"] == "on_credits":
        return "used up, running on credits"
    if limit["state"] == "unknown" and any(window["reset_overdue"] for window in limit["windows"].values()):
        return "not known: nothing was seen since the reset was due"
    if by is None:
        return None
    blocked_end = limit["state_until"]
    until = "" if blocked_end is None else f" until {clock_time(blocked_end, now, profile.zone)}"
    if length:
        return f"blocked by {length}{until}"
    kind = f" ({sanitize(reached)})" if reached else ""
    return f"blocked: credits are used up{kind}{until}" if by == "credits" else f"blocked by the server{kind}{until}"
