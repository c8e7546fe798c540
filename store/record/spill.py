"""Spill files: entries that a stop could not write into the database, beside it until the next start imports them.

A spill file is as private as the database and holds JSON lines in the order of arrival: a `Snapshot` or a `Turn` each,
at most one transaction's worth, and the losses up to then. It appears whole or not at all. It is imported once, however
many proxies start together or die meanwhile, because the database stores its name in the transaction that writes its
entries (`store.record.writer`).
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

from store.files import PARTIAL_SUFFIX, SPILL_MARK, SPILL_SUFFIX, spill_files
from store.models import Snapshot, Turn
from store.record.statements import Loss

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from store.record.writer import Entry

MAX_FILES = 40
"""Spill files beside a database that nobody can write."""


class Spill(NamedTuple):
    """The content of a file; ``unreadable`` counts lines that this program cannot parse."""

    entries: Sequence[Entry]
    losses: Sequence[Loss]
    unreadable: int


def write(database: Path, entries: Iterable[Entry], losses: Iterable[Loss]) -> Path:
    """Write entries and losses into a new file beside the database; return its path.

    Raises:
        OSError: No space, no permission, or too many files already; nothing was left behind.

    """
    if len(spill_files(database)) >= MAX_FILES:
        raise OSError(f"{MAX_FILES} files of readings already wait beside {database}")
    lines = [json.dumps(loss._asdict()) for loss in losses]
    lines += [entry.model_dump_json(exclude_defaults=True) for entry in entries]
    # Names sort in the order of writing, so that files of one stop follow each other.
    path = database.with_name(f"{database.name}{SPILL_MARK}{time.time_ns()}-{uuid.uuid4().hex[:8]}{SPILL_SUFFIX}")
    unfinished = path.with_name(path.name + PARTIAL_SUFFIX)
    try:
        with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return path


def read(path: Path) -> Spill:
    """Return the content of a file.

    Raises:
        FileNotFoundError: Another proxy has imported it meanwhile.
        OSError: The file cannot be read, or is a link or another user's.

    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or (hasattr(os, "geteuid") and status.st_uid != os.geteuid()):
        raise OSError(f"{path} is a link or another user's")
    entries: list[Entry] = []
    losses: list[Loss] = []
    unreadable = 0
    for line in path.read_bytes().splitlines():
        try:
            _parse_line(line, entries, losses)
        except (ValueError, TypeError, KeyError):
            unreadable += 1
    return Spill(entries, losses, unreadable)


def _parse_line(line: bytes, entries: list[Entry], losses: list[Loss]) -> None:
    found = json.loads(line)
    if "reason" in found:
        losses.append(Loss(float(found["at"]), int(found["number"]), str(found["reason"])))
    elif "transport" in found:
        entries.append(Turn.model_validate(found))
    else:
        entries.append(Snapshot.model_validate(found))


def remove(path: Path) -> None:
    """Delete an imported file; one that cannot be deleted will not be imported again."""
    with contextlib.suppress(OSError):
        path.unlink()
