"""The text of ``import``."""

from __future__ import annotations

from typing import Any, cast

import pytest

from scripts.render.imports import imported_note, render_import
from store.documents import ImportDocument
from tests.support.factories import NOON
from tests.support.rendering import UTC

WHOLE: dict[str, Any] = {
    "generated_at": NOON,
    "codex_homes": ["/home/ann/.codex"],
    "since": None,
    "dry_run": False,
    "files": 90,
    "bytes": 10**9,
    "sessions": 87,
    "new_turns": 1_204,
    "known_turns": 12,
    "turns_without_account": 0,
    "limits": 300,
    "first_at": NOON - 86_400,
    "last_at": NOON,
    "unfinished_files": 0,
    "damaged_lines": 0,
    "other_providers": 0,
    "interrupted": False,
    "unreadable": [],
}


def shown(**fields: Any) -> list[str]:
    return render_import(cast("ImportDocument", WHOLE | fields), UTC._replace(unlimited=True)).splitlines()


def test_what_was_imported() -> None:
    """One line has turns, sessions, the time, and what was known."""
    assert set(WHOLE) == set(ImportDocument.__annotations__) - {"document_version", "machines_silent"}
    assert shown() == ["Imported 1,204 turns of 87 sessions, from 2026-11-20 12:00 to 2026-11-21 12:00; 12 were known."]
    assert shown(known_turns=0, new_turns=1, sessions=1, dry_run=True) == [
        "Would import 1 turn of 1 session, from 2026-11-20 12:00 to 2026-11-21 12:00."
    ]


@pytest.mark.parametrize(
    ("known", "expected"),
    [(0, "Nothing new: 90 session files."), (12, "Nothing new: 90 session files, 12 turns known.")],
)
def test_nothing_new(known: int, expected: str) -> None:
    """The files are counted."""
    assert shown(new_turns=0, known_turns=known) == [expected]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"turns_without_account": 4}, "4 turns of sessions that name no account: they are kept as the account"),
        ({"other_providers": 1}, "1 session with a model of another provider: left out."),
        ({"unfinished_files": 2}, "2 files whose last line is not complete yet: the next import reads it."),
        ({"damaged_lines": 3}, "3 damaged lines: passed over."),
        ({"interrupted": True}, "Stopped before the end. What was stored stays; codex-tap import goes on from there."),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_notes(fields: dict[str, Any], expected: str) -> None:
    """Whatever was special has a line."""
    assert shown(**fields)[1].startswith(expected)


def test_files_that_could_not_be_read() -> None:
    """The first ones are named, without control characters."""
    unreadable = [{"path": f"/x/{number}\x1b[31m", "reason": "Permission denied"} for number in range(7)]
    lines = shown(unreadable=unreadable)[1:]
    assert lines[0] == "7 files could not be read to the end:"
    assert lines[-1] == "  and 2 more"
    assert (len(lines), "\x1b" in "".join(lines)) == (7, False)


@pytest.mark.parametrize(
    ("imported", "turns", "expected"),
    [
        (0, 219, None),
        (1, 219, "1 of 219 turns is from session files (codex-tap import)."),
        (31, 219, "31 of 219 turns are from session files (codex-tap import)."),
    ],
)
def test_the_note_of_an_answer(imported: int, turns: int, expected: str | None) -> None:
    """It says which part is from an import."""
    assert imported_note(imported, turns) == expected
