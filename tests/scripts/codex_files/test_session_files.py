"""Codex's session files, found by name and time."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import pytest

from scripts.codex_files.session_files import SessionFile, all_sessions, newest_sessions
from tests.support.factories import NOON

if TYPE_CHECKING:
    from pathlib import Path


def thread(number: int) -> str:
    """Return the id of a thread."""
    return str(uuid.UUID(int=number))


def write_session(
    home: Path, thread: str, written_at: float, *, folder: str = "sessions/2026/11/21", end: str = ".jsonl"
) -> SessionFile:
    """Write a session file that was last written at a time."""
    path = home / folder / f"rollout-2026-11-21T12-00-00-{thread}{end}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("private")
    os.utime(path, (written_at, written_at))
    os.utime(path.parent, (NOON - 9_000, NOON - 9_000))
    return SessionFile(thread, written_at)


def found(home: Path, *, seconds: float = 30) -> list[SessionFile]:
    return newest_sessions(home, 3, seconds=seconds)


def test_the_latest_sessions_come_first(tmp_path: Path) -> None:
    """One that is resumed stays in the folder of its first day, and one that is archived moves."""
    threads = [thread(number) for number in range(5)]
    resumed = write_session(tmp_path, threads[0], NOON, folder="sessions/2025/01/02")
    archived = write_session(tmp_path, threads[1], NOON - 20, folder="archived_sessions")
    today = write_session(tmp_path, threads[2], NOON - 10)
    write_session(tmp_path, threads[3], NOON - 30, folder="sessions/2026/11/20")
    write_session(tmp_path, threads[4], NOON - 40, folder="sessions/2026/2/1")
    assert found(tmp_path) == [resumed, today, archived]


@pytest.mark.parametrize(
    ("changed_at", "count"),
    [(NOON - 0.5, 0), (NOON + 0.5, 0), (NOON - 1.5, 1), (NOON + 60, 1)],
    ids=["a fork", "taken out of the archive", "a short turn", "another session came later"],
)
def test_a_file_that_was_only_put_there_has_no_turn(tmp_path: Path, changed_at: float, count: int) -> None:
    """Its time is that of the last change of its folder."""
    write_session(tmp_path, thread(1), NOON)
    os.utime(tmp_path / "sessions/2026/11/21", (changed_at, changed_at))
    assert len(found(tmp_path)) == count


def test_other_names_are_ignored(tmp_path: Path) -> None:
    """A compressed file was not written by a turn."""
    write_session(tmp_path, thread(1), NOON, end=".jsonl.zst")
    write_session(tmp_path, thread(1), NOON, folder="sessions/2026/11/notes")
    write_session(tmp_path, "no-thread", NOON)
    (tmp_path / "sessions" / "2026" / "12").touch()
    assert found(tmp_path) == []


def test_no_sessions(tmp_path: Path) -> None:
    """A missing folder is as good as an empty one."""
    assert found(tmp_path / "nowhere") == []


def test_the_search_ends_with_its_time(tmp_path: Path) -> None:
    """However many files there are."""
    write_session(tmp_path, thread(1), NOON)
    assert found(tmp_path, seconds=-1) == []


def test_all_sessions(tmp_path: Path) -> None:
    """Those of all days and of the archive, compressed ones too, by their names; links are not followed."""
    plain = tmp_path / "sessions/2026/11/21" / f"rollout-2026-11-21T12-00-00-{thread(1)}.jsonl"
    packed = tmp_path / "sessions/2025/01/02" / f"rollout-2025-01-02T12-00-00-{thread(2)}.jsonl.zst"
    archived = tmp_path / "archived_sessions" / f"rollout-2026-11-20T12-00-00-{thread(3)}.jsonl"
    for path in (plain, packed, archived):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("private")
    (archived.parent / "notes.txt").write_text("private")
    if os.name == "posix":
        os.mkfifo(archived.parent / f"rollout-2026-11-20T12-00-00-{thread(4)}.jsonl")
        (archived.parent / f"rollout-2026-11-20T12-00-00-{thread(5)}.jsonl").symlink_to(plain)
        (tmp_path / "sessions" / "elsewhere").symlink_to(archived.parent)

    paths = all_sessions(tmp_path)
    assert [each.path for each in paths.found] == [str(packed), str(archived), str(plain)]
    assert [(each.thread, each.size, each.is_compressed) for each in paths.found] == [
        (thread(2), 7, True),
        (thread(3), 7, False),
        (thread(1), 7, False),
    ]
    assert paths.unreadable == []
    assert all_sessions(tmp_path / "nowhere") == ([], [])


def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    """It is named, and the others are read."""
    write_session(tmp_path, thread(1), NOON, folder="archived_sessions")
    (tmp_path / "sessions").write_text("a file in the place of a folder")
    paths = all_sessions(tmp_path)
    assert [each.thread for each in paths.found] == [thread(1)]
    assert [path for path, _ in paths.unreadable] == [str(tmp_path / "sessions")]
