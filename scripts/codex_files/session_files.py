"""Codex's session files, by their names and the times at which they were last written; no file is opened.

A session is ``sessions/YEAR/MONTH/DAY/rollout-TIME-THREAD.jsonl`` in CODEX_HOME, and is moved to ``archived_sessions``
when it is archived; a compressed one ends in ``.jsonl.zst``. Only regular files count, a link or a pipe is none. As
observed with Codex 0.169.0, each turn writes the file, and a session that is only opened is not written. Two times say
nothing about turns: a fork is written when it is created, and a session that is taken out of the archive gets the time
at which that was done. Both are the time of the last change of the folder.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import re
import time
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAME = re.compile(
    r"rollout-.+-([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.jsonl(\.zst)?", re.ASCII
)
_FIRST_FOLDERS = 3
_PUT_THERE_SECONDS = 1.0


class SessionFile(NamedTuple):
    """The file of a session: its thread, and when it was last written (Unix seconds)."""

    thread: str
    written_at: float


class SessionPath(NamedTuple):
    """The path of a session's file, its thread, its size in bytes, and when it was last written (Unix seconds)."""

    path: str
    thread: str
    size: int
    written_at: float

    @property
    def is_compressed(self) -> bool:
        """Whether the file is compressed with Zstandard."""
        return self.path.endswith(".zst")


class SessionPaths(NamedTuple):
    """All session files of a home in the order of their names, and the folders and files that could not be looked at.

    ``unreadable`` has the path and the reason of each.
    """

    found: list[SessionPath]
    unreadable: list[tuple[str, str]]


def all_sessions(home: Path) -> SessionPaths:
    """Return the session files of a CODEX_HOME; folders that are links are not followed."""
    paths = SessionPaths([], [])
    for top in ("sessions", "archived_sessions"):
        _collect(str(home / top), paths)
    # A name begins with the time at which the session began.
    paths.found.sort(key=lambda each: os.path.basename(each.path))  # noqa: PTH119 (there may be 100,000)
    return paths


def _collect(folder: str, paths: SessionPaths) -> None:
    """Collect the session files of a folder and of those in it; a folder that is not there has none."""
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif entry.is_file(follow_symlinks=False) and (match := _NAME.fullmatch(entry.name)):
                        with contextlib.suppress(FileNotFoundError):  # it was moved meanwhile
                            status = entry.stat(follow_symlinks=False)
                            paths.found.append(SessionPath(entry.path, match[1], status.st_size, status.st_mtime))
        except FileNotFoundError:
            continue
        except OSError as error:
            paths.unreadable.append((place, error.strerror or type(error).__name__))


def newest_sessions(home: Path, number: int, *, seconds: float) -> list[SessionFile]:
    """Return the sessions with the latest turns, the latest first.

    Args:
        home: CODEX_HOME.
        number: at most so many are returned.
        seconds: after this time the remaining folders, which are the oldest, are left out.
    """
    deadline = time.monotonic() + seconds
    days = _day_folders(home / "sessions")
    # A session that is resumed continues in the folder of the day on which it was created.
    folders = chain(islice(days, _FIRST_FOLDERS), [str(home / "archived_sessions")], days)
    return heapq.nlargest(number, _sessions(folders, deadline), key=lambda each: each.written_at)


def _day_folders(folder: Path) -> Iterator[str]:
    """Yield the folders of days, the latest first."""
    for year in _numbered_folders(str(folder)):
        for month in _numbered_folders(year):
            yield from _numbered_folders(month)


def _numbered_folders(folder: str) -> list[str]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        names = sorted((each.name for each in entries if each.name.isdigit()), reverse=True)
        return [os.path.join(folder, name) for name in names]  # noqa: PTH118 (there may be thousands)
    return []


def _sessions(folders: Iterator[str], deadline: float) -> Iterator[SessionFile]:
    for folder in folders:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            changed_at = os.stat(folder).st_mtime  # noqa: PTH116 (there may be thousands)
            for entry in entries:
                if time.monotonic() > deadline:
                    return
                found = _session(entry, changed_at)
                if found:
                    yield found


def _session(entry: os.DirEntry[str], changed_at: float) -> SessionFile | None:
    """Return the session of a file in a folder that was last changed at a time (Unix seconds), or None."""
    match = _NAME.fullmatch(entry.name)
    if match is None or match[2]:  # it was written last when it was compressed
        return None
    try:
        written_at = entry.stat(follow_symlinks=False).st_mtime
    except OSError:  # it was moved meanwhile
        return None
    return None if abs(written_at - changed_at) < _PUT_THERE_SECONDS else SessionFile(match[1], written_at)
