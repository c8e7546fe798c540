"""Projects: the repository, or else the folder, that a thread works in.

The key of a project is host and path of its git remote (``git.example/acme/shop``), else the path of a folder.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PORT = re.compile(r":[0-9]+(?=/)")
_SEPARATORS = re.compile(r"[/\\]+")
_WORKTREE = re.compile(r"gitdir:\s*(?P<root>.+)[/\\]\.git[/\\]worktrees[/\\][^/\\]+")
_MAX_PARENTS = 40
_MAX_GIT_FILE = 4096


def remote_project(url: str) -> str | None:
    """Return the key of the project with a git remote: without a login, a port and ``.git``; None if it has none."""
    plain = re.split("[?#]", url)[0].removeprefix("file://").rstrip("/\\").removesuffix(".git").rstrip("/\\")
    if plain.startswith(("/", ".")) or "\\" in plain or PureWindowsPath(plain).drive:
        return plain or None
    scheme, _, address = plain.rpartition("://")
    host_and_path = address.rpartition("@")[2]
    host_and_path = _PORT.sub("", host_and_path, count=1) if scheme else host_and_path.replace(":", "/", 1)
    host, _, path = host_and_path.partition("/")
    path = path.strip("/")
    return f"{host.lower()}/{path}" if host and path else None


def repository_root(folder: str) -> str | None:
    """Return the root of the repository that a folder is in, the main one's for a worktree; None if it is not found.

    ``.git`` is looked up in the folder and its parents, and nowhere on another machine.
    """
    path = Path(folder)
    if not path.is_absolute() or folder.startswith(("\\\\", "//")):
        return None
    return next((root for each in [path, *path.parents][:_MAX_PARENTS] if (root := _root_at(each))), None)


def _root_at(folder: Path) -> str | None:
    git = folder / ".git"
    try:
        mode = git.stat().st_mode
        if not stat.S_ISREG(mode):
            return str(folder) if stat.S_ISDIR(mode) else None
        with git.open("rb") as file:
            content = file.read(_MAX_GIT_FILE).decode("utf-8", "replace")
    except (OSError, ValueError):
        return None
    # The file in a worktree names a folder of the main repository.
    match = _WORKTREE.match(content.strip())
    return match["root"] if match else str(folder)


def short_names(projects: Iterable[str]) -> dict[str, str]:
    """Return for each key the shortest end of it that no other key has: ``shop``, or ``acme/shop`` and ``old/shop``."""
    parts = {key: [part for part in _SEPARATORS.split(key) if part] or [key] for key in projects}
    lengths = dict.fromkeys(parts, 1)
    longer = list(parts)
    while longer:
        keys: dict[tuple[str, ...], list[str]] = {}
        for key, length in lengths.items():
            keys.setdefault(tuple(parts[key][-length:]), []).append(key)
        longer = [key for same in keys.values() if len(same) > 1 for key in same if lengths[key] < len(parts[key])]
        for key in longer:
            lengths[key] += 1
    home = str(Path.home())
    return {
        key: "~" if key == home else "/".join(parts[key][-length:]) if length < len(parts[key]) else key
        for key, length in lengths.items()
    }
