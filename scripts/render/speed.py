"""Terminal output of ``speed``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.text import Text

from scripts.render.console import truncate, wrapped
from scripts.support.sanitize import sanitize
from store.analysis.account_limits import label
from store.analysis.formatting import amount, clock_time, whole
from store.analysis.speed_text import in_seconds, rate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scripts.render.console import TerminalProfile
    from store.documents import SpeedDocument, SpeedFigures, SpeedQuantiles

_STYLES = {"slower": "red", "faster": "green", "usual": "green", "unknown": "dim"}
_NOT_REPORTED = {"model": "not reported", "effort": "not reported", "tier": "standard"}
_MAX_LABEL, _MIN_LABEL = 28, 8
_NONE = "-"


class _Column(NamedTuple):
    """A column: its heading, the text of its cell, and how soon it goes where there is no room (0: never)."""

    heading: str
    cell: Callable[[SpeedFigures], str]
    goes: int = 0


_COLUMNS = (
    _Column("Turns", lambda row: amount(row["turns"])),
    _Column("First byte", lambda row: _median(row["first_byte_seconds"], in_seconds)),
    _Column("95 %", lambda row: _slow(row["first_byte_seconds"], in_seconds), 3),
    _Column("usual", lambda row: _median(row["usual"]["first_byte_seconds"], in_seconds), 8),
    _Column("In all", lambda row: _median(row["seconds"], in_seconds), 6),
    _Column("95 %", lambda row: _slow(row["seconds"], in_seconds), 2),
    _Column("usual", lambda row: _median(row["usual"]["seconds"], in_seconds), 1),
    _Column("Tokens/s", lambda row: _median(row["tokens_per_second"], rate)),
    _Column("usual", lambda row: _median(row["usual"]["tokens_per_second"], rate), 7),
    _Column("Input", lambda row: _NONE if row["input_tokens"] is None else amount(whole(row["input_tokens"])), 4),
    _Column("Failed", lambda row: _count(row["failed"]), 9),
    _Column("Refused", lambda row: _count(row["refused"]), 3),
    _Column("Cut off", lambda row: _count(row["interrupted"]), 2),
    _Column("Rerouted", lambda row: _count(row["rerouted"]), 5),
)


def render_speed(document: SpeedDocument, profile: TerminalProfile) -> Text:
    """Show the document of ``speed --json``: is it slow now, a line for each row, and notes."""
    now = document["now"]
    head, *more = now["text"]
    lines = [
        *(Text(line, _style(document)) for line in wrapped(head, profile)),
        *(Text(line) for sentence in more for line in wrapped(sentence, profile)),
        Text(""),
        *_table(document, profile),
    ]
    notes = [Text(line, "dim") for note in _notes(document) for line in wrapped(note, profile)]
    return Text("\n").join([*lines, *([Text("")] if notes else []), *notes])


def _style(document: SpeedDocument) -> str:
    now = document["now"]
    return f"bold {'yellow' if now['is_own'] else 'red' if now['more_failures'] else _STYLES[now['verdict']]}"


def _table(document: SpeedDocument, profile: TerminalProfile) -> list[Text]:
    by = document["by"]
    rows: list[tuple[str, SpeedFigures, str]] = [
        (sanitize(row["key"] or _NOT_REPORTED.get(by, _NONE)), row, "") for row in document["rows"]
    ]
    rows.append(("total", document["total"], "bold"))
    labels = [by.capitalize(), *(name for name, *_ in rows)]
    wanted = min(_MAX_LABEL, max(map(len, labels)))
    columns = _fitting([row for _, row, _ in rows], wanted, profile)
    room = profile.width - sum(2 + width for _, width in columns)
    width = wanted if profile.unlimited else max(_MIN_LABEL, min(wanted, room))
    head = _line(by.capitalize(), width, [column.heading for column, _ in columns], columns)
    head.stylize("bold")
    return [
        head,
        *(
            Text.assemble(
                (_line(truncate(name, width, profile.glyphs), width, [c.cell(row) for c, _ in columns], columns)),
                style=style,
            )
            for name, row, style in rows
        ),
    ]


def _fitting(rows: Sequence[SpeedFigures], label_width: int, profile: TerminalProfile) -> list[tuple[_Column, int]]:
    """Return the columns that fit beside the labels, with their widths: those that matter least go first."""
    columns = [
        (column, max(len(column.heading), *(len(column.cell(row)) for row in rows)))
        for column in _COLUMNS
        if not column.goes or any(column.cell(row) != _NONE for row in rows)
    ]
    while not profile.unlimited and label_width + sum(2 + width for _, width in columns) > profile.width:
        leaving = min((column.goes for column, _ in columns if column.goes), default=0)
        if not leaving:
            break
        columns = [each for each in columns if each[0].goes != leaving]
    return columns


def _line(name: str, width: int, cells: Sequence[str], columns: Sequence[tuple[_Column, int]]) -> Text:
    parts = [f"{name:<{width}}", *(f"{cell:>{each}}" for cell, (_, each) in zip(cells, columns, strict=True))]
    return Text("  ".join(parts).rstrip())


def _median(found: SpeedQuantiles, written: Callable[[float], str]) -> str:
    return _NONE if found["median"] is None else written(found["median"])


def _slow(found: SpeedQuantiles, written: Callable[[float], str]) -> str:
    return _NONE if found["slow"] is None else written(found["slow"])


def _count(number: int) -> str:
    return amount(number) if number else _NONE


def _notes(document: SpeedDocument) -> list[str]:
    """Return what the table is about, and the errors of failed turns."""
    accounts, total = document["accounts"], document["total"]
    who = label(accounts[0]) if len(accounts) == 1 else f"{len(accounts)} accounts"
    since, until = clock_time(document["since"]), clock_time(document["until"])
    notes = [f"Medians of {who}, {since} to {until}; usual: the same hours of the 28 days of UTC before."]
    if total["errors"]:
        errors = ", ".join(f"{name} {number:,}" for name, number in total["errors"].items())
        notes.append(f"Failed: {errors}.")
    if total["refused"]:
        notes.append("Refused: by the limits, not by a failure.")
    if total["interrupted"]:
        notes.append("Cut off: the end was never seen; the client or the network ended the turn.")
    if total["rerouted"]:
        notes.append("Rerouted: another model responded than the requested one.")
    return notes
