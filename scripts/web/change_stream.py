"""Server-sent events: each browser is notified of a change of the database, and then requests what it shows.

One task polls the file for all listeners. It also notices a file that is created later or replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import StreamingResponse

from scripts.support.database_watcher import DatabaseWatcher
from scripts.web.responses import problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from starlette.types import Receive, Scope, Send

    from scripts.support.place import Place

POLL_SECONDS = 0.5
"""Time between two polls of the file."""

KEEP_ALIVE_SECONDS = 15.0
"""Time between two comments on an idle stream, which keep proxies from closing it and reveal closed connections."""

MAX_LISTENERS = 64
"""The number of streams that may be open at once."""

_RETRY_MILLISECONDS = 2_000


class _Watched(NamedTuple):
    """The watcher of the database, and the one thread that asks it."""

    apart: ThreadPoolExecutor
    watcher: DatabaseWatcher


class Hub:
    """Notifies all listeners of changes. A slow listener gets only the last of several changes."""

    def __init__(self, place: Place) -> None:
        """Create a hub without listeners.

        Args:
            place: the database, which need not exist yet.
        """
        self._place = place
        self._watched: _Watched | None = None
        self._number = 0
        self._changed = asyncio.Event()
        self._closing = False
        self.listeners = 0

    def respond(self) -> ChangeStream:
        """Return the response to a request for a stream."""
        return ChangeStream(self)

    @contextlib.contextmanager
    def place(self) -> Iterator[bool]:
        """Take the place of one stream meanwhile, and yield whether one was free."""
        if self.listeners >= MAX_LISTENERS:
            yield False
            return
        self.listeners += 1
        try:
            yield True
        finally:
            self.listeners -= 1

    async def watch(self) -> None:
        """Poll the file until cancelled."""
        # A dedicated thread: a connection belongs to the thread that opened it, and the disk may be slow.
        with ThreadPoolExecutor(1, "database watcher") as apart:
            self._watched = _Watched(apart, DatabaseWatcher(self._place))
            try:
                before = await self.state()
                while True:
                    await asyncio.sleep(POLL_SECONDS)
                    state = await self.state()
                    if state != before:
                        before = state
                        self._number += 1
                        self._wake()
            finally:
                apart.submit(self._watched.watcher.close)
                self._watched = None

    async def state(self) -> object:
        """Return a value that differs after each change of the database; None while that is not watched."""
        if self._watched is None:
            return None
        apart, watcher = self._watched
        return await asyncio.get_running_loop().run_in_executor(apart, watcher.state)

    def close(self) -> None:
        """Close all streams."""
        self._closing = True
        self._wake()

    async def events(self) -> AsyncIterator[bytes]:
        """Yield the events of a stream, the first one at once: a browser that reconnects then requests what changed."""
        yield f"retry: {_RETRY_MILLISECONDS}\n\n".encode()
        sent: int | None = None
        while not self._closing:
            changed = self._changed
            if sent != self._number:
                sent = self._number
                yield _event(sent)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                    await changed.wait()
                continue
            yield b": nothing new\n\n"

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class ChangeStream(StreamingResponse):
    """A stream of changes, or a 503 if too many are open.

    The place is taken without an `await` after the check: many requests at once cannot all find the last one free.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(hub.events(), media_type="text/event-stream", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the client or the hub ends it."""
        with self._hub.place() as is_free:
            if is_free:
                await super().__call__(scope, receive, send)
            else:
                await problem(503, "too many streams are open")(scope, receive, send)


def _event(number: int) -> bytes:
    data = json.dumps({"number": number, "at": int(time.time())})
    return f"event: change\ndata: {data}\n\n".encode()
