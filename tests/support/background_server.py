"""A stand-in for Codex's background server: its socket, and a process with an environment that its pid file names."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SLEEP = "import sys; print(flush=True); sys.stdin.read()"


@contextlib.contextmanager
def running_server(home: Path, environ: Mapping[str, str]) -> Iterator[None]:
    """Run a process with an environment, and make it the background server of a CODEX_HOME (on Linux)."""
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", _SLEEP], env=dict(environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process, listening_socket(home):
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        write_pid_file(home, process.pid, start_ticks(process.pid))
        yield
        process.stdin.close()


@contextlib.contextmanager
def listening_socket(home: Path, *, listens: bool = True) -> Iterator[None]:
    """Make the socket of the server; a link leads to it, because its path has to be short."""
    control = home / "app-server-control"
    control.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="ct-") as short, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{short}/socket")
        (control / "app-server-control.sock").symlink_to(f"{short}/socket")
        if listens:
            server.listen()
        yield


def start_ticks(pid: int) -> int:
    """Return the start of a process as Codex writes it: in clock ticks since the start of the system."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def write_pid_file(home: Path, pid: int, ticks: int) -> None:
    """Write the pid file as Codex 0.169.0 does."""
    entry = {
        "pid": pid,
        "processStartTime": "Thu Nov 26 15:30:39 2026",
        "processIdentity": {"bootId": "b3df89ce-ff7f-4441-b29e-07d9af974705", "startTicks": ticks},
        "executableIdentity": {"digest": [253], "path_digest": [209]},
    }
    folder = home / "app-server-daemon"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "daemon.pid").write_text(json.dumps(entry))
