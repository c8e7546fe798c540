"""Responses to questions about the past, which are given again while nothing has changed.

A page that is open in several windows, or loaded anew, asks the same again and again. A response is given again as long
as the database is the same and the files that names and prices come from, for up to a minute: so old may its time be.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from starlette.responses import Response

SECONDS = 60.0
"""How long a response is given again at most."""

MAX_BYTES = 32_000_000
"""The bytes of all remembered responses."""


class _Remembered(NamedTuple):
    """A response, the state that it is from, and when that was (by the monotonic clock, in seconds)."""

    body: bytes
    headers: dict[str, str]
    state: object
    at: float


class ResponseMemory:
    """The last responses by what was asked, those that were used least recently forgotten first."""

    def __init__(self, most: int = MAX_BYTES) -> None:
        """Remember nothing yet, and never more than so many bytes."""
        self._most = most
        self._bytes = 0
        self._found: OrderedDict[str, _Remembered] = OrderedDict()

    def find(self, asked: str, state: object, now: float) -> Response | None:
        """Return the response to a question, where all is still in the state that it is from.

        Args:
            asked: The path and the query.
            state: The state of what responses are made of; another one has other responses.
            now: The time by the monotonic clock, in seconds.
        """
        found = self._found.get(asked)
        if found is None or found.state != state or now - found.at >= SECONDS:
            return None
        self._found.move_to_end(asked)
        return Response(found.body, headers=found.headers)

    def keep(self, asked: str, state: object, now: float, response: Response) -> None:
        """Remember a response that was made since all was in a state, unless that is too large."""
        self._forget(asked)
        if len(response.body) > self._most:
            return
        headers = {name: value for name, value in response.headers.items() if name != "content-length"}
        self._found[asked] = _Remembered(bytes(response.body), headers, state, now)
        self._bytes += len(response.body)
        while self._bytes > self._most:
            self._forget(next(iter(self._found)))

    def _forget(self, asked: str) -> None:
        found = self._found.pop(asked, None)
        self._bytes -= len(found.body) if found else 0
