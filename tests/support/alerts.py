"""Alerts: a database with an alerts file, and targets that store what they get."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import subprocess
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from apprise import Apprise
from click.testing import CliRunner, Result

from scripts.alerts.watcher import MAX_SECONDS, Watch
from scripts.cli import cli
from store.models import Window
from tests.support.databases import record
from tests.support.factories import ALICE, limit, snapshot
from tests.support.harness import REPOSITORY, wait_until
from tests.support.http_server import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from store.models import Identity, Snapshot

CLI = REPOSITORY / "scripts" / "cli.py"

POSIX = pytest.mark.skipif(os.name != "posix", reason="modes, groups and SIGTERM are POSIX's")

SECRET = "tk-not-a-real-one"

NOTE = "import sys; open(sys.argv[1], 'ab').write(sys.stdin.buffer.read())"


class Server(LoopbackServer):
    """An HTTP server on loopback that stores requests; responses have the next of `statuses`, then 200."""

    def __init__(self, *statuses: int) -> None:
        self.posted: list[dict[str, Any]] = []
        waiting = list(statuses)
        posted = self.posted

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(waiting.pop(0) if waiting else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler)
        self.url = f"json://127.0.0.1:{self.port}/{SECRET}"


class Desk:
    """A database, an alerts file, and a command as a target that writes its messages to a file."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "tap.sqlite3"
        self.config = folder / "alerts.toml"
        self.notes = folder / "notes.jsonl"
        self.log: list[str] = []
        self.ticks = 0.0

    @property
    def note(self) -> str:
        """The target that writes messages to the file, as TOML."""
        return json.dumps([sys.executable, "-c", NOTE, str(self.notes)])

    def write(self, rules: str = "at = [80, 95]", *, head: str = "", **targets: str) -> Path:
        """Write the alerts file; targets are TOML."""
        named = "\n".join(f"{name} = {value}" for name, value in (targets or {"log": self.note}).items())
        self.config.write_text(f"{head}\n[targets]\n{named}\n\n[[rules]]\n{rules}\n", encoding="utf-8")
        self.config.chmod(0o600)
        return self.config

    def read(self, used: float, *, who: Identity = ALICE, resets_in: float = 9_000) -> None:
        """Record a reading, as the proxy does."""
        record(self.database, reading(used, who=who, resets_in=resets_in))

    def noted(self) -> list[str]:
        """The texts of the messages that the command got."""
        lines = self.notes.read_text(encoding="utf-8").splitlines() if self.notes.exists() else []
        return [json.loads(line)["text"] for line in lines]

    @contextlib.contextmanager
    def watch(self, pauses: tuple[float, ...] = (0.0, 0.0)) -> Iterator[Watch]:
        """Watch, without a process of its own."""
        with contextlib.closing(Watch(self.database, self.config, pauses=pauses, log=self.log.append)) as watching:
            yield watching

    def look(self, watching: Watch, *, now: float | None = None) -> None:
        """Evaluate after a minute, and wait until all due messages are sent or dropped."""
        self.ticks += MAX_SECONDS
        watching.step(now or time.time(), self.ticks)

        def settled() -> bool:
            watching.step(now or time.time(), self.ticks)
            return watching.is_idle

        wait_until(settled, lambda: f"messages are still being sent; the log: {self.log}")

    def invoke(self, *arguments: str) -> Result:
        """Run a command line in this process."""
        words = ["alerts", *arguments, "--config", str(self.config)]
        words += [] if arguments[0] in {"test", "init"} else ["--db", str(self.database)]
        return CliRunner().invoke(cli, words, prog_name="codex-tap", catch_exceptions=False)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start ``alerts watch`` as a program."""
        words = ["alerts", "watch", "--config", str(self.config), "--db", str(self.database), *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, str(CLI), *words], stdin=pipe, stdout=pipe, stderr=pipe, encoding="utf-8"
        )


def reading(used: float, *, who: Identity = ALICE, resets_in: float = 9_000) -> Snapshot:
    """Return a reading of a 5 h window as it is now."""
    now = time.time()
    window = Window(used_percent=used, window_minutes=300, resets_at=int(now // 600 * 600 + 600 + resets_in))
    return snapshot(limit({"5h": window}), who=who, at=now)


def write_settings(path: Path, text: str) -> Path:
    """Write an alerts file that only its owner can read."""
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def load_apprise() -> None:
    """Load the services of apprise: on Python 3.11 its imports cause deprecation warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert Apprise.instantiate("json://127.0.0.1:9/")
