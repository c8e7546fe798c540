"""Routes of questions that may read much: a few are answered at a time, the others wait for their turn.

Each question that is being answered takes a thread of the server's pool, and its share of the processor. While they
wait for their turn, questions take neither, so others are answered at once, however many wait.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi.routing import APIRoute

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.requests import Request
    from starlette.responses import Response

MAX_AT_ONCE = 2
"""Questions that are answered at a time: while one waits for the disk, another can go on."""


class QueuedRoute(APIRoute):
    """A route whose requests wait in the queue of the application, ``app.state.queue``."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function that handles a request when its turn has come."""
        handle = super().get_route_handler()

        async def wait_and_handle(request: Request) -> Response:
            async with request.app.state.queue:
                return await handle(request)

        return wait_and_handle


def make_queue() -> asyncio.Semaphore:
    """Return the queue of an application."""
    return asyncio.Semaphore(MAX_AT_ONCE)
