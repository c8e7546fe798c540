"""A running web server: in a thread of this process, or as the program that a person starts."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from scripts.web.app import Settings, create_app
from scripts.web.server import Server, listen
from tests.support.harness import REPOSITORY, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from scripts.support.place import Place

CLI = REPOSITORY / "scripts" / "cli.py"
WRITE = {"X-Codex-Tap": "1"}
_SECONDS = 20


class Answer(NamedTuple):
    """A response; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The JSON of the body."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The text of the body."""
        return self.body.decode()


class Site:
    """A server in a thread of this process during the `with` block."""

    def __init__(self, database: Place, **settings: Any) -> None:
        site = create_app(Settings(database, **settings))
        self.api = site.api
        self._sockets = listen("127.0.0.1", 0)
        self.port = self._sockets[0].getsockname()[1]
        self._server = Server(site)
        self._thread = threading.Thread(target=self._server.run, args=(self._sockets,))

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self._server.started, lambda: "the server does not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(_SECONDS)
        assert not self._thread.is_alive()

    def get(self, path: str, **headers: str) -> Answer:
        """Request a path; names of headers are written with `_`."""
        return ask(self.port, "GET", path, {name.replace("_", "-"): value for name, value in headers.items()})

    def write(self, method: str, path: str, document: object = None, headers: Mapping[str, str] = WRITE) -> Answer:
        """Send a write with an optional document."""
        body = None if document is None else json.dumps(document)
        return ask(self.port, method, path, {**headers, "Content-Type": "application/json"}, body)


def ask(
    port: int,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: str | bytes | Iterator[bytes] | None = None,
) -> Answer:
    """Send one request on a connection of its own, and return the whole response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    with contextlib.closing(connection):
        connection.request(method, path, body, dict(headers or {}))
        with connection.getresponse() as found:
            names = {name.lower(): value for name, value in found.getheaders()}
            return Answer(found.status, names, found.read())


@contextlib.contextmanager
def events(port: int, headers: Mapping[str, str] | None = None) -> Iterator[Iterator[str]]:
    """Open the stream, and yield an iterator over its lines as they arrive, without empty ones."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", "/api/stream", headers=dict(headers or {}))
        with connection.getresponse() as found:
            assert found.status == 200, found.read()
            assert found.getheader("content-type", "").startswith("text/event-stream")
            yield (line.decode().rstrip() for line in found if line.strip())


class Program:
    """`codex-tap serve` as a process on a free port during the `with` block."""

    def __init__(self, *arguments: str | Path, **environment: str) -> None:
        self._command = [sys.executable, str(CLI), "serve", "--port", "0", *map(str, arguments)]
        self._environment = {**os.environ, **environment}

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self._command, env=self._environment, stderr=subprocess.PIPE, encoding="utf-8", errors="replace"
        )
        assert self.process.stderr is not None
        self.said = self.process.stderr.readline()
        told = re.search(r"http://\S+:(\d+)/", self.said)
        assert told, self.said
        self.port = int(told[1])
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(_SECONDS)
