"""Codex's session files, found by name and time."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import pytest

from scripts.maintenance.doctor.session_files import SessionFile, newest_sessions
from tests.support.factories import NOON

if TYPE_CHECKING:
    from pathlib import Path


def thread_of(created_at: float, number: int = 0) -> str:
    """Return a thread's id as Codex makes them: a UUID of version 7, which begins with its time."""
    milliseconds = int(created_at * 1000)
    return str(uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | 0x8 << 60 | number))


def write_session(
    home: Path, thread: str, written_at: float, *, folder: str = "sessions/2026/11/21", end: str = ".jsonl"
) -> SessionFile:
    """Write a session file that was last written at a time."""
    path = home / folder / f"rollout-2026-11-21T12-00-00-{thread}{end}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("private")
    os.utime(path, (written_at, written_at))
    return SessionFile(thread, written_at)


def found(home: Path, *, seconds: float = 30) -> list[SessionFile]:
    return newest_sessions(home, 3, seconds=seconds)


def test_the_latest_sessions_come_first(tmp_path: Path) -> None:
    """One that is resumed stays in the folder of its first day, and one that is archived moves."""
    threads = [thread_of(NOON - 9_000, number) for number in range(5)]
    resumed = write_session(tmp_path, threads[0], NOON, folder="sessions/2025/01/02")
    archived = write_session(tmp_path, threads[1], NOON - 20, folder="archived_sessions")
    today = write_session(tmp_path, threads[2], NOON - 10)
    write_session(tmp_path, threads[3], NOON - 30, folder="sessions/2026/11/20")
    write_session(tmp_path, threads[4], NOON - 40, folder="sessions/2026/2/1")
    assert found(tmp_path) == [resumed, today, archived]


@pytest.mark.parametrize(
    ("created_at", "count"),
    [(NOON - 0.5, 0), (NOON - 1.5, 1), (NOON + 60, 1)],
    ids=["a fork without a turn", "a short turn", "a clock that was set back"],
)
def test_a_file_that_was_written_once_has_no_turn(tmp_path: Path, created_at: float, count: int) -> None:
    """Codex writes the file of a fork when it creates it."""
    write_session(tmp_path, thread_of(created_at), NOON)
    assert len(found(tmp_path)) == count


def test_a_thread_of_another_form_is_a_session(tmp_path: Path) -> None:
    """Older versions of Codex made random ids, which have no time."""
    session = write_session(tmp_path, "0b5a7c9e-1111-4222-8333-0123456789ab", NOON)
    assert found(tmp_path) == [session]


def test_other_names_are_ignored(tmp_path: Path) -> None:
    """A compressed file was not written by a turn."""
    write_session(tmp_path, thread_of(NOON - 90), NOON, end=".jsonl.zst")
    write_session(tmp_path, thread_of(NOON - 90), NOON, folder="sessions/2026/11/notes")
    write_session(tmp_path, "no-thread", NOON)
    (tmp_path / "sessions" / "2026" / "12").touch()
    assert found(tmp_path) == []


def test_no_sessions(tmp_path: Path) -> None:
    """A missing folder is as good as an empty one."""
    assert found(tmp_path / "nowhere") == []


def test_the_search_ends_with_its_time(tmp_path: Path) -> None:
    """However many files there are."""
    write_session(tmp_path, thread_of(NOON - 90), NOON)
    assert found(tmp_path, seconds=-1) == []
