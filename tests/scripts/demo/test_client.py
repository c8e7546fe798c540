"""The small client: what it sends, and the connections that it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.demo.backend import Backend
from scripts.demo.certificates import AUTHORITY_NAME
from scripts.demo.client import CodexClient
from scripts.demo.replies import Answer
from tests.support.demo import LIMITS, TURN, kinds
from tests.support.harness import Proxy

if TYPE_CHECKING:
    from scripts.demo.http_heads import Pairs


def test_websocket_turns_share_a_socket(backend: Backend, client: CodexClient) -> None:
    """Each turn on one websocket gets the response that is set when it starts."""
    backend.answer(Answer(headers={"x-codex-plan-type": "plus"}, events=[LIMITS]))
    first = client.websocket_turn("one")
    backend.answer(Answer(text="changed"))
    second = client.websocket_turn("two")
    assert (first.status, first.header("x-codex-plan-type"), first.issuer) == (101, "plus", AUTHORITY_NAME)
    assert kinds(first) == TURN
    assert second.messages("response.output_item.done")[0]["item"]["content"][0]["text"] == "changed"
    assert [request.method for request in backend.requests] == ["GET", "MESSAGE", "MESSAGE"]


def test_refused_upgrade_leads_to_http(client: CodexClient, backend: Backend) -> None:
    """The response to a refused upgrade has its headers, and a turn over HTTP works afterwards."""
    backend.answer(Answer(upgrade=426, headers={"x-codex-plan-type": "plus"}))
    refused = client.websocket_turn("say ok")
    assert (refused.status, refused.header("x-codex-plan-type"), refused.events) == (426, "plus", [])
    assert client.http_turn("say ok").status == 200


def test_odd_requests(client: CodexClient, backend: Backend) -> None:
    """Bytes, repeated and very long headers, another Host and another SNI arrive as they were sent."""
    odd: Pairs = [("Authorization", b"Bearer \xff"), ("x-twice", "1"), ("x-twice", "2"), ("x-long", "y" * 100_000)]
    client.get("https://chatgpt.com/", headers=odd, sni="sni.example", host="host.example")
    (request,) = backend.requests
    assert request.headers["authorization"] == "Bearer \xff"
    assert (request.headers["x-twice"], len(request.headers["x-long"])) == ("1, 2", 100_000)
    assert (request.tunnel, request.sni, request.host) == ("chatgpt.com:443", "sni.example", "host.example")


def test_client_through_mitmdump(http2: bool) -> None:
    """The small client works through mitmdump over every transport, and trusts only its authority."""
    with (
        Backend(http2=http2) as backend,
        Proxy(backend, arguments=["-q"]) as proxy,
        CodexClient(proxy.proxy_url, [proxy.ca_file], token="token-a", http2=http2) as client,
    ):
        backend.answer(Answer(events=[LIMITS]))
        replies = [client.websocket_turn("one"), client.websocket_turn("two"), client.http_turn("three")]
        plain = client.get("http://plain.example/")
    assert [kinds(reply) for reply in replies] == [TURN] * 3
    assert {reply.issuer for reply in replies} == {"mitmproxy"}
    assert (plain.status, plain.issuer) == (200, None)
