"""The screen of ``top``: lines of a given size, made of documents and of what a person has chosen to see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from scripts.render.console import clock_time, filled, left_percent, level_style, window_length
from scripts.render.thread_labels import kind_label, short_ids
from scripts.render.usage import ELSEWHERE, PENDING
from scripts.support.sanitize import sanitize
from store.analysis.account_limits import STALE_SECONDS, block_reason, main_limit
from store.analysis.forecast import LIKELY
from store.analysis.formatting import UNKNOWN, amount, duration
from store.analysis.levels import forecast_level, window_level
from store.analysis.pressure import by_account, highest_use, pressure
from store.constants import MAIN_LIMIT, is_full

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scripts.render.console import TerminalProfile
    from store.documents import (
        AccountStatus,
        ForecastDocument,
        LimitStatus,
        NextDocument,
        StatusDocument,
        ThreadWords,
        UsageDocument,
        UsageRow,
        WindowForecast,
        WindowStatus,
    )
    from store.turns_under_way import TurnUnderWay

    Forecasts = Mapping[str, Mapping[str, WindowForecast]]

Pane = Literal["accounts", "turns", "usage"]
PANES: tuple[Pane, ...] = get_args(Pane)

Sort = Literal["pressure", "name", "used", "reset"]
SORTS: Mapping[str, Sort] = {"p": "pressure", "n": "name", "u": "used", "r": "reset"}
"""The order of accounts by the key that chooses it."""

MIN_WIDTH, MIN_HEIGHT = 40, 8
_MIN_PANE = 2
"""Rows of a pane that is not chosen, as far as there is room."""

_TITLES: Mapping[Pane, str] = {"accounts": "Accounts", "turns": "Turns under way", "usage": "Used today"}
_WIDE, _VERY_WIDE = 80, 110
_MIN_LABEL, _MAX_LABEL, _MAX_BAR = 12, 28, 24

HELP = (
    ("Tab, 1, 2, 3", "choose accounts, turns, use of today"),
    ("Up, Down, k, j", "scroll; Page Up, Page Down, Home, End as well"),
    ("p, n, u, r", "accounts by pressure, name, used, reset"),
    ("t", "use of today by points or by tokens"),
    ("a", "one account after the other, then all"),
    ("?", "this help"),
    ("q, Ctrl-C", "end"),
)


@dataclass
class View:
    """What a person has chosen to see; ``account`` is the key of the one account that is shown, None for all."""

    pane: Pane = "accounts"
    sort: Sort = "pressure"
    by_tokens: bool = False
    account: str | None = None
    shows_help: bool = False
    offsets: dict[Pane, int] = field(default_factory=dict)


class Contents(NamedTuple):
    """The documents that are shown, at a time; ``labels`` has those of accounts by their keys."""

    now: float
    status: StatusDocument
    forecasts: ForecastDocument
    usage: UsageDocument
    ranking: NextDocument
    turns: Sequence[TurnUnderWay]
    words: Mapping[str, ThreadWords]
    labels: Mapping[str, str]
    logged_in: str | None = None
    problem: str | None = None


def render_top(contents: Contents, view: View, profile: TerminalProfile, height: int | None) -> list[Text]:
    """Return the lines of the screen, none wider than it.

    `height` is that of the screen, which has so many lines then; None means all rows, as in a pipe. The offsets of
    `view` are kept within the rows that there are.
    """
    width = profile.width
    rows = {
        "accounts": list(_account_rows(contents, view, profile)),
        "turns": list(_turn_rows(contents, view, profile)),
        "usage": list(_usage_rows(contents, view, profile)),
    }
    head = _header(contents, profile)
    if height is None:
        titles = {pane: _title(pane, contents, view, "", profile, is_chosen=False) for pane in PANES}
        body = [line for pane in PANES for line in (titles[pane], *rows[pane], Text())]
        return [_cut(line, width, profile) for line in (head, *body[:-1])]
    if view.shows_help:
        body = [Text(f"  {keys:<16}{effect}") for keys, effect in HELP]
    elif contents.status["accounts"]:
        body = _panes(rows, contents, view, profile, height - 2)
    else:
        body = []
    body = [*body[: height - 2], *([Text()] * max(0, height - 2 - len(body)))]
    return [_cut(line, width, profile) for line in (head, *body, _footer(view, profile))][:height]


# The frame


def _header(contents: Contents, profile: TerminalProfile) -> Text:
    time = clock_time(contents.now, contents.now, profile.zone)
    name = f"codex-tap{profile.glyphs.dot}" if profile.width >= _WIDE else ""
    head = Text().append(f"{name}{time}{profile.glyphs.dot}", "bold")
    if contents.problem:
        return head.append(sanitize(" ".join(contents.problem.split())), "bold red")
    return head.append(*_verdict(contents))


def _verdict(contents: Contents) -> tuple[str, str]:
    """Return the sentence on all accounts, and its style: which to use, or why none can be used."""
    ranking = contents.ranking
    if ranking["account"] is None:
        return sanitize(ranking["reason"]), "bold red"
    first = ranking["ranking"][0]
    style = "bold green" if first["usage"] == "included" else "bold yellow"
    reason = sanitize(ranking["reason"])
    return (f"use {sanitize(ranking['label'])}: {reason}" if len(ranking["ranking"]) > 1 else reason), style


def _footer(view: View, profile: TerminalProfile) -> Text:
    keys = "? help  q quit  Tab pane  a account  t tokens  sort: "
    line = Text().append(keys, "dim")
    for key, name in SORTS.items():
        line.append(f"{key} {name}", "bold" if name == view.sort else "dim").append(" ", "dim")
    return line if cell_len(line.plain) <= profile.width else Text("? help  q quit  Tab  a  p n u r", "dim")


def _title(
    pane: Pane, contents: Contents, view: View, hidden: str, profile: TerminalProfile, *, is_chosen: bool
) -> Text:
    title = Text().append(_TITLES[pane], "bold reverse" if is_chosen else "bold")
    for words, style in ((_about(pane, contents, view), "dim"), (hidden, "yellow")):
        if words:
            title.append(f"{profile.glyphs.dot}{words}", style)
    return title


def _about(pane: Pane, contents: Contents, view: View) -> str:
    only = contents.labels.get(view.account or "", "")
    if pane == "accounts":
        return f"{sanitize(only)} alone" if only else f"by {view.sort}"
    if pane == "turns":
        return "" if contents.turns else "none"
    window = contents.usage["window"]
    if window is None or not contents.usage["rows"]:
        return "nothing"
    length = window_length(window, contents.usage["window_minutes"])
    return f"by {'tokens' if view.by_tokens else 'points'} of {length}"


def _panes(
    rows: Mapping[str, Sequence[Text]], contents: Contents, view: View, profile: TerminalProfile, height: int
) -> list[Text]:
    """Return the three panes, each with its title; what is out of sight is counted there."""
    rooms = _rooms({pane: len(rows[pane]) for pane in PANES}, view.pane, height - len(PANES))
    lines = []
    for pane in PANES:
        number, room = len(rows[pane]), rooms[pane]
        offset = view.offsets[pane] = max(0, min(view.offsets.get(pane, 0), number - room))
        above, below = offset, number - offset - room
        hidden = ", ".join(
            f"{count:,} more {where}" for count, where in ((above, "above"), (below, "below")) if count > 0
        )
        lines.append(_title(pane, contents, view, hidden, profile, is_chosen=pane == view.pane))
        lines += rows[pane][offset : offset + room]
    return lines


def _rooms(needs: Mapping[Pane, int], chosen: Pane, height: int) -> dict[Pane, int]:
    """Share lines among the panes: a few for each, then what the chosen one needs, then the others."""
    rooms = dict.fromkeys(PANES, 0)
    left = max(0, height)
    for most in (_MIN_PANE, None):
        for pane in sorted(PANES, key=lambda each: each != chosen):
            wanted = needs[pane] if most is None else min(needs[pane], most)
            more = min(left, max(0, wanted - rooms[pane]))
            rooms[pane] += more
            left -= more
    return rooms


# Accounts


def _account_rows(contents: Contents, view: View, profile: TerminalProfile) -> Iterator[Text]:
    found = by_account(contents.forecasts)
    accounts = [each for each in contents.status["accounts"] if view.account in {None, each["account"]}]
    accounts = sorted(accounts, key=lambda each: _order(each, found.get(each["account"], {}), view.sort))
    label = _label_width([name for each in accounts for name in _row_names(each, contents)], profile)
    for account in accounts:
        yield from _account(account, found.get(account["account"], {}), label, contents, profile)


def _order(account: AccountStatus, forecasts: Forecasts, sort: Sort) -> tuple[object, ...]:
    """Return the key of an account in an order, the first ahead."""
    name = account["label"].casefold()
    if sort == "name":
        return (name,)
    if sort == "pressure":
        return (*(-each for each in pressure(account, forecasts)), name)
    limit = main_limit(account)
    if sort == "used":
        return (-(highest_use(limit) if limit else -1.0), name)
    resets = [each["resets_in_seconds"] for each in limit["windows"].values()] if limit else []
    return (min((each for each in resets if each), default=float("inf")), name)


def _name(account: AccountStatus, contents: Contents) -> str:
    mark = "*" if account["account"] == contents.logged_in else ""
    return f"{mark}{sanitize(account['label'])}"


def _row_names(account: AccountStatus, contents: Contents) -> list[str]:
    """Return what stands in front of the rows of an account: its name for the first limit, else that of the limit."""
    others = [f"  {sanitize(limit['limit_name'] or limit['limit_id'])}" for limit in account["limits"][1:]]
    return [_name(account, contents), *others]


def _label_width(labels: Sequence[str], profile: TerminalProfile) -> int:
    widest = max(map(cell_len, labels), default=0)
    room = profile.width // 4 if profile.width < _WIDE else _MAX_LABEL
    return widest if profile.unlimited else min(max(room, _MIN_LABEL), widest)


def _account(
    account: AccountStatus, forecasts: Forecasts, width: int, contents: Contents, profile: TerminalProfile
) -> Iterator[Text]:
    """Yield the rows of an account: one for each window of each limit, the name of what they are about in front."""
    names = _row_names(account, contents)
    for number, (limit, name) in enumerate(zip(account["limits"], names, strict=False)):
        title = Text().append(_fit(name, width, profile), "" if number else "bold")
        alone = "" if number or limit["limit_id"] == MAIN_LIMIT else sanitize(limit["limit_name"] or limit["limit_id"])
        words, seconds = _words(limit, alone), limit["age_seconds"]
        age = f"seen {duration(seconds)} ago" if seconds >= STALE_SECONDS else ""
        style = "bold red" if limit["state"] == "refused" else "yellow"
        for slot, window in limit["windows"].items():
            forecast = forecasts.get(limit["limit_id"], {}).get(slot)
            said = [
                Text(words, style) if words else _outlook(forecast, window, contents.now, profile),
                Text(age, "dim"),
            ]
            said = [each for each in said if each]
            if profile.width < _WIDE:  # there is room for one of them, in the place of the reset
                said = said[:1]
            if not said or profile.width >= _WIDE:
                said = [Text(f"{_resets(window):<13}"), *said]
            line = title.append(" ").append_text(_window(slot, window, forecast, profile)).append("  ")
            line.append_text(Text("  ").join(said)).rstrip()
            yield line
            title, words, age = Text(" " * width), "", ""
        if not limit["windows"]:
            yield title.append(f"  {words or 'no windows reported'}", style if words else "dim")
    if not account["limits"]:
        yield Text().append(_fit(names[0], width, profile), "bold").append("  no limits reported", "dim")


def _words(limit: LimitStatus, name: str) -> str:
    """Return what is to be said of a limit: its name, where it stands alone, and its state, unless it is open."""
    states = {"refused": block_reason(limit), "on_credits": "on credits", "unknown": "unknown"}
    return ", ".join(each for each in (name, sanitize(states.get(limit["state"], ""))) if each)


def _window(slot: str, window: WindowStatus, forecast: WindowForecast | None, profile: TerminalProfile) -> Text:
    """Return the figures of a window: its length, a bar, and what is left."""
    used = window["used_percent"]
    style = level_style(window_level(used, forecast))
    bar = _bar_width(profile)
    full = filled(used, bar)
    return (
        Text(f"{window_length(slot, window['window_minutes']):>4} ")
        .append(profile.glyphs.full * full, style)
        .append(profile.glyphs.empty * (bar - full), "dim")
        .append(f" {left_percent(used):>6} left", style)
    )


def _bar_width(profile: TerminalProfile) -> int:
    return max(6, min(_MAX_BAR, (profile.width - 52) // 2))


def _resets(window: WindowStatus) -> str:
    if window["reset_unseen"]:
        return "reset"
    if window["reset_overdue"]:
        return "due"
    seconds = window["resets_in_seconds"]
    return UNKNOWN if seconds is None else f"in {duration(seconds)}"


def _outlook(forecast: WindowForecast | None, window: WindowStatus, now: float, profile: TerminalProfile) -> Text:
    """Return a few words on how a window will stand: ``dry at 15:40``, ``lasts``; empty where there is no room."""
    if forecast is None or forecast["chance_dry"] is None or profile.width < _WIDE or is_full(window["used_percent"]):
        return Text()
    style, dry_at = level_style(forecast_level(forecast)), forecast["runs_dry_at"]
    if dry_at is None:
        return Text("lasts", style)
    is_likely = forecast["chance_dry"] >= LIKELY
    return Text(f"dry at {clock_time(dry_at, now, profile.zone)}" if is_likely else "likely lasts", style)


# Turns under way


def _turn_rows(contents: Contents, view: View, profile: TerminalProfile) -> Iterator[Text]:
    turns = [
        each
        for each in contents.turns
        if view.account is None or _label_of(each, contents) == contents.labels.get(view.account)
    ]
    used = {row["key"]: row for row in contents.usage["rows"]}
    short = _short_ids(contents)
    several = len({_label_of(each, contents) for each in turns}) > 1 or len(contents.status["accounts"]) > 1
    model_width = max((cell_len(sanitize(turn.model or UNKNOWN)) for turn in turns), default=0)
    account_width = max((cell_len(sanitize(_label_of(turn, contents))) for turn in turns), default=0)
    for turn in turns:
        thread = turn.thread or turn.session
        words = contents.words.get(thread or "")
        row = used.get(thread) if thread else None
        label = sanitize((row and row["name"]) or (words and words["title"]) or short.get(thread or "", UNKNOWN))
        if turn.subagent:
            label = f"{kind_label(turn.subagent)}: {label}"
        is_waiting = turn.first_byte_at is None
        line = Text(f"{_elapsed(contents.now - turn.started_at):>8}  ")
        line.append(f"{'waiting' if is_waiting else 'responding':<10}  ", "yellow" if is_waiting else "green")
        rest = profile.width - cell_len(line.plain)
        columns = [_fit(sanitize(turn.model or UNKNOWN), model_width, profile)]
        if several and profile.width >= _WIDE:
            columns.append(_fit(sanitize(_label_of(turn, contents)), account_width, profile))
        tokens = _tokens(row) if row else 0
        if profile.width >= _VERY_WIDE:
            columns.append(f"{amount(tokens) if tokens else '':>7} {'tokens today' if tokens else '':<12}")
        tail = "  ".join(columns)
        line.append(_fit(label, max(8, rest - cell_len(tail) - 2), profile)).append(f"  {tail}", "dim")
        yield line


def _elapsed(seconds: float) -> str:
    """Return the time since a turn began: ``0:04``, ``12:34``, ``1:02:03``."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _short_ids(contents: Contents) -> dict[str, str]:
    """Return the short ids of all threads that are shown."""
    turns = [turn.thread or turn.session for turn in contents.turns]
    return short_ids(each for each in (*turns, *(row["key"] for row in contents.usage["rows"])) if each)


def _label_of(turn: TurnUnderWay, contents: Contents) -> str:
    return contents.labels.get(turn.account, turn.account)


# What was used today


def _usage_rows(contents: Contents, view: View, profile: TerminalProfile) -> Iterator[Text]:
    rows = list(contents.usage["rows"])
    if view.by_tokens:
        rows.sort(key=lambda row: (row["elsewhere"] or row["pending"], -_tokens(row)))
    most = max((_measure(row, view) for row in rows), default=0.0)
    short = _short_ids(contents)
    figures = [_figures(row) for row in rows]
    tail = max(map(len, figures), default=0)
    bar = _MAX_BAR if profile.width >= _VERY_WIDE else 0
    label = max(8, profile.width - tail - 2 - (bar + 2 if bar else 0))
    if not profile.unlimited:
        label = min(label, 60)
    for row, words in zip(rows, figures, strict=True):
        style = "dim" if row["elsewhere"] or row["pending"] else ""
        line = Text().append(_fit(_row_label(row, short), label, profile), style)
        if bar:
            full = round(bar * _measure(row, view) / most) if most else 0
            line.append("  ").append(profile.glyphs.full * full, "cyan").append(" " * (bar - full))
        yield line.append(f"  {words}")


def _figures(row: UsageRow) -> str:
    points = f"{row['points']:>5.1f} points"
    return points if row["elsewhere"] or row["pending"] else f"{points}  {amount(_tokens(row)):>7} tokens"


def _measure(row: UsageRow, view: View) -> float:
    return float(_tokens(row)) if view.by_tokens else row["points"]


def _tokens(row: UsageRow) -> int:
    return row["input_tokens"] + row["output_tokens"]


def _row_label(row: UsageRow, short: Mapping[str, str]) -> str:
    if row["elsewhere"] or row["pending"]:
        return ELSEWHERE if row["elsewhere"] else PENDING
    if row["key"] is None:
        return "thread not reported"
    return sanitize(row["name"] or row["title"] or short[row["key"]])


# Cells


def _fit(text: str, width: int, profile: TerminalProfile) -> str:
    """Return a text in so many cells, with an ellipsis in the place of what does not fit."""
    if cell_len(text) <= width:
        return text + " " * (width - cell_len(text))
    dots = profile.glyphs.ellipsis
    return set_cell_size(text, max(0, width - len(dots))) + dots


def _cut(line: Text, width: int, profile: TerminalProfile) -> Text:
    if not profile.unlimited and cell_len(line.plain) > width:
        line.truncate(width - len(profile.glyphs.ellipsis))
        line.append(profile.glyphs.ellipsis)
    return line
