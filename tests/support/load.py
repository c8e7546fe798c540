"""Clients that do one turn after another through a proxy, and record the responses they got."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple, Self

from scripts.demo.replies import Answer, WireWindow, limit_headers
from scripts.demo.transport import InterruptedTurnError
from store.database import open_reader
from store.errors import MissingError
from tests.support.harness import connected, wait_until

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from scripts.demo.backend import Backend
    from tests.support.harness import Proxy

RESETS_AT = int(time.time()) + 9_000


class Figure(NamedTuple):
    """The unique figure of one response: an account's id and the used percent of its 5h window."""

    account: str
    used: float


def figures(path: Path) -> set[Figure]:
    """Return the figures in a database."""
    query = "SELECT a.account_id, s.used_5h_percent FROM snapshots s JOIN accounts a ON a.id = s.account"
    try:
        with closing(open_reader(path)) as connection:
            return {Figure(*row) for row in connection.execute(query)}
    except MissingError:
        return set()


class Load:
    """Concurrent clients inside a `with` block, each with its own account, alternately over HTTP/1.1 and HTTP/2.

    answered: the figures of complete responses, each with the time (`time.monotonic`) of its request.
    failures: errors of clients; a client that had one does no further turn.
    """

    def __init__(self, proxy: Proxy, backend: Backend, name: str = "load", *, clients: int = 3) -> None:
        self.answered: dict[Figure, float] = {}
        self.failures: list[Exception] = []
        self._proxy, self._backend = proxy, backend
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._turns, args=(f"{name}-{number}", number % 2 == 0))
            for number in range(clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Wait for the current turns, and start no others."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def answered_since(self, timestamp: float) -> set[Figure]:
        """Return the figures of complete responses that were requested after a time."""
        return {figure for figure, requested_at in self.answered.copy().items() if requested_at > timestamp}

    def wait_for(self, count: int) -> None:
        """Wait for that many further responses."""
        wanted = len(self.answered) + count
        wait_until(lambda: len(self.answered) >= wanted or bool(self.failures), lambda: "the load stands still")
        assert not self.failures

    def _turns(self, account: str, http2: bool) -> None:
        number = 0
        try:
            with connected(self._proxy, self._backend, account, http2=http2) as client:
                while not self._stop.is_set():
                    number += 1
                    figure = Figure(account, number / 8)
                    headers = limit_headers(WireWindow(figure.used, 300, RESETS_AT), plan="plus")
                    self._backend.answer(Answer(headers=headers), account=account)
                    requested_at = time.monotonic()
                    assert client.http_turn("say ok").messages("response.completed")
                    self.answered[figure] = requested_at
        except (InterruptedTurnError, OSError, AssertionError) as error:
            self.failures.append(error)
