"""The folder of Codex's files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def codex_home(environ: Mapping[str, str]) -> Path:
    """Return the folder named by ``CODEX_HOME``, or ``.codex`` in the user's home; it need not exist.

    Raises:
        RuntimeError: the user has no home folder.

    """
    home = environ.get("CODEX_HOME")
    return Path(home) if home else Path.home() / ".codex"


def state_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of Codex's databases: the one named by ``CODEX_SQLITE_HOME``, or that of Codex's files.

    Raises:
        RuntimeError: the user has no home folder.

    """
    named = environ.get("CODEX_SQLITE_HOME")
    return Path(named) if named else codex_home(environ)
