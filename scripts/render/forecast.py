"""Terminal output of ``forecast``, and the forecast's line and colours in ``status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from scripts.render.accounts import title_parts
from scripts.render.console import clock_time, count, level_style, window_length
from scripts.support.sanitize import sanitize
from store.analysis.forecast import LIKELY, RESET_UNSEEN, TOO_LITTLE_HISTORY
from store.analysis.formatting import UNKNOWN, duration, percent, share, whole
from store.analysis.levels import forecast_level, window_level
from store.constants import FULL_PERCENT, is_full

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from scripts.render.console import TerminalProfile
    from store.documents import AccountForecast, ForecastDocument, WindowForecast


def render_forecasts(document: ForecastDocument, profile: TerminalProfile) -> Text:
    """Show the document of ``forecast --json``: when each window of each account's limits runs out."""
    now = document["generated_at"]
    sections = [Text("\n").join(_account(account, now, profile)) for account in document["accounts"]]
    imported = max(_imported_readings(document), default=0)
    if imported:
        sections.append(Text(f"Up to {count(imported, 'reading')} of a window are from session files.", "dim"))
    return Text("\n\n").join(sections)


def _imported_readings(document: ForecastDocument) -> Iterator[int]:
    for account in document["accounts"]:
        for limit in account["limits"]:
            yield from (window["imported_readings"] for window in limit["windows"].values())


def render_most_urgent(slot: str, forecast: WindowForecast, now: float, profile: TerminalProfile) -> Text:
    """Return one line on the window that runs out first."""
    length = window_length(slot, forecast["window_minutes"])
    return Text(f"{length} ").append(words(forecast, now, profile.zone), level_style(forecast_level(forecast)))


def words(window: WindowForecast, now: float, zone: dt.tzinfo | None = None) -> str:
    """Return a forecast in one line: ``at this pace dry at 15:40, 50 min before its reset (…)``."""
    chance, resets_at = window["chance_dry"], window["resets_at"]
    if chance is None:
        return TOO_LITTLE_HISTORY if window["note"] == TOO_LITTLE_HISTORY else f"nothing to forecast: {window['note']}"
    if is_full(window["used_percent"]):
        return "dry now" if resets_at is None else f"dry now, back at {clock_time(resets_at, now, zone)}"
    note = f" ({window['note']})" if window["note"] else ""
    if window["runs_dry_at"] is None:
        return f"lasts{_at_reset(window)}{note}"
    dry = clock_time(window["runs_dry_at"], now, zone)
    if chance < LIKELY:
        return f"likely lasts{_at_reset(window)}; {share(chance)} chance to be dry before, at about {dry}{note}"
    before = "" if resets_at is None else f", {duration(resets_at - window['runs_dry_at'])} before its reset"
    return f"at this pace dry at {dry}{before} ({_range(window, now, zone)}){note}"


def _at_reset(window: WindowForecast) -> str:
    at, low, high = window["at_reset"], window["at_reset_low"], window["at_reset_high"]
    if at is None or low is None or high is None:
        return ""
    if high == 0:
        return ": nothing used so far"
    # Nobody can use more than there is: the scenarios above 100 are those that run dry.
    at, low, high = (whole(min(each, FULL_PERCENT)) for each in (at, low, high))
    return f": about {at} % at the reset ({low} to {high} %)"


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
    if window["note"] == RESET_UNSEEN:
        used = None
    line = Text(f"    {window_length(slot, window['window_minutes']):>4}  ")
    line.append(f"{percent(used):>6} used  ", level_style(window_level(used, window)))
    line.append(f"{UNKNOWN if pace is None else f'{pace:.1f}':>5} %/h  ")
    return line.append(words(window, now, profile.zone), level_style(forecast_level(window)))
