"""Spill files: entries that a stop could not write into the database, beside it until the next start imports them.

A spill file is as private as the database and holds JSON lines in the order of arrival: a `Snapshot`, a `Turn` or a
`Sighting` each, at most one transaction's worth, and the losses up to then. It appears whole or not at all. It is
imported once, however many proxies start together or die meanwhile, because the database stores its name in the
transaction that writes its entries (`store.record.writer`).
"""

from __future__ import annotations

import contextlib
import errno
import json
from typing import TYPE_CHECKING, NamedTuple

from store.files import ownership_problem, read_whole, spill_files, spill_path, write_private
from store.models import Sighting, Snapshot, Turn
from store.record.statements import Loss

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from store.record.writer import Entry

MAX_FILES = 40
"""Spill files beside a database that nobody can write."""

MAX_LENGTH = 64 * 1024 * 1024
"""Bytes of a file that is read; a transaction's worth of the largest entries has 20 MB."""


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
        raise OSError(f"{MAX_FILES} files of changes already wait beside {database}")
    lines = [json.dumps(loss._asdict()) for loss in losses]
    lines += [entry.model_dump_json(exclude_defaults=True) for entry in entries]
    path = spill_path(database)
    write_private(path, "".join(f"{line}\n" for line in lines).encode())
    return path


def read(path: Path) -> Spill:
    """Return the content of a file.

    Raises:
        FileNotFoundError: Another proxy has imported it meanwhile.
        OSError: The file cannot be read, is too long, or is a link or another user's.

    """
    problem = ownership_problem(path)
    if problem:
        raise OSError(f"{path} {problem}")
    entries: list[Entry] = []
    losses: list[Loss] = []
    unreadable = 0
    for line in _content(path).splitlines():
        try:
            _parse_line(line, entries, losses)
        except Exception:  # noqa: BLE001 (whatever is wrong with one line, the others are read)
            unreadable += 1
    return Spill(entries, losses, unreadable)


def _content(path: Path) -> bytes:
    try:
        return read_whole(path, MAX_LENGTH)
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        raise OSError(f"{path} is longer than any file that codex-tap writes; move it away") from None


def _parse_line(line: bytes, entries: list[Entry], losses: list[Loss]) -> None:
    found = json.loads(line)
    if "reason" in found:
        losses.append(Loss(float(found["at"]), int(found["number"]), str(found["reason"])))
    elif "transport" in found:
        entries.append(Turn.model_validate(found))
    elif "kind" in found:
        entries.append(Sighting.model_validate(found))
    else:
        entries.append(Snapshot.model_validate(found))


def remove(path: Path) -> None:
    """Delete an imported file; one that cannot be deleted will not be imported again."""
    with contextlib.suppress(OSError):
        path.unlink()
