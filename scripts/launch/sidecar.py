"""Another command of ours beside a proxy: started, listened to, and ended with it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Self

from scripts.support.output_queue import STDERR, leave_signals_to_main_thread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# -P: a file in the user's folder must not stand in for a module.
_CLI = ("-P", "-X", "utf8", str(Path(__file__).resolve().parents[1] / "cli.py"))

_START_SECONDS = 20.0
_STOP_SECONDS = 5.0
_KEPT_LINES = 10


class SidecarProcess:
    """A running command; on leaving the context it is ended.

    Nothing waits for it but `wait_until_ready`, and what goes wrong with it is told and no more: the traffic goes on.
    It is out of reach of the terminal's signals and ends with its stdin, so that it is gone when this process is.
    """

    def __init__(
        self, words: Sequence[str], ready: str, database: Path | None, environ: Mapping[str, str], *, echo: bool = False
    ) -> None:
        """Start it; a database of None leaves it to the environment and the default.

        It says `ready` on stdout when it is, with something behind it; with `echo` what it says from then on is
        printed, without it the last lines are kept.
        """
        named = [] if database is None else ["--db", str(database.absolute())]
        self._ready, self._echo = ready, echo
        self._told: str | None = None
        self._settled = threading.Event()
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = subprocess.Popen(
                [sys.executable, *_CLI, *words, "--beside", *named],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(environ),
                start_new_session=sys.platform != "win32",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        except OSError as error:
            self._lines.append(str(error))
            self._settled.set()
            return
        threading.Thread(target=self._listen, args=(self._process,), name=f"{words[0]} output", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def words(self) -> str:
        """Why it is not ready, in its own words."""
        return "; ".join(self._lines) or f"it was not ready within {_START_SECONDS:.0f} s"

    def wait_until_ready(self) -> str | None:
        """Return what it said behind its word for being ready; None where it did not get there."""
        self._settled.wait(_START_SECONDS)
        return self._told

    def stop(self) -> None:
        """End it: close its stdin, then insist."""
        if self._process is None:
            return
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        """Hear all it says: one that waits for room in the pipe would do nothing else."""
        leave_signals_to_main_thread()
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                self._hear(line.decode("utf-8", "replace").rstrip())
        self._settled.set()

    def _hear(self, line: str) -> None:
        if self._told is None and line.startswith(self._ready):
            self._told = line.removeprefix(self._ready).strip()
            self._settled.set()
        elif self._echo and self._told is not None:
            STDERR.put(line)
        else:
            self._lines.append(line)
