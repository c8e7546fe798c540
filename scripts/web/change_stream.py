"""Server-sent events: each browser hears when the database has changed, and asks for what it shows.

One task of the server looks at the file, however many listen; one that is not there yet, or was replaced, is noticed
too.
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

LOOK_SECONDS = 0.5
"""How often the file is looked at."""

KEEP_ALIVE_SECONDS = 15.0
"""How often a stream that has nothing to say says so: proxies end those that are silent, and ends are noticed."""

MAX_LISTENERS = 64
"""How many may listen at once."""

_RETRY_MILLISECONDS = 2_000


class Hub:
    """Tells all who listen that something has changed; who is slow hears only the last of several changes."""

    def __init__(self, path: Path) -> None:
        """Take where the database is, or will be."""
        self._path = path
        self._number = 0
        self._changed = asyncio.Event()
        self._closing = False
        self.listeners = 0

    @property
    def is_full(self) -> bool:
        """Whether no more can listen."""
        return self.listeners >= MAX_LISTENERS

    async def watch(self) -> None:
        """Look at the file until cancelled."""
        loop, watcher = asyncio.get_running_loop(), DatabaseWatcher(self._path)
        # One thread of its own: a connection stays in the thread that opened it, and a disk may be slow.
        with ThreadPoolExecutor(1, "database watcher") as apart:
            try:
                before = await loop.run_in_executor(apart, watcher.state)
                while True:
                    await asyncio.sleep(LOOK_SECONDS)
                    state = await loop.run_in_executor(apart, watcher.state)
                    if state != before:
                        before = state
                        self._number += 1
                        self._wake()
            finally:
                apart.submit(watcher.close)

    def close(self) -> None:
        """End all streams."""
        self._closing = True
        self._wake()

    async def events(self) -> AsyncIterator[bytes]:
        """Yield a stream's events: one at once, so that who comes back after a while asks for what was missed."""
        self.listeners += 1
        try:
            yield f"retry: {_RETRY_MILLISECONDS}\n\n".encode()
            heard: int | None = None
            while not self._closing:
                changed = self._changed
                if heard != self._number:
                    heard = self._number
                    yield _event(heard)
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
