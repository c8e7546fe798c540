"""The client's connections: compression, control frames, and the ends of streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from wsproto.events import CloseConnection, Ping

from scripts.demo.backend import Backend
from scripts.demo.client import CodexClient
from scripts.demo.replies import Answer, Pause, Reset, spaced
from scripts.demo.transport import InterruptedTurnError
from tests.support.demo import LIMITS, TURN, kinds

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("deflate", [True, False])
def test_websocket_compression(client: CodexClient, backend: Backend, deflate: bool) -> None:
    """Messages arrive complete with and without permessage-deflate, which is used if the client offers it."""
    backend.answer(Answer(text="a" * 200_000))
    reply = client.websocket_turn("say a", deflate=deflate)
    assert reply.messages("response.output_item.done")[0]["item"]["content"][0]["text"] == "a" * 200_000
    assert (reply.header("sec-websocket-extensions") is not None) == deflate


def test_events_spread_over_time(http2: bool) -> None:
    """Each event arrives when it is sent, before the response ends."""
    with (
        Backend(http2=http2) as backend,
        CodexClient(backend.proxy_url, [backend.ca_file], http2=http2) as client,
    ):
        backend.answer(Answer(events=spaced([LIMITS] * 4, 0.2)))
        reply = client.http_turn("say ok")
    arrivals = [event.seconds for event in reply.events[1:6]]
    # Not gap by gap: a busy machine may read two events at once, and still long before the last one is sent.
    assert arrivals[-1] - arrivals[0] > 0.3, arrivals


def test_cancelled_stream() -> None:
    """A client that resets its HTTP/2 stream at the end of the turn can use the same connection again."""
    with Backend(http2=True) as backend, CodexClient(backend.proxy_url, [backend.ca_file], http2=True) as client:
        backend.answer(Answer(events=[b": a comment\n\n", {"type": "response.completed"}, Pause(60)]))
        replies = [client.http_turn("say ok", cancel=True) for _ in range(3)]
        tunnels = backend.tunnels
    assert [kinds(reply) for reply in replies] == [["response.created", "response.completed"]] * 3
    assert len(tunnels) == 1


def test_websocket_control_frames(client: CodexClient) -> None:
    """A ping between two turns gets a pong, and a close frame ends the websocket."""
    client.websocket_turn("one")
    (websocket,) = client._websockets.values()
    websocket.wire.send(websocket._protocol.send(Ping(b"still there?")))
    assert kinds(client.websocket_turn("two"))[-1] == "response.completed"
    websocket.wire.send(websocket._protocol.send(CloseConnection(1000)))
    with pytest.raises(InterruptedTurnError):
        client.websocket_turn("three")
    assert kinds(client.websocket_turn("four"))[-1] == "response.completed"


def over_http(client: CodexClient) -> None:
    client.http_turn("say ok")


def over_websocket(client: CodexClient) -> None:
    client.websocket_turn("say ok")


@pytest.mark.parametrize("turn", [over_http, over_websocket])
def test_reset_mid_stream(backend: Backend, client: CodexClient, turn: Callable[[CodexClient], None]) -> None:
    """A reset cuts the connection after the events that precede it, and the next turn opens a new one."""
    backend.answer(Answer(events=[LIMITS, Pause(0.05), Reset()]))
    with pytest.raises(InterruptedTurnError) as caught:
        turn(client)
    assert kinds(caught.value.reply) == TURN[:2]
    backend.answer(Answer())
    turn(client)
