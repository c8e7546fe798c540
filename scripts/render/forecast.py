"""Terminal output of ``forecast``, and the forecast's line and colours in ``status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from scripts.render.accounts import title_parts
from scripts.render.console import clock_time, colour, window_length
from scripts.support.sanitize import sanitize
from store.analysis.forecast import LIKELY
from store.analysis.formatting import UNKNOWN, duration, percent, whole
from store.constants import is_full

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from scripts.render.console import TerminalProfile
    from store.documents import AccountForecast, ForecastDocument, UrgentWindow, WindowForecast


def render_forecasts(document: ForecastDocument, profile: TerminalProfile) -> Text:
    """Show the document of ``forecast --json``: when each window of each account's limits runs out."""
    now = document["generated_at"]
    sections = [Text("\n").join(_account(account, now, profile)) for account in document["accounts"]]
    return Text("\n\n").join(sections)


def render_most_urgent(urgent: UrgentWindow, now: float, profile: TerminalProfile) -> Text:
    """Return one line on the window that runs out first."""
    length = window_length(urgent["slot"], urgent["window_minutes"])
    return Text(f"{length} ").append(words(urgent, now, profile.zone), style(urgent))


def words(window: WindowForecast, now: float, zone: dt.tzinfo | None = None) -> str:
    """Return a forecast in one line: ``at this pace dry at 15:40, 50 min before its reset (…)``."""
    chance, resets_at = window["chance_dry"], window["resets_at"]
    if chance is None:
        return f"nothing to forecast: {window['note']}"
    if is_full(window["used_percent"]):
        return "dry now" if resets_at is None else f"dry now, back at {clock_time(resets_at, now, zone)}"
    few = f", from {window['note']}" if window["note"] else ""
    if window["runs_dry_at"] is None:
        return ("lasts" if window["safe"] else "seems to last") + _at_reset(window) + few
    dry = clock_time(window["runs_dry_at"], now, zone)
    if chance < LIKELY:
        return f"likely lasts{_at_reset(window)}; {chance:.0%} chance to be dry before, at about {dry}{few}"
    before = "" if resets_at is None else f", {duration(resets_at - window['runs_dry_at'])} before its reset"
    return f"at this pace dry at {dry}{before} ({_range(window, now, zone)}){few}"


def style(window: WindowForecast) -> str:
    """Return the style of a forecast: green if the window lasts, yellow if it may run dry, red if it likely does."""
    if window["chance_dry"] is None or window["safe"] is None:
        return "dim"
    if window["safe"]:
        return "green"
    return "yellow" if window["chance_dry"] < LIKELY else "red"


def window_style(used: float | None, forecast: WindowForecast | None) -> str:
    """Return the style of a used percent: that of its forecast, or that of its level without one."""
    return style(forecast) if forecast and forecast["safe"] is not None else colour(used)


def _at_reset(window: WindowForecast) -> str:
    at, low, high = window["at_reset"], window["at_reset_low"], window["at_reset_high"]
    if at is None or low is None or high is None:
        return ""
    if high == 0:
        return ": nothing used so far"
    return f": about {whole(at)} % at the reset ({whole(low)} to {whole(high)} %)"


def _range(window: WindowForecast, now: float, zone: dt.tzinfo | None) -> str:
    low, high = window["runs_dry_low"], window["runs_dry_high"]
    earliest = UNKNOWN if low is None else clock_time(low, now, zone)
    if high is None:
        return f"{earliest} at the earliest, may last"
    return f"between {earliest} and {clock_time(high, now, zone)}"


def _account(account: AccountForecast, now: float, profile: TerminalProfile) -> Iterator[Text]:
    title, *rest = title_parts(account)
    plan = [sanitize(account["plan_type"])] if account["plan_type"] else []
    yield Text(title, "bold").append(profile.glyphs.dot.join(["", *rest, *plan]), "not bold")
    for limit in account["limits"]:
        name, limit_id = limit["limit_name"], sanitize(limit["limit_id"])
        yield Text(f"  {sanitize(name)} ({limit_id})" if name and name != limit["limit_id"] else f"  {limit_id}")
        for slot, window in limit["windows"].items():
            yield _window(slot, window, now, profile)
        if not limit["windows"]:
            yield Text("    no windows reported", "dim")


def _window(slot: str, window: WindowForecast, now: float, profile: TerminalProfile) -> Text:
    used, pace = window["used_percent"], window["pace_per_hour"]
    known = window["chance_dry"] is not None
    shown = percent(used) if known else UNKNOWN
    line = Text(f"    {window_length(slot, window['window_minutes']):>4}  ")
    line.append(f"{shown:>6} used  ", window_style(used, window) if known else "dim")
    line.append(f"{UNKNOWN if pace is None else f'{pace:.1f}':>5} %/h  ")
    return line.append(words(window, now, profile.zone), style(window))
