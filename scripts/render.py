"""How answers look in a terminal: documents of `store.queries` in, styled text out.

Nothing here asks for the time, the terminal or the database: the moment comes with the document, the rest in a `Look`.
What came over the wire (names, plans, limits) can hold anything: it goes through `printable`, never through markup.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
from rich.text import Text

from scripts.fullness import COLOURS, level
from scripts.printable import printable
from store import words
from store.choice import blocked_until
from store.words import DAY, UNKNOWN, duration, percent

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from scripts.doctor import Check
    from store.queries import Account

"""How far a weekday's name alone is clear: less than a week, or today's own name would come round again."""

_JUST_NOW, _OLD_SECONDS = 5, DAY
_BAR_LEAST, _BAR_MOST = 8, 30

_ROOMY = 100
"""Columns from which on the history has all of its own."""

_LABEL_MOST, _LABEL_NARROW = 28, 17
_LAST_WIDTH, _TIMES_WIDTH = 12, 5


class Glyphs(NamedTuple):
    """The characters that not every terminal or pipe can show."""

    full: str
    empty: str
    dot: str
    ellipsis: str


_TYPOGRAPHIC = Glyphs("█", "░", " · ", "…")
_PLAIN = Glyphs("#", "-", " - ", "...")


class Look(NamedTuple):
    """What an answer has to fit into: columns, characters, and the time zone (None is the machine's own).

    `whole` says that nothing is to be left out for want of room: a pipe takes lines of any length.
    """

    width: int = 80
    whole: bool = False
    glyphs: Glyphs = _TYPOGRAPHIC
    zone: dt.tzinfo | None = None


def console() -> Console:
    """Return a console that writes to standard output: colours on a terminal only, no markup, nothing restyled."""
    return Console(highlight=False, markup=False, emoji=False)


def look(target: Console) -> Look:
    """Return what fits into a console."""
    try:
        "".join(_TYPOGRAPHIC).encode(target.encoding)
    except UnicodeEncodeError:
        return Look(target.width, whole=not target.is_terminal, glyphs=_PLAIN)
    return Look(target.width, whole=not target.is_terminal)


def put(target: Console, text: Text) -> None:
    """Print lines as they are: one that is too long is for the terminal to wrap, and for a pipe to keep whole."""
    if not target.is_terminal:
        # A hundred times as fast, which a long history needs.
        target.file.write(f"{text.plain}\n")
        return
    target.print(text, no_wrap=True, overflow="ignore", crop=False)


# Words and figures


def _ago(seconds: float) -> str:
    return f"{duration(seconds)} ago" if seconds >= _JUST_NOW else "just now"


def moment(at: float, now: float, zone: dt.tzinfo | None = None) -> str:
    """Write a moment as short as it is clear at another: ``14:05``, ``Tue 14:05``, ``3 Dec 14:05``."""
    return words.short_moment(at, now, zone)


def window_length(slot: str, minutes: int | None) -> str:
    """Write a window's real length (``5 h``, ``7 d``, ``30 d``); one nobody told is the slot's, with a ``?``."""
    return printable(words.window_length(slot, minutes))


def count(number: int, thing: str) -> str:
    """Write a number of things: ``1 turn``, ``1,200 turns``."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def cut(text: str, width: int, glyphs: Glyphs = _TYPOGRAPHIC) -> str:
    """Write no more of a text than there is room for, an ellipsis at the end of what is cut."""
    return text if len(text) <= width else text[: max(0, width - len(glyphs.ellipsis))] + glyphs.ellipsis


def colour(used: float | None) -> str:
    """Return the style of a used percentage; `scripts.fullness` says from where on."""
    found = level(used)
    return COLOURS[found] if found else "dim"


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


def status(document: Mapping[str, Any], look: Look, forecasts: Mapping[str, Text] | None = None) -> Text:
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
            [*title, printable(account["account"])]
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
    return [printable(part) for part in (account["name"], account["email"]) if part] or [printable(account["account"])]


def _facts(account: Mapping[str, Any]) -> list[str]:
    """Return what is known of an account as a whole: plan, credits, resets to spend, a spending limit."""
    facts = [printable(account["plan_type"])] if account["plan_type"] else []
    credits_told = account["credits"] or {}
    if credits_told.get("unlimited"):
        facts.append("credits without limit")
    elif credits_told.get("has_credits"):
        facts.append(f"credits {printable(credits_told['balance'] or UNKNOWN)}")
    if account["reset_credits"]:
        facts.append(f"resets to spend: {account['reset_credits']}")
    if account["spend_control_reached"]:
        facts.append("spending limit reached")
    return facts


def _heading(parts: Sequence[str], look: Look) -> Text:
    return Text(parts[0], "bold").append(look.glyphs.dot.join(["", *parts[1:]]), "not bold")


def _rows(limit: Mapping[str, Any], now: float, look: Look) -> list[_Row]:
    return [_row(slot, window, now, look) for slot, window in limit["windows"].items()]


def _row(slot: str, window: Mapping[str, Any], now: float, look: Look) -> _Row:
    used = window["used_percent"]
    left = None if used is None else max(0.0, 100 - words.rounded(used))
    resets = _resets(window, now, look)
    return _Row(window_length(slot, window["window_minutes"]), used, percent(used), percent(left), resets)


def _resets(window: Mapping[str, Any], now: float, look: Look) -> str:
    if window["reset_unseen"]:
        return "reset, not seen since"
    at, seconds = window["resets_at"], window["resets_in_seconds"]
    if at is None:
        return f"resets {UNKNOWN}"
    return f"resets in {duration(seconds)} ({moment(at, now, look.zone)})"


def _columns(rows: Sequence[_Row], look: Look) -> _Columns:
    def widest(name: str) -> int:
        return max((len(getattr(row, name)) for row in rows), default=0)

    length, used, left, resets = (widest(name) for name in ("length", "used", "left", "resets"))
    room = look.width - len(_line_head("", length)) - used - len(" used  ") - left - len(" left  ") - resets
    bar = room - len("  ")
    if room < 0 and not look.whole:
        left = 0
    return _Columns(length, min(bar, _BAR_MOST) if bar >= _BAR_LEAST else 0, used, left)


def _line_head(length: str, width: int) -> str:
    return f"    {length:>{width}}  "


def _limit(limit: Mapping[str, Any], rows: Sequence[_Row], columns: _Columns, now: float, look: Look) -> Iterator[Text]:
    name, limit_id = limit["limit_name"], printable(limit["limit_id"])
    title = f"{printable(name)} ({limit_id})" if name and name != limit["limit_id"] else limit_id
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


def _window(row: _Row, columns: _Columns, look: Look) -> Text:
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


def _block(limit: Mapping[str, Any], now: float, look: Look) -> str | None:
    """Say what a limit is closed by and until when, or that credits carry it."""
    windows, by, reached = limit["windows"], limit["blocked_by"], limit["reached_type"]
    if limit["on_credits"]:
        return "used up, running on credits"
    if by is None:
        return None
    at = blocked_until(limit)
    until = "" if at is None else f" until {moment(at, now, look.zone)}"
    if by in windows:
        return f"blocked by {window_length(by, windows[by]['window_minutes'])}{until}"
    kind = f" ({printable(reached)})" if reached else ""
    return f"blocked: credits are used up{kind}{until}" if by == "credits" else f"blocked by the server{kind}{until}"


# Accounts


def accounts(known: Iterable[Account], look: Look) -> Text:
    """Show accounts with all that one can be named by."""
    return Text("\n\n").join(Text("\n").join(_account(account, look)) for account in known)


def label(account: Account, glyphs: Glyphs = _TYPOGRAPHIC) -> str:
    """Return what an account is called, in one line: name, e-mail and plan."""
    parts = (account.name, account.email or (None if account.name else account.key), account.plan_type)
    return glyphs.dot.join(printable(part) for part in parts if part)


_TOKENS_SHOWN = 3


def _account(account: Account, look: Look) -> Iterator[Text]:
    tokens = [printable(token_key) for token_key in account.token_keys[:_TOKENS_SHOWN]]
    more = len(account.token_keys) - len(tokens)
    first, last = (words.moment(at, look.zone) for at in (account.first_seen_at, account.last_seen_at))
    yield Text(label(account, look.glyphs), "bold")
    yield from _field("account", printable(account.key))
    for name, token_key in zip(["token", "before", "before"], tokens, strict=False):
        yield from _field(name, token_key)
    if more:
        yield from _field("", f"and {more} earlier")
    yield from _field("seen", f"{first} to {last}")


def _field(name: str, value: str) -> Iterator[Text]:
    yield Text(f"  {name:<7}  ", "dim").append(value, "not dim")


# History


class HistoryColumns(NamedTuple):
    """The widths of the columns that not every history has: 0 for want of room, or where all rows say the same."""

    last: int
    times: int
    account: int
    limit: int

    @classmethod
    def fitting(cls, labels: Iterable[str], limit_ids: Iterable[str], look: Look) -> HistoryColumns:
        """Make the columns that hold these accounts and limits."""
        roomy = look.whole or look.width >= _ROOMY
        most = _LABEL_MOST if roomy else _LABEL_NARROW
        last, times = (_LAST_WIDTH, _TIMES_WIDTH) if roomy else (0, 0)
        return cls(last, times, _column_width(labels, most), _column_width(limit_ids, most))


def _column_width(values: Iterable[str], most: int) -> int:
    widths = [len(printable(value)) for value in values]
    return min(most, max(widths)) if len(widths) > 1 else 0


def history_header(columns: HistoryColumns) -> Text:
    """Return the line above the rows."""
    cells = _Cells("First seen", "Last seen", "Times", "Account", "Limit")
    return Text(_history_line(cells, columns) + "Used", "bold")


def history_row(entry: Mapping[str, Any], columns: HistoryColumns, look: Look) -> Text:
    """Show one snapshot in a line; nothing depends on the rows before or after."""
    first, last = entry["first_seen_at"], entry["last_seen_at"]
    cells = _Cells(
        words.moment(first, look.zone),
        moment(last, first, look.zone) if last > first else "",
        str(entry["observations"]),
        cut(printable(entry["name"] or entry["email"] or entry["account"]), columns.account, look.glyphs),
        cut(printable(entry["limit_id"]), columns.limit, look.glyphs),
    )
    text = Text(_history_line(cells, columns))
    for slot, window in entry["windows"].items():
        used = window["used_percent"]
        text.append(f"{window_length(slot, window['window_minutes'])} ")
        text.append(f"{percent(used):<6}", colour(used)).append("  ")
    if not entry["windows"]:
        text.append("no figures  ", "dim")
    if entry["limit_reached"] or entry["reached_type"]:
        text.append("limit reached  ", "red")
    if entry["late"]:
        text.append("arrived late", "dim")
    text.rstrip()
    return text


class _Cells(NamedTuple):
    first: str
    last: str
    times: str
    account: str
    limit: str


def _history_line(cells: _Cells, columns: HistoryColumns) -> str:
    parts = [f"{cells.first:<16}"]
    parts += [f"{cells.last:<{columns.last}}"] if columns.last else []
    parts += [f"{cells.times:>{columns.times}}"] if columns.times else []
    parts += [f"{cells.account:<{columns.account}}"] if columns.account else []
    parts += [f"{cells.limit:<{columns.limit}}"] if columns.limit else []
    return "  ".join([*parts, ""])


# Doctor


_NAME_WIDTH = 13
_INDENT = " " * (9 + _NAME_WIDTH)
_LEVELS = {"ok": "green", "note": "yellow", "problem": "bold red"}


def checks(found: Iterable[Check], look: Look) -> Text:
    """Show what the doctor found, and below each finding what to do about it."""
    lines = []
    for check in found:
        first, *more = _wrapped(check.message, look)
        line = Text(f"{check.level:<9}", _LEVELS[check.level])
        lines.append(line.append(f"{check.name:<{_NAME_WIDTH}}{first}", "not bold default"))
        lines += [Text(_INDENT + each) for each in more]
        lines += [Text(_INDENT + each, "dim") for each in _wrapped(check.advice or "", look)]
    return Text("\n").join(lines)


def _wrapped(text: str, look: Look) -> list[str]:
    width = 10_000 if look.whole else max(20, look.width - len(_INDENT))
    return textwrap.wrap(printable(text), width, break_long_words=False, break_on_hyphens=False)
