"""The end of a program with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import Any

_TASKKILL_SECONDS = 10.0


def kill_tree(process: subprocess.Popen[Any]) -> None:
    """Kill a program and its children; the program was started with ``start_new_session=True``.

    The npm package's `codex`, for example, may be a wrapper that starts the real one. Windows ignores the session:
    there ``taskkill`` finds the children. The caller waits for the process.
    """
    if sys.platform == "win32":
        if process.poll() is None:
            taskkill = ["taskkill", "/T", "/F", "/PID", str(process.pid)]
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(taskkill, check=False, capture_output=True, timeout=_TASKKILL_SECONDS)
            process.kill()
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS refuses if all have ended
            os.killpg(process.pid, signal.SIGKILL)
