"""Terminal output of ``import``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.render.console import count, wrapped
from scripts.support.sanitize import sanitize
from store.analysis import formatting

if TYPE_CHECKING:
    from scripts.render.console import TerminalProfile
    from store.documents import ImportDocument

_MAX_LISTED = 5
"""Files that are named which could not be read."""


def render_import(document: ImportDocument, profile: TerminalProfile) -> str:
    """Show what was imported, and what to know of it."""
    notes = [line for note in _notes(document) for line in wrapped(note, profile)]
    return "\n".join([*wrapped(_summary(document, profile), profile), *notes, *_unreadable(document)])


def imported_note(imported: int, turns: int) -> str | None:
    """Return a sentence on the turns that are from session files; None if there are none."""
    if not imported:
        return None
    verb = "is" if imported == 1 else "are"
    return f"{imported:,} of {count(turns, 'turn')} {verb} from session files (codex-tap import)."


def _summary(document: ImportDocument, profile: TerminalProfile) -> str:
    known = f"; {document['known_turns']:,} were known" if document["known_turns"] else ""
    if not document["new_turns"]:
        known = f", {count(document['known_turns'], 'turn')} known" if document["known_turns"] else ""
        return f"Nothing new: {count(document['files'], 'session file')}{known}."
    first, last = (
        formatting.clock_time(at, profile.zone) for at in (document["first_at"] or 0, document["last_at"] or 0)
    )
    done = "Would import" if document["dry_run"] else "Imported"
    turns, sessions = count(document["new_turns"], "turn"), count(document["sessions"], "session")
    return f"{done} {turns} of {sessions}, from {first} to {last}{known}."


def _notes(document: ImportDocument) -> list[str]:
    notes = []
    if document["turns_without_account"]:
        notes.append(
            f"{count(document['turns_without_account'], 'turn')} of sessions that name no account: they are kept as the"
            " account session-files. If all of them are one account's, add them to it:"
        )
        notes.append("codex-tap accounts merge ACCOUNT session-files")
    if document["other_providers"]:
        notes.append(f"{count(document['other_providers'], 'session')} with a model of another provider: left out.")
    if document["unfinished_files"]:
        notes.append(
            f"{count(document['unfinished_files'], 'file')} whose last line is not complete yet: the next import"
            " reads it."
        )
    if document["damaged_lines"]:
        notes.append(f"{count(document['damaged_lines'], 'damaged line')}: passed over.")
    if document["interrupted"]:
        notes.append("Stopped before the end. What was stored stays; codex-tap import goes on from there.")
    return notes


def _unreadable(document: ImportDocument) -> list[str]:
    found = document["unreadable"]
    if not found:
        return []
    lines = [f"  {sanitize(each['path'])}: {sanitize(each['reason'])}" for each in found[:_MAX_LISTED]]
    more = len(found) - len(lines)
    return [
        f"{count(len(found), 'file')} could not be read to the end:",
        *lines,
        *([f"  and {more} more"] if more else []),
    ]
