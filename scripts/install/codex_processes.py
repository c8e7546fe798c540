"""The processes of the user that may still use the always-on service and its certificates."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

_CODEX = "codex"


def processes_using(path: Path, proc: Path = Path("/proc")) -> list[int] | None:
    """Return the processes whose environment names a file, and every Codex: it sets variables that nobody else sees.

    Args:
        path: the file.
        proc: the folder in which Linux shows its processes.

    Returns:
        Their process ids in order; None where the system does not tell.
    """
    if not sys.platform.startswith("linux") or not proc.is_dir():
        return None
    found = []
    for folder in proc.glob("[0-9]*"):
        # A process may end in the middle of this; that of another user cannot be read.
        with contextlib.suppress(OSError):
            named = os.fsencode(path) in (folder / "environ").read_bytes()
            if named or (folder / "comm").read_text("utf-8", "replace").strip() == _CODEX:
                found.append(int(folder.name))
    return sorted(set(found) - {os.getpid()})
