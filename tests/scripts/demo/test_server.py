"""The stand-in's server: both HTTP versions, concurrent connections, and its end."""

from __future__ import annotations

import socket
import threading

import pytest

from scripts.demo.backend import Backend
from scripts.demo.client import CodexClient
from scripts.demo.replies import Answer, Pause
from scripts.demo.transport import InterruptedTurnError
from tests.support.harness import wait_until


def test_an_invalid_response_is_logged(http2: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A response that cannot be sent ends the connection and is logged."""
    with Backend(http2=http2) as backend, CodexClient(backend.proxy_url, [backend.ca_file], http2=http2) as client:
        backend.answer(Answer(events=[{"no": "type"}]))
        with pytest.raises(InterruptedTurnError):
            client.http_turn("say ok")
    assert "the stand-in backend failed" in caplog.text


def test_head_has_no_body(client: CodexClient) -> None:
    """HEAD gets only the head of the page."""
    reply = client.request("HEAD", "https://other.example/")
    assert (reply.status, bytes(reply.body)) == (200, b"")


def test_large_bodies_both_ways(http2: bool) -> None:
    """Bodies larger than any buffer or flow-control window pass, in both directions."""
    with (
        Backend(http2=http2) as backend,
        CodexClient(backend.proxy_url, [backend.ca_file], http2=http2) as client,
    ):
        backend.answer(Answer(body=b"x" * 3_000_000), host="other.example")
        reply = client.request("POST", "https://other.example/", body=b"y" * 2_000_000)
        assert len(reply.body) == 3_000_000
        assert len(backend.requests[0].body) == 2_000_000


def test_connections_at_once(backend: Backend) -> None:
    """A slow response does not delay another one."""
    backend.answer(Answer(events=[Pause(20)]), account="slow")
    slow = CodexClient(backend.proxy_url, [backend.ca_file], account_id="slow")
    waiting = threading.Thread(target=pytest.raises, args=(InterruptedTurnError, slow.websocket_turn, "wait"))
    waiting.start()
    wait_until(
        lambda: "MESSAGE" in [request.method for request in backend.requests], lambda: "the slow one never asked"
    )
    with CodexClient(backend.proxy_url, [backend.ca_file], account_id="quick") as quick:
        assert quick.http_turn("say ok").status == 200
    assert waiting.is_alive()
    backend.close()
    waiting.join(5)
    assert not waiting.is_alive()


def test_stopping_ends_every_connection() -> None:
    """When the backend stops, connections are cut and its port is closed."""
    with Backend() as backend, CodexClient(backend.proxy_url, [backend.ca_file]) as client:
        client.websocket_turn("say ok")
        backend.close()
        with pytest.raises(InterruptedTurnError):
            client.websocket_turn("say ok")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", backend.port), 1)
