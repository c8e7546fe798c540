"""``statusline``: one line for a status bar."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, NamedTuple

import click

from scripts.commands.completion import complete_account
from scripts.commands.options import ACCOUNT_HELP, database_option
from scripts.support.database import account_outlook, account_status
from scripts.support.errors import NOTHING_YET
from scripts.support.json_document import versioned
from scripts.support.sanitize import sanitize
from store.settings import default_database

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from store.documents import AccountStatus, LimitStatus, StatuslineDocument, WindowForecast, WindowStatus

_WITH_LEVELS = frozenset({"tmux", "waybar"})
"""The formats that show the levels of windows; the others need no forecast, which takes time."""

UNKNOWN_TEXT = "-"
"""The line while nothing is known: not empty, and not a figure."""


@click.command(
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

    It is about ACCOUNT, or else the account in use, which is the one seen last. {ACCOUNT_HELP}
    """,
)
@click.argument("account", shell_complete=complete_account, required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "tmux", "waybar", "json"]),
    default="text",
    show_default=True,
    help="Output format.",
)
@database_option
def statusline(*, account: str | None, form: str, database: Path | None) -> None:
    """Print one line on an account, for status bars."""
    from store.analysis.ranking import main_limit

    who, forecasts = _load(database or default_database(), account, form)
    limit = main_limit(who) if who else None
    if who is None or limit is None:
        click.echo(_UNKNOWN.get(form, UNKNOWN_TEXT))
        return
    click.echo(_WRITERS[form](_Outlook(who, limit, forecasts)))


def _load(path: Path, account: str | None, form: str) -> tuple[AccountStatus | None, Mapping[str, WindowForecast]]:
    """Return the account, None while nothing is known, and the forecasts that the form shows."""
    if form in _WITH_LEVELS:
        return account_outlook(path, account) or (None, {})
    return account_status(path, account), {}


class _Outlook(NamedTuple):
    """An account, its main limit, and the forecasts of that limit's windows by slot; empty without levels."""

    who: AccountStatus
    limit: LimitStatus
    forecasts: Mapping[str, WindowForecast]

    def level(self, slot: str) -> str | None:
        """Return the level of a window."""
        from scripts.render.levels import window_level

        return window_level(self.limit["windows"][slot]["used_percent"], self.forecasts.get(slot))


def _text(found: _Outlook) -> str:
    return _line(found, lambda text: text, lambda text, _: text)


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
            "text": _escaped(_line(found, lambda text: text, lambda text, _: text)),
            "tooltip": _escaped(_tooltip(found.who, found.limit)),
            "class": _class(found),
            "percentage": int(min(100, max(used, default=0))),
        }
    )


def _json(found: _Outlook) -> str:
    from store.analysis.ranking import STALE_SECONDS

    who, limit, _ = found
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
    }
    return json.dumps(versioned(document))


_WRITERS: Mapping[str, Callable[[_Outlook], str]] = {"text": _text, "tmux": _tmux, "waybar": _waybar, "json": _json}

_UNKNOWN = {
    "waybar": json.dumps({"text": UNKNOWN_TEXT, "tooltip": NOTHING_YET, "class": "unknown", "percentage": 0}),
    "json": json.dumps(versioned({"account": None})),
}


def _line(found: _Outlook, written: Callable[[str], str], coloured: Callable[[str, str | None], str]) -> str:
    """Return the line.

    Args:
        found: the account, its main limit and the forecasts.
        written: escapes text for the status bar.
        coloured: styles a figure by its level.
    """
    from store.analysis.formatting import short_duration
    from store.analysis.ranking import STALE_SECONDS, label

    who, limit, _ = found
    parts = [written(sanitize(label(who)))]
    for slot, window in limit["windows"].items():
        used = "?" if window["used_percent"] is None else f"{int(window['used_percent'] + 1e-9)} %"
        mark = "!" if limit["blocked_by"] == slot else ""
        length = written(sanitize(_length(slot, window["window_minutes"])))
        parts.append(f"{length} {coloured(used + mark, found.level(slot))}{_until(window)}")
    if limit["blocked_by"] and limit["blocked_by"] not in limit["windows"]:
        parts.append(coloured("blocked!", "high") + _blocked_for(limit))
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


def _tooltip(who: AccountStatus, limit: LimitStatus) -> str:
    from store.analysis.formatting import duration
    from store.analysis.ranking import label, window_left

    lines = [sanitize(" · ".join(part for part in (label(who), who["plan_type"]) if part))]
    lines += [sanitize(window_left(slot, window)) for slot, window in limit["windows"].items()]
    return "\n".join([*lines, f"seen {duration(limit['age_seconds'])} ago"])


def _class(found: _Outlook) -> str:
    """Return the CSS class: ``blocked``, else ``stale``, else the level of the window that matters most."""
    from store.analysis.forecast import most_urgent
    from store.analysis.ranking import STALE_SECONDS, tightest_window

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
