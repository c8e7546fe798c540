"""The state of a request while its response is under way: who asked, and the turn that runs on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from addon import headers
from store.constants import MAIN_LIMIT

if TYPE_CHECKING:
    from store.models import Identity, Transport


class RequestInfo(NamedTuple):
    """What a request says of itself: whose it is, its thread, session and model, and what it asks for.

    ``of_codex`` tells whether its turns are Codex's: the hosts also serve programs that have nothing to do with it.
    """

    identity: Identity
    thread: str | None = None
    session: str | None = None
    model: str | None = None
    of_codex: bool = False
    asks_for_turn: bool = False
    asks_for_usage: bool = False


class Exchange:
    """A request while its answer is under way: who asked and when, the answer's headers, and the turn that runs on it.

    On a websocket one turn follows the other; ``caller`` and ``requested_at`` are those of the latest.
    """

    __slots__ = ("answer", "caller", "requested_at", "turn")

    def __init__(self, caller: RequestInfo, requested_at: float, turn: OpenTurn | None = None) -> None:
        self.caller = caller
        self.requested_at = requested_at
        self.turn = turn
        self.answer: headers.HeaderFields | None = None

    @property
    def charged(self) -> str:
        """The id of the limit that the request was charged to."""
        return headers.billed_limit_id(self.answer) if self.answer else MAIN_LIMIT


class OpenTurn:
    """A turn that is under way; its ``caller`` says whose it is, and its thread, session and model."""

    __slots__ = ("caller", "first_byte_at", "started_at", "status", "transport", "warm_up")

    def __init__(self, transport: Transport, started_at: float, caller: RequestInfo, *, warm_up: bool) -> None:
        self.transport = transport
        self.started_at = started_at
        self.caller = caller
        self.warm_up = warm_up
        self.first_byte_at: float | None = None
        self.status: int | None = None
