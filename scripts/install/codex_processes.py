"""The processes of the user that may still use the always-on service and its certificates."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

_CODEX = "codex"
_START_FIELD = 19  # of those after the name in /proc/PID/stat


def seconds_since_boot() -> float:
    """Return the time by which processes on Linux are dated; 0 on other systems."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return 0.0 if clock is None else time.clock_gettime(clock)


def processes_using(path: Path, started_before: float, proc: Path = Path("/proc")) -> list[int] | None:
    """Return the processes whose environment names a file, and each earlier Codex, which may know it from ``.env``.

    Args:
        path: the file.
        started_before: the time, as of `seconds_since_boot`, since which no Codex is led to the file.
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
            if named or _is_earlier_codex(folder, started_before):
                found.append(int(folder.name))
    return sorted(set(found) - {os.getpid()})


def _is_earlier_codex(folder: Path, started_before: float) -> bool:
    name, _, fields = (folder / "stat").read_text("utf-8", "replace").partition("(")[2].rpartition(")")
    if name != _CODEX:
        return False
    return int(fields.split()[_START_FIELD]) / os.sysconf("SC_CLK_TCK") < started_before
