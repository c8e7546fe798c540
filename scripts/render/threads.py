"""Terminal output of ``threads``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.text import Text

from scripts.render.console import MAX_ROWS, clock_time, label_width, rows_left_out, truncate
from scripts.render.imports import imported_note
from scripts.render.thread_labels import LabelledThread, short_ids, thread_labels
from scripts.support.sanitize import sanitize
from store.analysis.formatting import amount
from store.analysis.thread_tree import TITLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scripts.render.console import TerminalProfile
    from store.documents import ThreadBranch, ThreadEntry

_MAX_TITLE, _GOOD_TITLE, _MIN_TITLE = 48, 28, 20
_MAX_PROJECT, _MIN_PROJECT = 24, 10
_GAP = "  "


class _Column(NamedTuple):
    """A column of the table, with a text for each thread."""

    heading: str
    cells: Sequence[str]
    is_number: bool = False

    @property
    def width(self) -> int:
        return max(map(len, (self.heading, *self.cells)))


def render_threads(
    found: Sequence[ThreadEntry],
    accounts: Mapping[str, str],
    now: float,
    profile: TerminalProfile,
    *,
    all_rows: bool = False,
    others: int = 0,
) -> Text:
    """Show threads with their titles, projects and use, and what else a terminal has room for.

    Args:
        found: the document of ``threads --json``.
        accounts: the label of each account by its key.
        now: Unix seconds.
        profile: the terminal; it shows `MAX_ROWS` threads and the number of the others.
        all_rows: show each thread.
        others: the number of threads that are not among those found.
    """
    shown = found if all_rows or profile.unlimited else found[:MAX_ROWS]
    threads: list[ThreadBranch] = [branch for each in shown for branch in (each, *each["tree"])]
    columns = _columns(threads, accounts, now, profile)
    layout = [f"{'>' if each.is_number else '<'}{each.width}" for each in columns]
    lines = [Text(_line([each.heading for each in columns], layout), "bold")]
    lines += [
        Text(_line(cells, layout), "dim" if each["depth"] else "")
        for each, *cells in zip(threads, *(column.cells for column in columns), strict=True)
    ]
    others += len(found) - len(shown)
    if others:
        lines.append(Text(rows_left_out(others, profile), "dim"))
    note = imported_note(sum(each["imported_turns"] for each in found), sum(each["turns"] for each in found))
    if note:
        lines.append(Text(note, "dim"))
    return Text("\n").join(lines)


def _columns(
    threads: Sequence[ThreadBranch], accounts: Mapping[str, str], now: float, profile: TerminalProfile
) -> list[_Column]:
    """Return the columns that are always there, and as many of the others as leave room for titles."""
    figures = [
        _Column("Turns", [f"{each['turns']:,}" for each in threads], is_number=True),
        _Column("Tokens", [amount(each["input_tokens"] + each["output_tokens"]) for each in threads], is_number=True),
        _Column("Points", [f"{each['points']:.1f}" for each in threads], is_number=True),
    ]
    room = profile.width - _taken(figures) - _MIN_TITLE - _project_room(threads)
    before: list[_Column] = []
    after: list[_Column] = []
    for column, place in (
        (_ids(threads, profile), before),
        (_Column("Last used", [clock_time(each["last_seen_at"], now, profile.zone) for each in threads]), after),
        (_accounts(threads, accounts, profile), after),
        (_Column("Folder", [_folder(each) for each in threads]), after),
    ):
        if any(column.cells) and (profile.unlimited or _taken([*before, *after, column]) <= room):
            place.append(column)
    names = _names(threads, profile.width - _taken([*before, *figures, *after]), profile, has_ids=bool(before))
    return [column for column in (*before, *names, *figures, *after) if any(map(str.strip, column.cells))]


def _taken(columns: Sequence[_Column]) -> int:
    return sum(len(_GAP) + each.width for each in columns)


def _ids(threads: Sequence[ThreadBranch], profile: TerminalProfile) -> _Column:
    short = short_ids(each["thread"] for each in threads)
    ids = {each: sanitize(each) if profile.unlimited else short[each] for each in short}
    return _Column("Thread", ["" if each["thread"] == TITLES else ids[each["thread"]] for each in threads])


def _accounts(threads: Sequence[ThreadBranch], accounts: Mapping[str, str], profile: TerminalProfile) -> _Column:
    """Return the column of accounts, which is empty on a terminal where all threads are one account's."""
    if not profile.unlimited and len({key for each in threads for key in each["accounts"]}) == 1:
        return _Column("", [""] * len(threads))
    return _Column("Account", [", ".join(sanitize(accounts[key]) for key in each["accounts"]) for each in threads])


def _project_room(threads: Sequence[ThreadBranch]) -> int:
    """Return the columns that projects take with the gap before them, 0 where none is known."""
    widest = max((len(each["project"] or "") for each in threads), default=0)
    return len(_GAP) + min(_MAX_PROJECT, max(len("Project"), widest)) if widest else 0


def _folder(thread: ThreadBranch) -> str:
    folder, home = sanitize(thread["folder"] or ""), str(Path.home())
    return f"~{folder.removeprefix(home)}" if folder.startswith((f"{home}/", f"{home}\\")) else folder


def _names(
    threads: Sequence[ThreadBranch], room: int, profile: TerminalProfile, *, has_ids: bool
) -> tuple[_Column, _Column]:
    """Return the columns of titles and projects, with so much room for both; a title stands for an id beside none."""
    projects = [sanitize(each["project"] or "") for each in threads]
    wanted = max(0, _project_room(threads) - len(_GAP))
    limit = sys.maxsize if profile.unlimited else min(wanted, max(_MIN_PROJECT, room // 3, room - _GOOD_TITLE))
    width = label_width(projects, limit, profile.glyphs)
    labels = thread_labels(
        [LabelledThread(each["thread"], each["name"], each["title"], each["kind"], each["depth"]) for each in threads],
        sys.maxsize
        if profile.unlimited
        else min(_MAX_TITLE, max(_MIN_TITLE, room - (len(_GAP) + width if width else 0))),
        profile.glyphs,
        beside_ids=has_ids,
    )
    titles = [labels[each["thread"]] for each in threads]
    return _Column("Title", titles), _Column("Project", [truncate(each, width, profile.glyphs) for each in projects])


def _line(cells: Sequence[str], layout: Sequence[str]) -> str:
    return _GAP.join(map(format, cells, layout)).rstrip()
