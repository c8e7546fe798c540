"""Terminal output of ``status`` for a great many accounts: counts by plan, and a line on each of the most pressed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from scripts.render.console import label_width, level_style, truncate, window_length
from scripts.render.status import block_text
from scripts.support.sanitize import sanitize
from store.analysis.account_limits import main_limit
from store.analysis.formatting import UNKNOWN, duration, percent
from store.analysis.levels import level

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scripts.render.console import TerminalProfile
    from store.documents import AccountsSummary, AccountStatus, PlanSummary, StatusDocument, WindowStatus

_COLUMNS = {
    "refused": "blocked",
    "on_credits": "on credits",
    "high": "above 80 %",
    "medium": "50 to 80 %",
    "low": "below 50 %",
    "unknown": "unknown",
}
"""The heading of each number of a summary."""

_STYLES = {"refused": "red", "on_credits": "yellow", "high": "red", "medium": "yellow", "low": "green"}


def render_many(
    document: StatusDocument, summary: AccountsSummary, profile: TerminalProfile, marks: Mapping[str, str]
) -> Text:
    """Show the summary of all accounts, and a line on each account of the document.

    `marks` says by key which account is logged in.
    """
    lines = [Text(sanitize(marks[""]), "yellow")] if "" in marks else []
    lines += [*_plans(summary), Text(), Text(f"The {len(document['accounts'])} most pressed:", "bold")]
    lines += _accounts(document["accounts"], document["generated_at"], profile, marks)
    hint = f"codex-tap status NAME shows one account, codex-tap status --all shows all {summary['accounts']:,}."
    return Text("\n").join([*lines, Text(), Text(hint, "dim")])


def _plans(summary: AccountsSummary) -> Iterator[Text]:
    """Yield a line for each plan, and one for all of them."""
    total: dict[str, int] = {
        name: sum(_number(plan, name) for plan in summary["plans"]) for name in ("accounts", *_COLUMNS)
    }
    shown = [name for name in _COLUMNS if total[name]]
    rows = [
        (sanitize(plan["plan_type"] or UNKNOWN), {name: _number(plan, name) for name in total})
        for plan in summary["plans"]
    ]
    if len(rows) > 1:
        rows.append(("all", total))
    first = max(len("plan"), *(len(name) for name, _ in rows)) if rows else 0
    titles = {"accounts": "accounts", **{name: _COLUMNS[name] for name in shown}}
    widths = {name: max(len(title), len(f"{total[name]:,}")) for name, title in titles.items()}
    yield Text(
        "  ".join([f"{'plan':<{first}}", *(f"{title:>{widths[name]}}" for name, title in titles.items())]), "dim"
    )
    for place, (plan_name, numbers) in enumerate(rows):
        line = Text(f"{plan_name:<{first}}", "bold" if place == len(summary["plans"]) else "")
        for name, width in widths.items():
            number = numbers[name]
            line.append(f"  {number:>{width},}", (_STYLES.get(name) or "not bold") if number else "dim")
        yield line


def _number(plan: PlanSummary, name: str) -> int:
    numbers: Mapping[str, object] = plan
    found = numbers[name]
    assert isinstance(found, int)
    return found


def _accounts(
    accounts: Sequence[AccountStatus], now: float, profile: TerminalProfile, marks: Mapping[str, str]
) -> Iterator[Text]:
    labels = [sanitize(account["label"]) for account in accounts]
    width = label_width(labels, profile.width // 3, profile.glyphs)
    windows = [_windows(account) for account in accounts]
    columns = max(map(len, windows), default=0)
    widths = [
        max((len(each[place][0]) for each in windows if place < len(each)), default=0) for place in range(columns)
    ]
    for account, label, found in zip(accounts, labels, windows, strict=True):
        line = Text(f"  {truncate(label, width, profile.glyphs):<{width}}")
        for place, column in enumerate(widths):
            text, style = found[place] if place < len(found) else ("", "")
            line.append(f"  {text:>{column}}", style)
        notes = [*_notes(account, now, profile), *([marks[account["account"]]] if account["account"] in marks else [])]
        yield line.append("  " + profile.glyphs.dot.join(map(sanitize, notes)) if notes else "")


def _windows(account: AccountStatus) -> list[tuple[str, str]]:
    limit = main_limit(account)
    windows = limit["windows"].items() if limit else ()
    return [
        (
            f"{window_length(slot, window['window_minutes'])} {percent(window['used_percent'])}",
            level_style(level(window["used_percent"])),
        )
        for slot, window in windows
    ]


def _notes(account: AccountStatus, now: float, profile: TerminalProfile) -> list[str]:
    """Return what blocks an account, else when its fullest window resets."""
    limit = main_limit(account)
    block = block_text(limit, now, profile) if limit else None
    if block:
        return [block]
    fullest: WindowStatus | None = max(
        limit["windows"].values() if limit else (), key=lambda each: each["used_percent"] or 0.0, default=None
    )
    seconds = fullest["resets_in_seconds"] if fullest and not fullest["reset_unseen"] else None
    return [f"resets in {duration(seconds)}"] if seconds else []
