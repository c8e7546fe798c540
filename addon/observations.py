"""What the hooks observe, as plain data, and the pure function that makes an entry of the store of it.

The hooks put observations into the recorder's queue. Its writer thread parses them, many in a row: that costs far less
than each in the middle of traffic, and the proxy's event loop goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from addon import headers, turns
from store.constants import MAIN_LIMIT
from store.models import Sighting, Snapshot, Source

if TYPE_CHECKING:
    from addon.exchange import OpenTurn, RequestInfo
    from addon.headers import HeaderFields
    from addon.messages import ParsedMessage
    from addon.turns import TurnResult
    from store.models import RateLimits, SightingKind, Turn


class ObservedHeaders(NamedTuple):
    """The headers of a response; times are in Unix seconds."""

    info: RequestInfo
    requested_at: float
    fields: HeaderFields
    observed_at: float
    status: int


class ObservedMessage(NamedTuple):
    """A message or body with rate limits; ``status`` is that of the response."""

    info: RequestInfo
    requested_at: float
    message: ParsedMessage
    observed_at: float
    status: int | None


class EndedTurn(NamedTuple):
    """A turn that has ended, with the headers of its response (None: there was no response)."""

    turn: OpenTurn
    fields: HeaderFields | None
    result: TurnResult
    ended_at: float


class SeenName(NamedTuple):
    """Something that was seen by name, such as a host that a response names; ``seen_at`` is in Unix seconds."""

    kind: SightingKind
    name: str
    seen_at: float


Observation = ObservedHeaders | ObservedMessage | EndedTurn | SeenName


def parse(observed: Observation) -> Snapshot | Turn | Sighting | None:
    """Return the entry of the store for an observation; None if it says nothing of limits."""
    if isinstance(observed, SeenName):
        return Sighting(kind=observed.kind, name=observed.name, seen_at=observed.seen_at)
    if isinstance(observed, EndedTurn):
        limit_id = headers.billed_limit_id(observed.fields) if observed.fields else MAIN_LIMIT
        return turns.finished_turn(observed.turn, limit_id, observed.result, observed.ended_at)
    if isinstance(observed, ObservedMessage):
        message = observed.message
        return _snapshot(observed, message.reading, message.source, message.status or observed.status)
    reading = headers.read(observed.fields, observed.observed_at)
    source = Source.UPGRADE if observed.status == 101 else Source.HEADERS
    return _snapshot(observed, reading, source, observed.status) if reading else None


def _snapshot(
    observed: ObservedHeaders | ObservedMessage, reading: RateLimits, source: Source, status: int | None
) -> Snapshot:
    return Snapshot(
        identity=observed.info.identity,
        observed_at=observed.observed_at,
        requested_at=observed.requested_at,
        source=source,
        reading=reading,
        status=status,
        model=observed.info.model,
        thread=observed.info.thread,
    )
