"""The files beside the database: their names, private creation, quarantine and copies."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from pathlib import Path

from store.errors import DatabaseError, FullError, Inode

SPILL_MARK, SPILL_SUFFIX = ".unwritten-", ".jsonl"
"""What the names of files of readings have behind the database's name, and at their end."""

PARTIAL_SUFFIX = ".part"
"""What the name of a file has at its end until all of it is written."""


def create_private(path: Path) -> None:
    """Create the file with mode 0600 and its folder with mode 0700 where they are not there yet.

    Raises:
        DatabaseError: It cannot be created, or what is there is a link, no file, or another user's.
        FullError: There is no room for it.

    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        status = path.lstat()
    except OSError as error:
        kind = FullError if error.errno in _NO_SPACE else DatabaseError
        raise kind(f"{path} cannot be created: {error.strerror or error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise DatabaseError(f"{path} is a link or no file; name the database's real path")
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        raise DatabaseError(f"{path} belongs to another user; put the database elsewhere with CODEX_TAP_DB")


def inode(path: Path) -> Inode | None:
    """Return what tells one file from another at the same path; None where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def quarantine(path: Path, damaged: Inode | None) -> Path | None:
    """Rename a damaged database and its companions; return the new name.

    It is left alone, and None returned, where it is not the damaged file any more: another proxy may have been first.

    Raises:
        DatabaseError: It cannot be renamed.

    """
    aside = free_name(path.with_name(f"{path.name}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}"))
    if damaged is None or inode(path) != damaged:
        return None
    try:
        # The file itself goes last: a new one must not find the log of the old one and take it for its own.
        for companion in COMPANION_SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                Path(f"{path}{companion}").rename(f"{aside}{companion}")
        path.rename(aside)
    except OSError as error:
        raise DatabaseError(f"{path} is damaged and cannot be set aside: {error.strerror or error}") from error
    return aside


def backup_files(path: Path) -> list[Path]:
    """Return what was set aside, or copied before a migration, and has lain beside the database since."""
    found = [*_beside(path, f"{path.name}.corrupt-"), *_beside(path, f"{path.name}.v")]
    return [each for each in found if not each.name.endswith(COMPANION_SUFFIXES)]


def spill_files(path: Path) -> list[Path]:
    """Return the files of readings that stops have left beside the database, oldest first (`store.record.spill`)."""
    return _beside(path, f"{path.name}{SPILL_MARK}", SPILL_SUFFIX)


def partial_files(path: Path) -> list[Path]:
    """Return the files beside the database that were not written to their end, which a crash may have left there."""
    return _beside(path, path.name, PARTIAL_SUFFIX)


def _beside(path: Path, start: str, end: str = "") -> list[Path]:
    try:
        found = sorted(path.parent.iterdir())
    except OSError:
        return []
    return [each for each in found if each.name.startswith(start) and each.name.endswith(end)]


COMPANION_SUFFIXES = ("-wal", "-shm")
"""What the names of the files have at their end that SQLite keeps beside a database: its log, and the log's index."""

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def free_name(wanted: Path) -> Path:
    """Return the name, with a number behind it if there is such a file."""
    found, number = wanted, 0
    while os.path.lexists(found):
        number += 1
        found = wanted.with_name(f"{wanted.name}-{number}")
    return found
