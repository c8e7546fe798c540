"""Routes of questions that may read much: a few are answered at a time, the others wait for their turn.

Each question that is being answered takes a thread of the server's pool, and its share of the processor. While they
wait for their turn, questions take neither, so others are answered at once, however many wait. What was asked before is
answered at once, too, while the database is the same (`scripts.web.response_memory`).
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from fastapi.routing import APIRoute

from scripts.web.responses import matching

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.requests import Request
    from starlette.responses import Response

    from scripts.web.change_stream import Hub
    from scripts.web.response_memory import ResponseMemory

MAX_AT_ONCE = 2
"""Questions that are answered at a time: while one waits for the disk, another can go on."""


class QueuedRoute(APIRoute):
    """A route whose requests wait in the queue of the application, ``app.state.queue``."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function that handles a request when its turn has come."""
        handle = super().get_route_handler()

        async def wait_and_handle(request: Request) -> Response:
            found = await _remembered(request)
            if found is not None:
                return found
            async with request.app.state.queue:
                # Another client may have asked the same meanwhile.
                return await _remembered(request) or await _handle_and_keep(request, handle)

        return wait_and_handle


async def _remembered(request: Request) -> Response | None:
    """Return the response that was given to the same question; None where there is none, or something has changed."""
    memory, hub = _memory_and_hub(request)
    state = await hub.state()
    found = None if state is None else memory.find(_asked(request), state, time.monotonic())
    return None if found is None else matching(request, found)


async def _handle_and_keep(request: Request, handle: Callable[[Request], Coroutine[Any, Any, Response]]) -> Response:
    """Answer a question, and remember its response as one that is from the state before."""
    memory, hub = _memory_and_hub(request)
    state, at = await hub.state(), time.monotonic()
    response = await handle(request)
    if state is not None and response.status_code == 200:
        memory.keep(_asked(request), state, at, response)
    return response


def _memory_and_hub(request: Request) -> tuple[ResponseMemory, Hub]:
    return request.app.state.memory, request.app.state.hub


def _asked(request: Request) -> str:
    return f"{request.url.path}?{request.url.query}"


def make_queue() -> asyncio.Semaphore:
    """Return the queue of an application."""
    return asyncio.Semaphore(MAX_AT_ONCE)
