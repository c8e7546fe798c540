"""Files of the user's that `install` changes: read, checked, and replaced in one step with their mode kept.

Start-up files of shells are often links into a folder under version control. There the file that the link leads to is
replaced, so that the link and the folder stay what they are.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scripts.support.errors import FAILED, CommandError
from store.files import PARTIAL_SUFFIX, read_whole

_MAX_BYTES = 4_000_000


@dataclass(frozen=True)
class UserFile:
    """A file as it was read; `content` is None if there is none."""

    path: Path
    """The name by which the user knows it, perhaps a link."""

    target: Path
    """The file itself."""

    content: bytes | None
    mode: int

    @classmethod
    def read(cls, path: Path, *, follow_links: bool, new_mode: int) -> UserFile:
        """Read a file, which need not exist.

        Args:
            path: its path.
            follow_links: take the file that a link leads to; otherwise a link is refused.
            new_mode: the mode that the file gets if it is created.

        Raises:
            CommandError: it is not a regular file of the user's, or cannot be read.
        """
        target = path.absolute()
        if target.is_symlink():
            if not follow_links:
                raise CommandError(f"{path} is a link; codex-tap changes only a file", FAILED)
            target = _resolved(target)
        if not os.path.lexists(target):
            return cls(path, target, None, new_mode)
        problem, mode = _examine(target)
        if problem:
            raise CommandError(f"{path} {problem}; codex-tap does not change it", FAILED)
        try:
            content = read_whole(target, _MAX_BYTES)
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}", FAILED) from error
        return cls(path, target, content, mode)

    def replace(self, content: bytes | None) -> None:
        """Write other content in one step; None deletes the file.

        Raises:
            CommandError: the file has changed since it was read, or cannot be written; it is unchanged then.
        """
        if content == self.content:
            return
        try:
            if _is_other_kind(self.target) or _read(self.target) != self.content:
                raise CommandError(f"{self.path} was changed by another program meanwhile; repeat the command", FAILED)
            if content is None:
                self.target.unlink()
            else:
                _write(self.target, content, self.mode)
        except OSError as error:
            raise CommandError(f"{self.path} cannot be written: {error.strerror}", FAILED) from error


def _resolved(link: Path) -> Path:
    try:
        return link.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise CommandError(f"{link} is a link that leads nowhere; codex-tap does not change it", FAILED) from error


def _examine(path: Path) -> tuple[str | None, int]:
    """Return why a file must not be changed, or None, and its mode."""
    try:
        status = path.lstat()
    except OSError as error:
        return f"cannot be examined: {error.strerror}", 0
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file", mode
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        return "belongs to another user", mode
    if status.st_size > _MAX_BYTES:
        return "is too large", mode
    return None, mode


def _read(path: Path) -> bytes | None:
    try:
        return read_whole(path, _MAX_BYTES)
    except FileNotFoundError:
        return None


def _is_other_kind(path: Path) -> bool:
    """Return True if there is something that is not a regular file."""
    return os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode)


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(PARTIAL_SUFFIX, f".{path.name}.", path.parent)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(OSError, AttributeError):  # the group, where the user may give it
            os.chown(partial, -1, path.stat().st_gid)
        partial.chmod(mode)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
