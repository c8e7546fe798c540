"""``codex-tap serve`` beside a proxy: started, told of, and ended with it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVING = "codex-tap serving"
"""What the server says on stdout, with its address behind it, when it can be asked."""

# -P: a file in the user's folder must not stand in for a module.
_CLI = ("-P", "-X", "utf8", str(Path(__file__).resolve().parents[1] / "cli.py"))

_START_SECONDS = 20.0
_STOP_SECONDS = 5.0
_KEPT_LINES = 10


class PageProcess:
    """A running server; on leaving the context it is ended.

    Nothing waits for it but `announce`, and what goes wrong with it is told and no more: the traffic goes on. It is out
    of reach of the terminal's signals and ends with its stdin, so that it is gone when this process is.
    """

    def __init__(self, database: Path | None, environ: Mapping[str, str]) -> None:
        """Start it; a database of None leaves it to the environment and the default."""
        named = [] if database is None else ["--db", str(database.absolute())]
        self._address: str | None = None
        self._settled = threading.Event()
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = subprocess.Popen(
                [sys.executable, *_CLI, "serve", "--beside", *named],
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
        threading.Thread(target=self._listen, args=(self._process,), name="page output", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def announce(self) -> None:
        """Say on stderr where the page is, as soon as that is known, or why there is none."""
        self._settled.wait(_START_SECONDS)
        if self._address:
            print(f"codex-tap: the page is at {self._address}", file=sys.stderr, flush=True)
        else:
            words = "; ".join(self._lines) or f"it was not ready within {_START_SECONDS:.0f} s"
            print(f"codex-tap: the page is not served: {words}", file=sys.stderr, flush=True)

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
        """Hear all it says: one that waits for room in the pipe would answer nobody."""
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                text = line.decode("utf-8", "replace").rstrip()
                if self._address is None and text.startswith(SERVING):
                    self._address = text.removeprefix(SERVING).strip()
                    self._settled.set()
                else:
                    self._lines.append(text)
        self._settled.set()
