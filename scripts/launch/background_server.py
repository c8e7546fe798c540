"""Codex's background server, through which turns of a shell can bypass the proxy of ``codex-tap env``."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from scripts.codex_files.location import codex_home
from scripts.launch.codex_program import accepts_flag
from scripts.launch.environment import without_tap
from scripts.launch.shim import place_shim, search_path
from store.files import probed_programs, read_regular

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CONNECT_SECONDS = 1.0
_PROCESSES = Path("/proc")
_MAX_BYTES = 1_000_000
_RESTART_SECONDS = 10.0


def warnings(environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Yield warnings of turns that are not recorded although the shell's environment leads to the proxy."""
    codex, runs = shutil.which("codex", path=search_path(environ)), server_runs(environ)
    if codex is not None:
        reason = _why_not_embedded(codex, environ)
        if reason is not None:
            yield (
                f"{reason}, so an interactive codex may use Codex's background server: a server that is running "
                "already bypasses the proxy, and one that this shell starts needs the proxy until it ends"
            )
    if runs:
        yield (
            "Codex's background server is running; a Codex that this shell starts other than by its name "
            "(npx codex, a path, an alias) uses that server, and its turns are not recorded"
        )


def server_runs(environ: Mapping[str, str]) -> bool:
    """Return True if the background server of this ``CODEX_HOME`` accepts connections."""
    family = getattr(socket, "AF_UNIX", None)  # Python on Windows has none
    if family is None:
        return False
    with contextlib.suppress(OSError, RuntimeError), socket.socket(family) as client:
        # The path of a symbolic link may exceed the length limit of a socket's path.
        path = (codex_home(environ) / "app-server-control" / "app-server-control.sock").resolve()
        client.settimeout(_CONNECT_SECONDS)
        client.connect(str(path))
        return True
    return False


def server_environment(environ: Mapping[str, str], processes: Path = _PROCESSES) -> dict[str, str] | None:
    """Return the environment that the background server was started with, or None if it cannot be found out.

    The variables of Codex's ``.env`` are in it: the Codex that starts the server has read them.

    Args:
        environ: the environment, for CODEX_HOME.
        processes: the folder in which Linux describes its processes; other systems have none.
    """
    try:
        entry = json.loads(read_regular(codex_home(environ) / "app-server-daemon" / "daemon.pid", _MAX_BYTES))
        process = processes / str(int(entry["pid"]))
        # The process id may have been given to another process since.
        if _start_ticks(process) != int(entry["processIdentity"]["startTicks"]):
            return None
        variables = read_regular(process / "environ", _MAX_BYTES).decode("utf-8", "surrogateescape").split("\0")
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, IndexError):
        return None
    return {name: value for name, separator, value in (each.partition("=") for each in variables) if separator}


def _start_ticks(process: Path) -> int:
    """Return the time at which a process was started, in clock ticks since the start of the system."""
    # The second field is a name in parentheses, which may contain blanks and parentheses.
    return int(read_regular(process / "stat", _MAX_BYTES).rpartition(b")")[2].split()[19])


def _why_not_embedded(codex: str, environ: Mapping[str, str]) -> str | None:
    if place_shim() is None:
        return "codex-tap cannot write its codex script for this shell's PATH"
    accepts = accepts_flag(codex, probed_programs(), environ)
    if accepts is None:
        return f"it is unknown whether {codex} accepts --no-daemon"
    return None if accepts else f"{codex} does not accept --no-daemon"


Restart = Literal["none", "restarted", "waiting", "failed"]
"""No server runs; it is another process now; it restarts when its turn has ended; it could not be restarted."""


def restart_server(environ: Mapping[str, str], *, seconds: float = _RESTART_SECONDS) -> Restart:
    """Restart the background server, so that it reads Codex's ``.env`` anew.

    Codex itself waits for the end of a turn. It is left to that when the time is over: a server that was told to end
    and is not started again would leave an open session without one.

    Args:
        environ: the environment of the user's shell, which the server gets without the variables of the tap.
        seconds: how long to wait.
    """
    if not server_runs(environ):
        return "none"
    clean = without_tap(environ)
    codex = shutil.which("codex", path=search_path(clean))
    if codex is None:
        return "failed"
    try:
        process = subprocess.Popen(
            [codex, "app-server", "daemon", "restart"],
            env=clean,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=sys.platform != "win32",
        )
        return "restarted" if process.wait(seconds) == 0 else "failed"
    except subprocess.TimeoutExpired:
        return "waiting"
    except OSError:
        return "failed"
