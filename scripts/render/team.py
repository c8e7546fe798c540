"""Terminal output of ``team``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from scripts.render.console import count
from scripts.support.sanitize import sanitize
from store.analysis import formatting

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from store.documents import SilentMachine, TeamMachinesDocument, TeamPruneDocument, TeamRoleDocument

_NAMED = 5
_CLOCK_SECONDS = 1


def render_machines(document: TeamMachinesDocument) -> Text:
    """Show the machines as a table, the one that was heard last first, and those that never were at the end."""
    heads = ("MACHINE", "LAST HEARD", "SNAPSHOTS", "TURNS", "ACCOUNTS", "NOT SENT", "CLOCK", "VERSION")
    rows = [
        (
            sanitize(each["machine"]),
            f"{formatting.duration(each['silent_seconds'])} ago",
            f"{each['snapshots']:,}",
            f"{each['turns']:,}",
            f"{each['accounts']:,}",
            "?" if each["not_sent"] is None else f"{each['not_sent']:,}",
            _clock(each["clock_offset_seconds"]),
            sanitize(each["version"] or "?"),
        )
        for each in document["machines"]
    ]
    rows += [(sanitize(name), "never", "0", "0", "0", "?", "", "") for name in document["never_heard"]]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = [Text(_line(heads, widths), "bold"), *(Text(_line(row, widths)) for row in rows)]
    return Text("\n").join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    texts = [
        cell.rjust(width) if 2 <= place <= 5 else cell.ljust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(texts).rstrip()


def _clock(offset: float) -> str:
    if abs(offset) < _CLOCK_SECONDS:
        return "right"
    return f"{formatting.duration(abs(offset))} {'behind' if offset > 0 else 'ahead'}"


def silence_line(silent: Iterable[SilentMachine]) -> str:
    """Return the line on machines that were not heard for a while, the last heard first; "" where there is none."""
    found = list(silent)
    if not found:
        return ""
    names = [f"{sanitize(each['machine'])} ({formatting.duration(each['silent_seconds'])})" for each in found[:_NAMED]]
    if len(found) > _NAMED:
        names.append(f"{len(found) - _NAMED:,} more")
    return f"Machines not heard lately, whose use since then is missing here: {', '.join(names)}."


def render_role(document: TeamRoleDocument, variable: str, command: str) -> str:
    """Show a new role's password, this once, and the lines that its machine needs."""
    lines = [f"Made the role {document['role']}."]
    if document["pgpass"]:
        lines += [
            "Its password is shown this once. Put this line into ~/.pgpass there (mode 0600):",
            "",
            f"  {document['pgpass']}",
        ]
    else:
        lines.append("It has no password: pg_hba.conf says how it logs in, with a client certificate, say.")
    lines += [
        "",
        "and name the team's database there:",
        "",
        f"  export {variable}='{document['address']}'",
        f"  {command}",
    ]
    return "\n".join(lines)


def render_prune(document: TeamPruneDocument) -> str:
    """Show the months that are older than what is kept."""
    months, size = document["months"], f"{document['freed_bytes'] / 1_000_000:,.1f} MB"
    if not months:
        return "No month is older than that."
    lines = [f"  {each['month']}  {each['bytes'] / 1_000_000:,.1f} MB" for each in months]
    what = count(len(months), "month")
    if document["deleted"]:
        return "\n".join([f"Dropped {what} ({size}):", *lines])
    return "\n".join([f"Older than that: {what} ({size}).", *lines, "Nothing was dropped. Add --yes to drop it."])
