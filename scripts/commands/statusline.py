"""``statusline``: one line for a status bar."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, NamedTuple

import click

from scripts.commands.completion import complete_account
from scripts.commands.options import (
    ACCOUNT_HELP,
    LOGIN_HELP,
    QuickHelp,
    any_option,
    place_option,
    quick_option,
    shell_login,
)
from scripts.support.database import account_outlook
from scripts.support.errors import NOTHING_YET
from scripts.support.json_document import versioned
from scripts.support.place import default_place
from scripts.support.sanitize import sanitize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scripts.codex_files.login import Login
    from scripts.support.database import Selected
    from scripts.support.place import Place
    from store.documents import (
        AccountStatus,
        LimitStatus,
        StatuslineDocument,
        WindowForecast,
        WindowStatus,
    )

_WITH_LEVELS = frozenset({"tmux", "waybar"})
"""The formats that show the levels of windows; the others need no forecast, which takes time."""

UNKNOWN_TEXT = "-"
"""The line while nothing is known: not empty, and not a figure."""


@click.command(
    cls=QuickHelp,
    epilog="""\b
Examples:
  tmux    set -g status-right '#(codex-tap statusline --format tmux)'
  waybar  "custom/codex": {"exec": "codex-tap statusline --format waybar",
            "return-type": "json", "interval": 60}

"37 % (2h10m)" means 37 % used, resets in 2 h 10 min. "!" means blocked,
"credits" that credits carry the limit, "2h old" the age of figures older than
an hour. Colours and waybar's classes follow the forecast: "low" if the window
lasts, "medium" if it may run out, "high" if it likely does. With no data it
prints "-" and exits with 0.
""",
    help=f"""Print one line on an account, for status bars.

    It is about ACCOUNT, or else {LOGIN_HELP}. {ACCOUNT_HELP}
    """,
)
@click.argument("account", shell_complete=complete_account, required=False)
@quick_option(
    "--format",
    "form",
    type=click.Choice(["text", "tmux", "waybar", "json"]),
    default="text",
    show_default=True,
    help="Output format.",
)
@any_option
@place_option
def statusline(*, account: str | None, form: str, any_account: bool, database: Place | None) -> None:
    """Print one line on an account, for status bars."""
    from store.analysis.account_limits import main_limit

    login = shell_login(account, any_account=any_account)
    selected, forecasts = account_outlook(
        database or default_place(), account, login.account_id, with_forecasts=form in _WITH_LEVELS
    )
    who = selected.status
    limit = main_limit(who) if who else None
    if who is None or limit is None:
        click.echo(_unknown(form, selected, login))
        return
    click.echo(_WRITERS[form](_Outlook(who, limit, forecasts, selected, login)))


class _Outlook(NamedTuple):
    """An account, its main limit, the forecasts of that limit's windows by slot (empty without levels), and why it."""

    who: AccountStatus
    limit: LimitStatus
    forecasts: Mapping[str, WindowForecast]
    selected: Selected
    login: Login

    def level(self, slot: str) -> str | None:
        """Return the level of a window."""
        from store.analysis.levels import window_level

        return window_level(self.limit["windows"][slot]["used_percent"], self.forecasts.get(slot))


def _text(found: _Outlook) -> str:
    return _line(found)


def _tmux(found: _Outlook) -> str:
    from scripts.render.levels import COLOURS

    def coloured(text: str, full: str | None) -> str:
        return f"#[fg={COLOURS[full]}]{text}#[default]" if full and not os.environ.get("NO_COLOR") else text

    # In tmux a `#` begins a style or a command.
    return _line(found, lambda text: text.replace("#", "##"), coloured)


def _waybar(found: _Outlook) -> str:
    windows = found.limit["windows"].values()
    used = [each["used_percent"] for each in windows if each["used_percent"] is not None]
    return json.dumps(
        {
            "text": _escaped(_line(found)),
            "tooltip": _escaped(_tooltip(found)),
            "class": _class(found),
            "percentage": int(min(100, max(used, default=0))),
        }
    )


def _json(found: _Outlook) -> str:
    from scripts.render.selection import selection
    from store.analysis.account_limits import STALE_SECONDS

    who, limit = found.who, found.limit
    selected = selection(found.selected, found.login)
    document: StatuslineDocument = {
        "account": who["account"],
        "label": who["label"],
        "name": who["name"],
        "email": who["email"],
        "plan_type": who["plan_type"],
        "credits": who["credits"],
        "limit_id": limit["limit_id"],
        "windows": limit["windows"],
        "state": limit["state"],
        "state_until": limit["state_until"],
        "limit_reached": limit["limit_reached"],
        "reached_until": limit["reached_until"],
        "blocked_by": limit["blocked_by"],
        "on_credits": limit["on_credits"],
        "age_seconds": limit["age_seconds"],
        "stale": limit["age_seconds"] >= STALE_SECONDS,
        "selected_by": selected["selected_by"],
        "selection": selected["selection"],
    }
    return json.dumps(versioned(document))


_WRITERS: Mapping[str, Callable[[_Outlook], str]] = {"text": _text, "tmux": _tmux, "waybar": _waybar, "json": _json}


def _unknown(form: str, selected: Selected, login: Login) -> str:
    """Return what is printed while nothing is known of the account."""
    from scripts.render.selection import not_seen, selection

    if form == "waybar":
        tooltip = sanitize(not_seen(login)) if selected.by == "codex_home" else NOTHING_YET
        return json.dumps({"text": UNKNOWN_TEXT, "tooltip": _escaped(tooltip), "class": "unknown", "percentage": 0})
    if form == "json":
        return json.dumps(versioned({"account": None, **selection(selected, login)}))
    return UNKNOWN_TEXT


def _line(
    found: _Outlook, written: Callable[[str], str] = str, coloured: Callable[[str, str | None], str] | None = None
) -> str:
    """Return the line.

    Args:
        found: the account, its main limit and the forecasts.
        written: escapes text for the status bar.
        coloured: styles a figure by its level; None leaves it plain, and needs no level.
    """
    from store.analysis.account_limits import STALE_SECONDS, label
    from store.analysis.formatting import short_duration

    who, limit = found.who, found.limit
    parts = [written(sanitize(label(who)))]
    for slot, window in limit["windows"].items():
        used = "?" if window["used_percent"] is None else f"{int(window['used_percent'] + 1e-9)} %"
        mark = "!" if limit["blocked_by"] == slot else ""
        length = written(sanitize(_length(slot, window["window_minutes"])))
        figure = coloured(used + mark, found.level(slot)) if coloured else used + mark
        parts.append(f"{length} {figure}{_until(window)}")
    if limit["blocked_by"] and limit["blocked_by"] not in limit["windows"]:
        blocked = coloured("blocked!", "high") if coloured else "blocked!"
        parts.append(blocked + _blocked_for(limit))
    if limit["state"] == "on_credits":
        parts.append("credits")
    if limit["state"] == "unknown":
        parts.append("unknown")
    if limit["age_seconds"] >= STALE_SECONDS:
        parts.append(f"{short_duration(limit['age_seconds'])} old")
    return " ".join(parts)


def _blocked_for(limit: LimitStatus) -> str:
    from store.analysis.formatting import short_duration

    until, now = limit["state_until"], limit["observed_at"] + limit["age_seconds"]
    return "" if until is None else f" ({short_duration(until - now)})"


def _until(window: WindowStatus) -> str:
    from store.analysis.formatting import short_duration

    if window["reset_unseen"]:
        return " (reset)"
    if window["reset_overdue"]:
        return " (due)"
    seconds = window["resets_in_seconds"]
    return "" if seconds is None else f" ({short_duration(seconds)})"


def _length(slot: str, minutes: int | None) -> str:
    """Return a window's real length without spaces: ``5h``, ``30d``."""
    from store.analysis.formatting import compact_length, window_length

    return compact_length(window_length(slot, minutes))


def _tooltip(found: _Outlook) -> str:
    from scripts.render.selection import reason
    from store.analysis.account_limits import label, window_left
    from store.analysis.formatting import duration

    who, limit = found.who, found.limit
    heading = (label(who), who["plan_type"], reason(found.selected, found.login))
    lines = [sanitize(" · ".join(part for part in heading if part))]
    lines += [sanitize(window_left(slot, window)) for slot, window in limit["windows"].items()]
    return "\n".join([*lines, f"seen {duration(limit['age_seconds'])} ago"])


def _class(found: _Outlook) -> str:
    """Return the CSS class: ``blocked``, else ``stale``, else the level of the window that matters most."""
    from store.analysis.account_limits import STALE_SECONDS
    from store.analysis.forecast import most_urgent
    from store.analysis.ranking import tightest_window

    limit = found.limit
    if limit["state"] in {"refused", "unknown"}:
        return "blocked" if limit["state"] == "refused" else "unknown"
    if limit["age_seconds"] >= STALE_SECONDS:
        return "stale"
    tight = tightest_window(limit)
    slot = most_urgent({slot: each for slot, each in found.forecasts.items() if slot in limit["windows"]})
    slot = slot or (tight.slot if tight else None)
    return (found.level(slot) if slot else None) or "unknown"


def _escaped(text: str) -> str:
    """Escape text for Pango, which reads it as markup."""
    for character, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("'", "&#39;"), ('"', "&quot;")):
        text = text.replace(character, name)
    return text
