"""Checks of the database and of the files beside it."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from scripts.maintenance.doctor.check import Check
from scripts.maintenance.doctor.recorded import check_beside, check_database
from store.database import open_writer
from store.models import Sighting, SightingKind
from store.record import spill
from store.record.statements import Loss, insert_losses, save_sightings
from tests.support.databases import damage
from tests.support.factories import NOON, used

if TYPE_CHECKING:
    from pathlib import Path

needs_modes = pytest.mark.skipif(sys.platform == "win32", reason="files have no modes there")


def found(name: str, path: Path, *, now: float = NOON) -> list[Check]:
    """Return the results with one name."""
    return [check for check in check_database(path, now) if check.name == name]


def test_a_database_in_order(path: Path) -> None:
    """The check has its path and its size."""
    assert list(check_database(path, NOON)) == [Check("database", "ok", f"{path}, snapshots: 1, accounts: 1")]


def test_no_database_yet_is_a_note(tmp_path: Path) -> None:
    """It is not a problem before the first turn; the check creates no database."""
    path = tmp_path / "none.sqlite3"
    assert [each.level for each in found("database", path)] == ["note"]
    assert not path.exists()


@needs_modes
def test_a_database_that_others_can_read_is_a_problem(path: Path) -> None:
    """It contains e-mail addresses and the times of use."""
    path.chmod(0o644)
    (check,) = found("database", path)
    assert (check.level, check.advice) == ("problem", f"chmod 600 {path}")


def test_a_file_that_is_not_a_database_is_a_problem(tmp_path: Path) -> None:
    """The message says so."""
    path = tmp_path / "notes.txt"
    path.write_text("dear diary, " * 100)
    (check,) = found("database", path)
    assert (check.level, "is not a SQLite database" in check.message) == ("problem", True)


def test_a_damaged_database_is_a_problem(path: Path) -> None:
    """It is one result, whatever part cannot be read."""
    damage(path)
    assert [each.level for each in check_database(path, NOON)] == ["problem"]


def test_dropped_readings_are_a_note(path: Path) -> None:
    """The note has their number, the reasons and the time; without dropped readings there is none."""
    assert found("dropped", path) == []
    why = "could not be written for too long"
    with closing(open_writer(path)) as connection:
        insert_losses(connection, [Loss(NOON - 7_200, 40_000, why), Loss(NOON - 60, 2, why), Loss(NOON - 70, 1, "x")])

    (check,) = found("dropped", path)

    assert check.level == "note"
    assert check.message == f"changes dropped: 40,003, the last one 1 min ago: {why}; x"


@pytest.mark.parametrize(
    ("kind", "name", "level", "message"),
    [
        (
            SightingKind.HOST,
            "hosts",
            "ok",
            "the server led Codex to other hosts of its own, which are read too: x (3 times, last 5 min ago)",
        ),
        (
            SightingKind.OTHER_HOST,
            "hosts",
            "note",
            "the server led Codex to hosts that are not read: x (3 times, last 5 min ago)",
        ),
        (
            SightingKind.UNKNOWN_FIELD,
            "fields",
            "note",
            "fields that look like limits and are not read: x (3 times, last 5 min ago)",
        ),
        (
            SightingKind.UNKNOWN_LOGIN,
            "logins",
            "note",
            "limits that were not stored, because the login names no account: x (3 times, last 5 min ago)",
        ),
    ],
)
def test_what_was_seen_is_listed(path: Path, kind: SightingKind, name: str, level: str, message: str) -> None:
    """Each kind has a line, with its names, how often they were seen, and when last; without any there is none."""
    assert found(name, path) == []
    with closing(open_writer(path)) as connection:
        save_sightings(connection, [Sighting(kind=kind, name="x", seen_at=NOON - 300 - n) for n in range(3)])
    (check,) = found(name, path)
    assert (check.level, check.message) == (level, message)
    assert (check.advice is None) == (level == "ok")


def test_many_names_are_cut(path: Path) -> None:
    """The latest ten are shown."""
    seen = [Sighting(kind=SightingKind.UNKNOWN_FIELD, name=f"f{n}", seen_at=NOON - n) for n in range(14)]
    with closing(open_writer(path)) as connection:
        save_sightings(connection, seen)
    (check,) = found("fields", path)
    assert "f0 (once, last 0 s ago), f1 " in check.message
    assert check.message.endswith("f9 (once, last 9 s ago), and 4 more")


def test_files_beside_the_database_are_a_note(path: Path) -> None:
    """Old copies can be deleted, and stored readings will be imported."""
    assert list(check_beside(path)) == []
    for end in (".corrupt-20261121-101500", ".corrupt-20261121-101500-wal", ".v1.bak"):
        path.with_name(path.name + end).touch()
    spill.write(path, [used(13)], [])

    copies, waiting = check_beside(path)

    assert copies.message == f"old copies beside the database: {path.name}.corrupt-20261121-101500, {path.name}.v1.bak"
    assert waiting.message == "files with changes that are not in the database yet: 1"
