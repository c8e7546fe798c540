"""The programs of a measure: the stand-in backend in a process of its own, mitmdump bare and with the tap."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from tests.support.harness import REPOSITORY, Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from scripts.demo.backend import Backend

INSIDE = Path(__file__).resolve().parent / "inside"
STREAMING = INSIDE / "bench_streaming.py"
TIMING = INSIDE / "bench_timing.py"
PROFILING = INSIDE / "bench_profiling.py"
_STOP_SECONDS = 15


class StandIn:
    """The stand-in backend as a program, so that its work is not counted; see `scripts.demo.backend`."""

    def __init__(self, *, http2: bool = False) -> None:
        self._command = [sys.executable, "-m", "scripts.demo.backend", *(["--http2"] if http2 else [])]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )
        told = self._read()
        self.proxy_url: str = told["proxy_url"]
        self.ca_file = Path(told["ca_file"])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_STOP_SECONDS)
        self._process.stdout.close()

    def answer(self, **fields: Any) -> None:
        """Answer from now on with these fields of `scripts.demo.replies.Answer`; a number among events is a pause."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"answer": fields}) + "\n")
        self._process.stdin.flush()
        self._read()

    def _read(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the stand-in backend ended")
        return json.loads(line)


def bare(stand_in: StandIn) -> Proxy:
    """A mitmdump that streams, without the tap."""
    return Proxy(_backend(stand_in), arguments=["-q", "-s", str(STREAMING)])


def tap(stand_in: StandIn, database: Path, *scripts: Path, **environment: str) -> Proxy:
    """A mitmdump with the tap, and with further scripts."""
    arguments = ["-q", *(part for script in scripts for part in ("-s", str(script)))]
    return Proxy(_backend(stand_in), database=database, arguments=arguments, environment={**os.environ, **environment})


def _backend(stand_in: StandIn) -> Backend:
    # A proxy needs its address and its CA file alone.
    return cast("Backend", stand_in)


_HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
connection.execute("begin immediate")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another process holds the database's write lock while the block lasts."""
    command = [sys.executable, "-c", _HOLD, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout
        if process.stdout.readline().strip() != "locked":
            raise RuntimeError("the database could not be locked")
        try:
            yield
        finally:
            process.communicate(timeout=_STOP_SECONDS)


def cpu_seconds(proxy: Proxy) -> float:
    """CPU that a program has used, user and system, all threads. Linux only."""
    # The clock of a process, as `clock_getcpuclockid` gives it: nanoseconds, where /proc counts hundredths of a second.
    return time.clock_gettime((~proxy.process.pid << 3) | 2)


def resident_bytes(proxy: Proxy) -> int:
    """Memory of a program that is in RAM. Linux only."""
    status = Path(f"/proc/{proxy.process.pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def open_files(proxy: Proxy) -> int:
    """How many files and sockets a program has open. Linux only."""
    return len(list(Path(f"/proc/{proxy.process.pid}/fd").iterdir()))


_LARGEST = """
import os, sys
nowhere = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
_, status, usage = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=nowhere), 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss)
"""


def largest_megabytes(command: list[str]) -> float:
    """Run a program once and return its largest resident memory, in MB; 1 is an exit code of commands. POSIX only.

    A small program starts it: to Linux, the memory of the one that starts another counts as memory of the other.
    """
    done = subprocess.run([sys.executable, "-c", _LARGEST, *command], check=True, capture_output=True, encoding="utf-8")
    code, largest = map(int, done.stdout.split())
    if code not in {0, 1}:
        raise RuntimeError(f"{' '.join(command)}: exit code {code}")
    return largest * (1 if sys.platform == "darwin" else 1_024) / 1_000_000
