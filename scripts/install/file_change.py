"""A planned change of a file of the user's: shown first, carried out later, and recorded for its undoing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from scripts.install import marked_block
from scripts.install.user_files import UserFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_NEW_MODE = 0o644


class FileChange(NamedTuple):
    """A file, its content afterwards (None: no file), and lines of the user's that were found in the block."""

    file: UserFile
    after: bytes | None
    edited: tuple[bytes, ...] = ()

    @property
    def is_needed(self) -> bool:
        """Return True if the file is not yet what it is to be."""
        return self.after != self.file.content


def plan_block(path: Path, lines: Sequence[str], recorded: Sequence[str] | None) -> FileChange:
    """Return the change that puts a block at the end of a start-up file, in place of an earlier one.

    Args:
        path: the file, which may be a link.
        lines: the lines of the block.
        recorded: the lines of the earlier block, as they were written; None if that is not known.

    Raises:
        CommandError: the file is not the user's to change.
    """
    file = UserFile.read(path, follow_links=True, new_mode=_NEW_MODE)
    content, edited = file.content, tuple[bytes, ...]()
    if content is not None and marked_block.has_block(content):
        content, edited = marked_block.take_out(content, _encoded(recorded))
    return FileChange(file, marked_block.put(content, [os.fsencode(line) for line in lines]), edited)


def plan_removal(path: Path, recorded: Sequence[str] | None) -> FileChange:
    """Return the change that takes the block out of a start-up file again.

    Raises:
        CommandError: the file is not the user's to change.
    """
    file = UserFile.read(path, follow_links=True, new_mode=_NEW_MODE)
    if file.content is None or not marked_block.has_block(file.content):
        return FileChange(file, file.content)
    return FileChange(file, *marked_block.take_out(file.content, _encoded(recorded)))


def _encoded(lines: Sequence[str] | None) -> list[bytes] | None:
    return None if lines is None else [os.fsencode(line) for line in lines]
