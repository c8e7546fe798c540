"""Server-sent events: each browser is notified of a change of the database, and then requests what it shows.

One task polls the file for all listeners. It also notices a file that is created later or replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from scripts.support.database_watcher import DatabaseWatcher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

POLL_SECONDS = 0.5
"""Time between two polls of the file."""

KEEP_ALIVE_SECONDS = 15.0
"""Time between two comments on an idle stream, which keep proxies from closing it and reveal closed connections."""

MAX_LISTENERS = 64
"""The number of streams that may be open at once."""

_RETRY_MILLISECONDS = 2_000


class Hub:
    """Notifies all listeners of changes. A slow listener gets only the last of several changes."""

    def __init__(self, path: Path) -> None:
        """Create a hub without listeners.

        Args:
            path: the database, which need not exist yet.
        """
        self._path = path
        self._number = 0
        self._changed = asyncio.Event()
        self._closing = False
        self.listeners = 0

    @property
    def is_full(self) -> bool:
        """Whether the maximum number of streams is open."""
        return self.listeners >= MAX_LISTENERS

    async def watch(self) -> None:
        """Poll the file until cancelled."""
        loop, watcher = asyncio.get_running_loop(), DatabaseWatcher(self._path)
        # A dedicated thread: a connection belongs to the thread that opened it, and the disk may be slow.
        with ThreadPoolExecutor(1, "database watcher") as apart:
            try:
                before = await loop.run_in_executor(apart, watcher.state)
                while True:
                    await asyncio.sleep(POLL_SECONDS)
                    state = await loop.run_in_executor(apart, watcher.state)
                    if state != before:
                        before = state
                        self._number += 1
                        self._wake()
            finally:
                apart.submit(watcher.close)

    def close(self) -> None:
        """Close all streams."""
        self._closing = True
        self._wake()

    async def events(self) -> AsyncIterator[bytes]:
        """Yield the events of a stream, the first one at once: a browser that reconnects then requests what changed."""
        self.listeners += 1
        try:
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
        finally:
            self.listeners -= 1

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _event(number: int) -> bytes:
    data = json.dumps({"number": number, "at": int(time.time())})
    return f"event: change\ndata: {data}\n\n".encode()
