"""Codex's state database, ``state_5.sqlite`` as of Codex 0.169.0: read without writing it or creating a file.

Codex writes the database in WAL mode. SQLite creates the two companion files even for a connection that only reads, so
how the database is opened depends on them:

- Both are there: Codex is at work, or was killed. A connection with ``mode=ro`` sees what Codex sees, and writes
  nothing but the marks of readers in the index of the log, which is shared memory.
- One is missing: no Codex has the database open, and ``immutable=1`` reads the file alone. If the file has changed
  meanwhile, because a Codex was started, it is read again.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from store.files import sqlite_uri

if TYPE_CHECKING:
    from collections.abc import Callable

_Found = TypeVar("_Found")

_NAME = re.compile(r"state_([0-9]{1,6})\.sqlite", re.ASCII)
_TRIES = 3
_LOCK_SECONDS = 0.2
_CHECKED_STEPS, _MAX_STEPS = 10_000, 50_000_000
"""SQLite's own instructions between two checks, and in all: a crafted file may define a query that never ends."""


def read_state(folder: Path, read: Callable[[sqlite3.Connection], _Found]) -> _Found | None:
    """Return what `read` returns for the newest state database in a folder; None if there is none, or it is unreadable.

    `read` may be called several times. In texts that are not UTF-8, replacement characters stand for what is not.
    """
    path = state_path(folder)
    if path is None:
        return None
    for _ in range(_TRIES):
        before = _file_state(path)
        if before is None:
            return None
        found = _read(path, read, is_in_use=before.is_in_use)
        if before.is_in_use or _file_state(path) == before:
            return found
    return None


class _FileState(NamedTuple):
    """Whether a Codex may have the database open, and what changes when its file is written."""

    is_in_use: bool
    size: int
    written_at: int


def state_path(folder: Path) -> Path | None:
    """Return the path of the database with the highest number; None if there is none."""
    with contextlib.suppress(OSError):
        numbers = [int(match[1]) for each in folder.iterdir() if (match := _NAME.fullmatch(each.name))]
        if numbers:
            return (folder / f"state_{max(numbers)}.sqlite").absolute()
    return None


def _file_state(path: Path) -> _FileState | None:
    try:
        status = path.stat()
        is_in_use = all(Path(f"{path}{suffix}").exists() for suffix in ("-wal", "-shm"))
    except OSError:
        return None
    # Opening a pipe would wait for a writer.
    return _FileState(is_in_use, status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def _read(path: Path, read: Callable[[sqlite3.Connection], _Found], *, is_in_use: bool) -> _Found | None:
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_connect(path, is_in_use=is_in_use)) as connection:
        connection.text_factory = lambda content: content.decode("utf-8", "replace")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA query_only = ON")
        checks = iter(range(_MAX_STEPS // _CHECKED_STEPS))
        connection.set_progress_handler(lambda: next(checks, None) is None, _CHECKED_STEPS)
        return read(connection)
    return None


def _connect(path: Path, *, is_in_use: bool) -> sqlite3.Connection:
    mode = "mode=ro" if is_in_use else "mode=ro&immutable=1"
    return sqlite3.connect(sqlite_uri(path, mode), uri=True, timeout=_LOCK_SECONDS, isolation_level=None)
