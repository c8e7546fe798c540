"""Routes of questions that may read much: a few are answered at a time, the others wait for their turn.

Each question that is being answered takes a thread of the server's pool, and its share of the processor. While they
wait for their turn, questions take neither, so others are answered at once, however many wait. What was asked before is
answered at once, too, while nothing has changed (`scripts.web.response_memory`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from fastapi.routing import APIRoute

from scripts.codex_files.names import names_state
from scripts.prices.own_prices import prices_path
from scripts.web.responses import matching
from store.errors import SettingError
from store.files import file_stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.requests import Request
    from starlette.responses import Response

    from scripts.web.change_stream import Hub

MAX_AT_ONCE = 2
"""Questions that are answered at a time: while one waits for the disk, another can go on."""


class QueuedRoute(APIRoute):
    """A route whose requests wait in the queue of the application, ``app.state.queue``."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function that handles a request when its turn has come."""
        handle = super().get_route_handler()

        async def wait_and_handle(request: Request) -> Response:
            found = _remembered(request, await _state(request))
            if found is not None:
                return found
            async with request.app.state.queue:
                # Another client may have asked the same meanwhile.
                state, at = await _state(request), time.monotonic()
                found = _remembered(request, state)
                if found is not None:
                    return found
                response = await handle(request)
                if state is not None and response.status_code == 200:
                    request.app.state.memory.keep(_asked(request), state, at, response)
                return response

        return wait_and_handle


def _remembered(request: Request, state: object) -> Response | None:
    """Return the response that was given to the same question in a state; None where there is none."""
    found = None if state is None else request.app.state.memory.find(_asked(request), state, time.monotonic())
    return None if found is None else matching(request, found)


async def _state(request: Request) -> object:
    """Return what responses are made of: another value after each change; None where that is not known."""
    hub: Hub = request.app.state.hub
    database = await hub.state()
    return None if database is None else (database, await asyncio.to_thread(_files_state))


def _files_state() -> object:
    """Return a value that changes when a file is written that names or prices come from."""
    with contextlib.suppress(SettingError):  # then no response has prices
        prices = prices_path(None)
        return names_state(), prices and (prices, file_stamp(prices))
    return None


def _asked(request: Request) -> str:
    return f"{request.url.path}?{request.url.query}"


def make_queue() -> asyncio.Semaphore:
    """Return the queue of an application."""
    return asyncio.Semaphore(MAX_AT_ONCE)
