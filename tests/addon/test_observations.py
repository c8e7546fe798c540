"""The entry of the store that an observation of the hooks becomes."""

from __future__ import annotations

import pytest

from addon import headers
from addon.exchange import OpenTurn, RequestInfo
from addon.messages import ParsedMessage
from addon.observations import EndedTurn, ObservedHeaders, ObservedMessage, parse
from addon.turns import TurnResult
from store.models import Identity, Limit, RateLimits, Snapshot, Source, Tokens, Transport, Turn, Window

NOW = 1_795_243_200.0
INFO = RequestInfo(Identity(token_key="opaque~0000000001"), thread="t-1", session="s-1", model="gpt-6.1-sol")
LIMITS = {"x-codex-active-limit": "codex_fox", "x-codex-fox-primary-used-percent": "5"}
READING = RateLimits(limits=(Limit(windows={"5h": Window(used_percent=14, window_minutes=300)}),))


def fields_of(named: dict[str, str]) -> headers.HeaderFields:
    return headers.collect([(name.encode(), value.encode()) for name, value in named.items()])


@pytest.mark.parametrize(("status", "source"), [(200, Source.HEADERS), (429, Source.HEADERS), (101, Source.UPGRADE)])
def test_headers(status: int, source: Source) -> None:
    """Headers become a snapshot of their request; those of a websocket's upgrade have a source of their own."""
    fields = fields_of(LIMITS)
    reading = headers.read(fields, NOW)
    assert reading is not None
    assert parse(ObservedHeaders(INFO, NOW - 2, fields, NOW, status)) == Snapshot(
        identity=INFO.identity,
        observed_at=NOW,
        requested_at=NOW - 2,
        source=source,
        reading=reading,
        status=status,
        model="gpt-6.1-sol",
        thread="t-1",
    )


def test_headers_without_limits() -> None:
    """Headers that name no limit make no entry."""
    assert parse(ObservedHeaders(INFO, NOW - 2, fields_of({"content-type": "text/html"}), NOW, 200)) is None


@pytest.mark.parametrize(("own", "of_response", "status"), [(None, 200, 200), (429, 200, 429), (None, None, None)])
def test_message(own: int | None, of_response: int | None, status: int | None) -> None:
    """A message becomes a snapshot with its own source, and with its own status before the response's."""
    message = ParsedMessage(Source.ERROR, READING, own)
    entry = parse(ObservedMessage(INFO, NOW - 2, message, NOW, of_response))
    assert isinstance(entry, Snapshot)
    assert (entry.source, entry.reading, entry.status) == (Source.ERROR, READING, status)
    assert (entry.identity, entry.thread, entry.requested_at) == (INFO.identity, "t-1", NOW - 2)


@pytest.mark.parametrize(("named", "limit_id"), [(None, "codex"), ({}, "codex"), (LIMITS, "codex_fox")])
def test_ended_turn(named: dict[str, str] | None, limit_id: str) -> None:
    """A turn is charged to the limit that its response names, else to the main limit."""
    turn = OpenTurn(Transport.HTTP, NOW - 2, INFO, warm_up=False)
    fields = None if named is None else fields_of(named)
    assert parse(EndedTurn(turn, fields, TurnResult(Tokens(input=7)), NOW)) == Turn(
        identity=INFO.identity,
        transport=Transport.HTTP,
        started_at=NOW - 2,
        ended_at=NOW,
        limit_id=limit_id,
        thread="t-1",
        session="s-1",
        model="gpt-6.1-sol",
        tokens=Tokens(input=7),
    )
