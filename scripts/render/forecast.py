"""How a forecast reads: documents of `store.queries.forecast` in, lines out. Nothing here asks for time or terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from scripts.render.console import clock_time, colour, window_length
from scripts.support.sanitize import sanitize
from store.analysis.forecast import LIKELY
from store.analysis.formatting import UNKNOWN, duration, percent, whole
from store.constants import FULL_PERCENT

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Mapping

    from scripts.render.console import TerminalProfile


def render_forecasts(document: Mapping[str, Any], look: TerminalProfile) -> Text:
    """Show when each window of each account's limits runs out."""
    now = document["generated_at"]
    sections = [Text("\n").join(_account(account, now, look)) for account in document["accounts"]]
    return Text("\n\n").join(sections)


def render_most_urgent(first: Mapping[str, Any], now: float, look: TerminalProfile) -> Text:
    """Return one line on the window that runs out first (`store.queries.forecast.most_urgent_window`)."""
    length = window_length(first["slot"], first["window_minutes"])
    return Text(f"{length} ").append(words(first, now, look.zone), style(first))


def words(window: Mapping[str, Any], now: float, zone: dt.tzinfo | None = None) -> str:
    """Say in one line what a window comes to: ``at this pace dry at 15:40, 50 min before its reset (…)``."""
    chance, resets_at = window["chance_dry"], window["resets_at"]
    if chance is None:
        return f"nothing to forecast: {window['note']}"
    if window["used_percent"] >= FULL_PERCENT:
        return "dry now" if resets_at is None else f"dry now, back at {clock_time(resets_at, now, zone)}"
    few = f", from {window['note']}" if window["note"] else ""
    if window["runs_dry_at"] is None:
        return ("lasts" if window["safe"] else "seems to last") + _stand(window) + few
    dry = clock_time(window["runs_dry_at"], now, zone)
    if chance < LIKELY:
        return f"likely lasts{_stand(window)}; {chance:.0%} chance to be dry before, at about {dry}{few}"
    before = "" if resets_at is None else f", {duration(resets_at - window['runs_dry_at'])} before its reset"
    return f"at this pace dry at {dry}{before} ({_between(window, now, zone)}){few}"


def style(window: Mapping[str, Any]) -> str:
    """Return a forecast's colour: green where it lasts, yellow where it may not, red where it rather does not."""
    if window["chance_dry"] is None or window["safe"] is None:
        return "dim"
    if window["safe"]:
        return "green"
    return "yellow" if window["chance_dry"] < LIKELY else "red"


def _stand(window: Mapping[str, Any]) -> str:
    at, low, high = window["at_reset"], window["at_reset_low"], window["at_reset_high"]
    if at is None:
        return ""
    if high == 0:
        return ": nothing used so far"
    return f": about {whole(at)} % at the reset ({whole(low)} to {whole(high)} %)"


def _between(window: Mapping[str, Any], now: float, zone: dt.tzinfo | None) -> str:
    low, high = window["runs_dry_low"], window["runs_dry_high"]
    earliest = clock_time(low, now, zone)
    if high is None:
        return f"{earliest} at the earliest, may last"
    return f"between {earliest} and {clock_time(high, now, zone)}"


def _account(account: Mapping[str, Any], now: float, look: TerminalProfile) -> Iterator[Text]:
    parts = [account["name"], account["email"] or (None if account["name"] else account["account"])]
    title, *rest = [sanitize(part) for part in (*parts, account["plan_type"]) if part]
    yield Text(title, "bold").append(look.glyphs.dot.join(["", *rest]), "not bold")
    for limit in account["limits"]:
        name, limit_id = limit["limit_name"], sanitize(limit["limit_id"])
        yield Text(f"  {sanitize(name)} ({limit_id})" if name and name != limit["limit_id"] else f"  {limit_id}")
        for slot, window in limit["windows"].items():
            yield _window(slot, window, now, look)
        if not limit["windows"]:
            yield Text("    no figures were told", "dim")


def _window(slot: str, window: Mapping[str, Any], now: float, look: TerminalProfile) -> Text:
    used, pace = window["used_percent"], window["pace_per_hour"]
    known = window["chance_dry"] is not None
    shown = percent(used) if known else UNKNOWN
    line = Text(f"    {window_length(slot, window['window_minutes']):>4}  ")
    line.append(f"{shown:>6} used  ", colour(used) if known else "dim")
    line.append(f"{UNKNOWN if pace is None else f'{pace:.1f}':>5} %/h  ")
    return line.append(words(window, now, look.zone), style(window))
