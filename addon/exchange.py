"""The state of a request while its response is under way: who asked, and the turn that runs on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from addon import headers
from addon.turn_metadata import NO_METADATA
from store import coerce
from store.constants import MAIN_LIMIT

if TYPE_CHECKING:
    from addon.headers import HeaderFields
    from addon.turn_metadata import TurnMetadata
    from store.models import Identity, Transport


class RequestInfo(NamedTuple):
    """Whose a request is, what its headers say of its turns, and what it asks for.

    The fields up to ``client`` are those of `store.models.Turn`. ``is_codex`` is true if its turns are Codex's: the
    hosts also serve programs that have nothing to do with it. ``is_accounts_check`` is true if the response of
    chatgpt.com may name further hosts of the backend. ``unknown_login`` is the scheme of a login that names no account,
    else None; nothing of such a request is stored but that its response has limits.
    """

    identity: Identity
    thread: str | None = None
    session: str | None = None
    model: str | None = None
    tier: str | None = None
    subagent: str | None = None
    parent_thread: str | None = None
    client: str | None = None
    is_codex: bool = False
    is_turn: bool = False
    is_usage_request: bool = False
    is_accounts_check: bool = False
    unknown_login: str | None = None


class Exchange:
    """A request while its response is under way: who asked and when, the response's headers, and the turn on it.

    On a websocket one turn follows the other; ``info`` and ``requested_at`` are those of the latest. ``is_sighted`` is
    true once its unknown login is counted.
    """

    __slots__ = ("fields", "info", "is_sighted", "requested_at", "turn")

    def __init__(self, info: RequestInfo, requested_at: float, turn: OpenTurn | None = None) -> None:
        self.info = info
        self.requested_at = requested_at
        self.turn = turn
        self.is_sighted = False
        self.fields: HeaderFields | None = None

    @property
    def billed_limit_id(self) -> str:
        """The id of the limit that the request was charged to."""
        return headers.billed_limit_id(self.fields) if self.fields else MAIN_LIMIT


class OpenTurn:
    """A turn that is under way; ``info`` says whose it is, and its thread, session and model.

    ``tier`` is the service tier of this turn alone. ``first_byte_at`` is when the response began, on either transport:
    with its first event or byte of its body. Until then (``has_begun`` is false) it is when the server first said
    anything: with headers, or with a message about limits.
    """

    __slots__ = (
        "first_byte_at",
        "has_begun",
        "info",
        "metadata",
        "started_at",
        "status",
        "tier",
        "transport",
        "warm_up",
    )

    def __init__(
        self,
        transport: Transport,
        started_at: float,
        info: RequestInfo,
        metadata: TurnMetadata = NO_METADATA,
        *,
        tier: str | None = None,
        warm_up: bool,
    ) -> None:
        self.transport = transport
        self.started_at = started_at
        self.info = info
        self.metadata = metadata
        self.tier = tier
        self.warm_up = warm_up
        self.first_byte_at: float | None = None
        self.has_begun = False
        self.status: int | None = None

    def note_arrival(self, at: float, *, begins: bool) -> None:
        """Note what the server sends before the response has begun.

        Args:
            at: When it arrived, in Unix seconds.
            begins: Whether the response begins with it.

        """
        if begins or self.first_byte_at is None:
            self.first_byte_at = at
        self.has_begun = begins

    def said(self, name: str) -> str | None:
        """Return a field of the turn's metadata as it may be stored."""
        return coerce.text(self.metadata.fields.get(name))
