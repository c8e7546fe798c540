"""The launcher as a program, and the processes that it starts."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from scripts.demo.http_heads import read_head
from tests.support.harness import REPOSITORY, Listener, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and terminals")

PS = shutil.which("ps") or ""

# The launcher as the command line calls it: arguments as JSON, an expected failure in one line.
LAUNCHER = """
import json, sys
from pathlib import Path
from scripts.launch import session as launch

name, words, named = json.loads(sys.argv[1])
named |= {key: Path(named[key]) for key in ("database", "ca_file") if key in named}
try:
    sys.exit(getattr(launch, name)(words, **named))
except launch.LaunchError as error:
    print(f"codex-tap: {error}", file=sys.stderr)
    sys.exit(error.exit_code)
"""

GET = """
import os, ssl, sys, urllib.request
context = ssl.create_default_context(cafile=os.environ["CODEX_CA_CERTIFICATE"])
for url in sys.argv[1:]:
    with urllib.request.urlopen(url, context=context) as answer:
        print(answer.status, answer.read().decode().strip())
"""

# A command that says "up", and on a signal whether its proxy still answers.
LIVELY = """
import os, signal, socket, sys, time, urllib.parse
proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
def end(number, _frame):
    socket.create_connection((proxy.hostname, proxy.port), 5).close()
    # Not `print`: the handler may interrupt the one below.
    os.write(1, f"proxy alive at {signal.Signals(number).name}\\n".encode())
    sys.exit(5)
signal.signal(signal.SIGINT, end)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGHUP, end)
print("up", proxy.port, flush=True)
time.sleep(60)
"""


def launcher(name: str, words: Sequence[str], **named: object) -> list[str]:
    """Return the command that calls a function of the launcher."""
    return [sys.executable, "-c", LAUNCHER, json.dumps([name, words, named], default=str)]


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), **changes}


def run(*command: str, environ: Mapping[str, str] | None = None, **named: object) -> subprocess.CompletedProcess[str]:
    """Call `run` to its end."""
    return subprocess.run(
        launcher("run", command, **named),
        env=environ or environment(),
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


@contextlib.contextmanager
def started(
    *command: str, environ: Mapping[str, str] | None = None, stderr: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Start a process whose output is read line by line; at the end it and its descendants are killed."""
    process = subprocess.Popen(
        command, env=environ or environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True
    )
    family = {process.pid}
    try:
        yield process
    finally:
        family |= descendants(process.pid)
        for pid in family:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
        process.wait()
        for pipe in filter(None, (process.stdin, process.stdout)):
            pipe.close()


def processes() -> dict[int, tuple[int, str]]:
    """Return the parent and the state of every process."""
    listed = subprocess.run([PS, "-A", "-o", "pid=,ppid=,stat="], capture_output=True, check=True, text=True).stdout
    rows = (line.split() for line in listed.splitlines())
    return {int(pid): (int(parent), state) for pid, parent, state, *_ in rows}


def descendants(pid: int) -> set[int]:
    """Return the process ids of a process's descendants."""
    parents = {child: parent for child, (parent, _) in processes().items()}
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in (pid, *found) and child not in found}:
        found |= more
    return found


def mitmdump_of(pid: int) -> int | None:
    """The mitmdump that a launcher has started."""
    listed = subprocess.run([PS, "-A", "-ww", "-o", "pid=,args="], capture_output=True, check=True, text=True).stdout
    programs = {int(line.split(None, 1)[0]): line for line in listed.splitlines()}
    found = [each for each in descendants(pid) if "launch/mitmdump.py" in programs.get(each, "")]
    return found[0] if found else None


def wait_until_gone(pids: set[int]) -> None:
    """Wait until the processes have ended; a zombie has ended as well."""

    def living() -> set[int]:
        return {pid for pid, (_, state) in processes().items() if pid in pids and not state.startswith("Z")}

    wait_until(lambda: not living(), lambda: f"still there: {living()}")


def read_line(process: subprocess.Popen[str], start: str) -> str:
    """Return the next line of output that begins with `start`."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(start):
            return line.rstrip()
    raise AssertionError(f"no line of output begins with {start!r}")


def python(program: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", program, *arguments]


class Front(Listener):
    """An HTTP proxy that stores the heads of its requests and forwards everything to another proxy."""

    def __init__(self, port: int) -> None:
        self.heads: list[str] = []
        self._behind = port
        super().__init__(self._hand_on)

    def _hand_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._behind)) as server:
            head = read_head(client)
            self.heads.append(head.decode())
            server.sendall(head)
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            _pump(client, server)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def running_proxy(*arguments: str, **named: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`codex-tap proxy` on a free port, and its address."""
    port = free_port()
    with started(*launcher("proxy", arguments, port=port, **named)) as process:
        line = read_line(process, "codex-tap: listening at ")
        yield process, line.split()[3].rstrip(";,")
