"""The stand-in backend, the small client and the real Codex CLI, against each other, without the tap."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from mitmproxy.net.encoding import decode
from wsproto.events import CloseConnection, Ping

from scripts.demo.backend import Backend
from scripts.demo.certificates import AUTHORITY_NAME
from scripts.demo.client import CodexClient
from scripts.demo.codex import app_server_rate_limits, exec_turn, log_in, make_token, session_rate_limits
from scripts.demo.replies import (
    NO_WINDOW,
    Answer,
    Encoding,
    Page,
    Pause,
    Reset,
    WireWindow,
    credits_object,
    error_body,
    error_event,
    limit_headers,
    rate_limits_event,
    spaced,
    usage_document,
    usage_limit,
)
from scripts.demo.transport import InterruptedTurnError, Reply
from tests.support.harness import REPOSITORY, Proxy, codex_environment, require_codex, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from scripts.demo.http_heads import Pairs

USAGE = "https://chatgpt.com/backend-api/wham/usage"
RESET_AT = 1_795_999_999
LIMITS = rate_limits_event(WireWindow(7, 10080, RESET_AT, 556112))


@pytest.fixture(params=[False, True], ids=["http1", "http2"])
def http2(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as started:
        yield started


@pytest.fixture
def client(backend: Backend) -> Iterator[CodexClient]:
    with CodexClient(backend.proxy_url, [backend.ca_file], token="token-a", account_id="account-a") as made:
        yield made


def kinds(reply: Reply) -> list[str]:
    return [event.message["type"] for event in reply.events]


TURN = ["response.created", "codex.rate_limits", "response.output_item.done", "response.completed"]


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


def test_websocket_warm_up(backend: Backend, client: CodexClient) -> None:
    """A warm-up is created and completed, and gets none of the turn's events."""
    backend.answer(Answer(events=[LIMITS]))
    assert kinds(client.websocket_turn("", generate=False)) == ["response.created", "response.completed"]


@pytest.mark.parametrize("deflate", [True, False])
def test_websocket_compression(client: CodexClient, backend: Backend, deflate: bool) -> None:
    """Messages arrive complete with and without permessage-deflate, which is used if the client offers it."""
    backend.answer(Answer(text="a" * 200_000))
    reply = client.websocket_turn("say a", deflate=deflate)
    assert reply.messages("response.output_item.done")[0]["item"]["content"][0]["text"] == "a" * 200_000
    assert (reply.header("sec-websocket-extensions") is not None) == deflate


def test_refused_upgrade_leads_to_http(client: CodexClient, backend: Backend) -> None:
    """The response to a refused upgrade has its headers, and a turn over HTTP works afterwards."""
    backend.answer(Answer(upgrade=426, headers={"x-codex-plan-type": "plus"}))
    refused = client.websocket_turn("say ok")
    assert (refused.status, refused.header("x-codex-plan-type"), refused.events) == (426, "plus", [])
    assert client.http_turn("say ok").status == 200


def test_http_turn(http2: bool) -> None:
    """A turn over POST streams the same events with each HTTP version, and has the requested model."""
    with (
        Backend(http2=http2) as backend,
        CodexClient(backend.proxy_url, [backend.ca_file], token="token-a", http2=http2) as client,
    ):
        backend.answer(Answer(headers=limit_headers(WireWindow(1, 300)), events=[LIMITS]), token="token-a")
        reply = client.http_turn("say ok", model="gpt-test")
        (request,) = backend.requests
    assert (reply.status, reply.header("x-codex-primary-used-percent")) == (200, "1")
    assert kinds(reply) == TURN
    assert reply.messages("response.completed")[0]["response"]["model"] == "gpt-test"
    assert (reply.http_version, request.http_version) == (("HTTP/2.0",) * 2 if http2 else ("HTTP/1.1",) * 2)
    assert (request.host, request.sni, request.tunnel) == ("chatgpt.com", "chatgpt.com", "chatgpt.com:443")
    assert json.loads(request.body)["model"] == "gpt-test"


def test_events_spread_over_time(http2: bool) -> None:
    """Each event arrives when it is sent, before the response ends."""
    with (
        Backend(http2=http2) as backend,
        CodexClient(backend.proxy_url, [backend.ca_file], http2=http2) as client,
    ):
        backend.answer(Answer(events=spaced([LIMITS] * 4, 0.05)))
        reply = client.http_turn("say ok")
    arrivals = [event.seconds for event in reply.events[1:6]]
    assert all(later - earlier > 0.03 for earlier, later in pairwise(arrivals)), arrivals


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


def test_mistakes_are_loud(http2: bool, caplog: pytest.LogCaptureFixture) -> None:
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


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_encodings(client: CodexClient, backend: Backend, encoding: Encoding) -> None:
    """A compressed response has its Content-Encoding, and decodes to the given body."""
    backend.answer(Answer(encoding=encoding, events=[LIMITS, Pause(0.01), LIMITS]))
    reply = client.http_turn("say ok")
    assert reply.header("content-encoding") == encoding
    decoded = decode(bytes(reply.body), encoding)
    assert isinstance(decoded, bytes)
    assert decoded.count(b"codex.rate_limits") == 4


def test_accounts_have_responses_of_their_own(backend: Backend) -> None:
    """The account header takes precedence over the token, and the token over the default."""
    backend.answer(Answer(text="default"))
    backend.answer(Answer(text="token"), token="token-b")
    backend.answer(Answer(text="account"), account="account-b")

    def text(token: str | None, account: str | None) -> str:
        with CodexClient(backend.proxy_url, [backend.ca_file], token=token, account_id=account) as client:
            item = client.http_turn("who").messages("response.output_item.done")[0]["item"]
            return str(item["content"][0]["text"])

    cases = [("token-a", "account-a"), ("token-b", None), ("token-b", "account-a"), ("token-b", "account-b")]
    assert [text(*case) for case in cases] == ["default", "token", "token", "account"]


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


@pytest.mark.parametrize("status", [429, 503])
def test_refusals(client: CodexClient, backend: Backend, status: int) -> None:
    """An error over HTTP has the given headers and body; on the websocket it is a message."""
    headers = limit_headers(WireWindow(100, 10080, RESET_AT, 14890), NO_WINDOW, active="premium", plan="pro")
    event = error_event(status, headers=headers, resets_at=RESET_AT)
    backend.answer(Answer(status=status, headers=headers, body=error_body(), events=[event], completes=False))
    over_post = client.http_turn("say ok")
    assert (over_post.status, json.loads(over_post.body)["error"]["type"]) == (status, "usage_limit_reached")
    assert over_post.header("x-codex-secondary-reset-at") == ""
    (message,) = client.websocket_turn("say ok").messages("error")
    assert (message["status"], message["headers"]) == (status, headers)


def test_usage_document(client: CodexClient, backend: Backend) -> None:
    """The usage document is served on both paths once it is set; until then the response is a 404."""
    assert client.get(USAGE).status == 404
    spark = usage_limit("GPT-5.3-Codex-Spark", "codex_bengalfox", WireWindow(0, 300), WireWindow(0, 10080))
    told = usage_document(WireWindow(41, 10080, RESET_AT, 332661), additional=[spark])
    backend.answer(Answer(usage=told), account="account-a")
    for url in (USAGE, "https://gateway.example/api/codex/usage?full=1"):
        assert json.loads(client.get(url).body) == told
    assert told["rate_limit"]["primary_window"]["limit_window_seconds"] == 604800


def test_accounts_check(backend: Backend) -> None:
    """The accounts check responds with the account of the header, or else of the token's claim."""
    token = make_token("claimed", "user-1", expires_at=RESET_AT)
    assert token.startswith("eyJhbGciOiJSUzI1NiIs")
    found = []
    for account in ("named", None):
        with CodexClient(backend.proxy_url, [backend.ca_file], token=token, account_id=account) as client:
            reply = client.get("https://chatgpt.com/backend-api/wham/accounts/check")
            found.append(json.loads(reply.body)["default_account_id"])
    assert found == ["named", "claimed"]


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("https://ab.chatgpt.com/otlp/v1/metrics", 404),
        ("https://chatgpt.com/backend-api/codex/models", 404),
        ("https://other.example/", 200),
        ("https://notchatgpt.com/", 200),
        ("http://plain.example/path?query=1", 200),
    ],
)
def test_other_hosts(client: CodexClient, backend: Backend, url: str, status: int) -> None:
    """OpenAI's other paths and hosts are a 404, all other hosts a page."""
    reply = client.get(url)
    assert reply.status == status
    assert backend.requests[0].headers["authorization"] == "Bearer token-a"


def test_foreign_host_with_limits(client: CodexClient, backend: Backend) -> None:
    """A foreign host sends rate-limit headers only if they are set for it."""
    backend.answer(Answer(headers={"x-codex-plan-type": "pro"}))
    assert client.get("https://other.example/").header("x-codex-plan-type") is None
    backend.answer(Answer(headers={"x-codex-plan-type": "free"}, body="hello"), host="other.example")
    reply = client.get("https://other.example/")
    assert (reply.header("x-codex-plan-type"), bytes(reply.body)) == ("free", b"hello")


def test_page_for_a_path(client: CodexClient, backend: Backend) -> None:
    """The page of a path takes precedence."""
    path = "/backend-api/codex/responses"
    backend.answer(Answer(pages={path: Page(500, [("x-twice", "1"), (b"x-twice", b"2")], "broken")}))
    reply = client.http_turn("say ok")
    assert (reply.status, bytes(reply.body)) == (500, b"broken")
    assert [value for name, value in reply.headers if name == "x-twice"] == ["1", "2"]


def test_odd_requests(client: CodexClient, backend: Backend) -> None:
    """Bytes, repeated and very long headers, another Host and another SNI arrive as they were sent."""
    odd: Pairs = [("Authorization", b"Bearer \xff"), ("x-twice", "1"), ("x-twice", "2"), ("x-long", "y" * 100_000)]
    client.get("https://chatgpt.com/", headers=odd, sni="sni.example", host="host.example")
    (request,) = backend.requests
    assert request.headers["authorization"] == "Bearer \xff"
    assert (request.headers["x-twice"], len(request.headers["x-long"])) == ("1, 2", 100_000)
    assert (request.tunnel, request.sni, request.host) == ("chatgpt.com:443", "sni.example", "host.example")


def test_no_sni(client: CodexClient, backend: Backend) -> None:
    """A TLS hello without a name gets the certificate of the host in the CONNECT."""
    assert client.get("https://127.0.0.1/", sni="").status == 200
    assert backend.requests[0].sni is None


def test_distrust(backend: Backend) -> None:
    """A client without the authority's certificate refuses the connection, and the stand-in reports the failure."""
    with Backend() as other:
        client = CodexClient(backend.proxy_url, [other.ca_file])
        with pytest.raises(ssl.SSLCertVerificationError):
            client.get("https://chatgpt.com/")
    wait_until(lambda: len(backend.tunnels) == 1, lambda: "the tunnel never ended")
    (tunnel,) = backend.tunnels
    assert tunnel.target == "chatgpt.com:443"
    assert tunnel.failure is not None


def test_header_builders() -> None:
    """The builders write the headers of live accounts."""
    told = limit_headers(
        WireWindow(100, 10080, 1787196849, 14890),
        NO_WINDOW,
        plan="pro",
        active="premium",
        credits=credits_object(),
    )
    told |= limit_headers(WireWindow(0, 300), family="bengalfox", limit_name="GPT-5.3-Codex-Spark")
    assert told == {
        "x-codex-primary-used-percent": "100",
        "x-codex-primary-window-minutes": "10080",
        "x-codex-primary-reset-at": "1787196849",
        "x-codex-primary-reset-after-seconds": "14890",
        "x-codex-secondary-used-percent": "0",
        "x-codex-secondary-window-minutes": "0",
        "x-codex-secondary-reset-at": "",
        "x-codex-secondary-reset-after-seconds": "0",
        "x-codex-plan-type": "pro",
        "x-codex-active-limit": "premium",
        "x-codex-credits-has-credits": "False",
        "x-codex-credits-unlimited": "False",
        "x-codex-credits-balance": "0",
        "x-codex-bengalfox-primary-used-percent": "0",
        "x-codex-bengalfox-primary-window-minutes": "300",
        "x-codex-bengalfox-limit-name": "GPT-5.3-Codex-Spark",
    }


def test_as_a_program() -> None:
    """As a program it prints its address, reads responses from standard input, and ends when that closes."""
    with subprocess.Popen(
        [sys.executable, "-m", "scripts.demo.backend", "--http2"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        started = json.loads(program.stdout.readline())
        program.stdin.write(json.dumps({"answer": {"events": [LIMITS, 0.01]}, "account": "account-a"}) + "\n")
        program.stdin.flush()
        assert json.loads(program.stdout.readline()) == {"answered": True}
        proxy_url, ca_file = started["proxy_url"], started["ca_file"]
        with CodexClient(proxy_url, [ca_file], account_id="account-a", http2=True) as client:
            assert kinds(client.http_turn("say ok")) == TURN
        program.stdin.close()
        assert program.wait(10) == 0


def test_stopping_ends_every_connection() -> None:
    """When the backend stops, connections are cut and its port is closed."""
    with Backend() as backend, CodexClient(backend.proxy_url, [backend.ca_file]) as client:
        client.websocket_turn("say ok")
        backend.close()
        with pytest.raises(InterruptedTurnError):
            client.websocket_turn("say ok")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", backend.port), 1)


def windows(rate_limits: dict[str, Any]) -> list[tuple[float, int, int] | None]:
    """Return the primary and the secondary window of limits that Codex stored."""
    found = [rate_limits["primary"], rate_limits["secondary"]]
    return [w and (w["used_percent"], w["window_minutes"], w["resets_at"]) for w in found]


def test_real_codex_over_websocket(backend: Backend, tmp_path: Path) -> None:
    """The real Codex takes a turn over the websocket through mitmdump, and stores the limits of a message."""
    codex, home = require_codex(), tmp_path / "codex"
    reset_at = int(time.time()) + 9000
    backend.answer(Answer(events=[rate_limits_event(WireWindow(7.5, 10080, reset_at))]), account="account-a")
    token = log_in(home, "account-a", "user-a")
    with Proxy(backend) as proxy:
        done = exec_turn(codex, home, "say ok", codex_environment(proxy, home))
        assert proxy.stop() == 0
    assert (done.returncode, done.stdout.strip()) == (0, "ok"), done.stderr
    assert [windows(found) for found in session_rate_limits(home)] == [[(7.5, 10080, reset_at), None]]
    upgrade, *messages = [request for request in backend.requests if request.transport == "ws"]
    assert upgrade.headers["authorization"] == f"Bearer {token}"
    assert upgrade.headers["chatgpt-account-id"] == "account-a"
    assert [json.loads(message.body).get("generate") for message in messages] == [False, None]


def test_real_codex_over_http(http2: bool, tmp_path: Path) -> None:
    """Without the websocket the real Codex takes its turn over POST, and stores the limits of the headers."""
    codex, home = require_codex(), tmp_path / "codex"
    reset_at = int(time.time()) + 9000
    told = limit_headers(WireWindow(13, 300, reset_at), WireWindow(44, 10080, reset_at + 1))
    log_in(home, "account-a", "user-a")
    with Backend(http2=http2) as backend, Proxy(backend) as proxy:
        backend.answer(Answer(upgrade=426, headers=told))
        done = exec_turn(codex, home, "say ok", codex_environment(proxy, home))
        (post,) = [request for request in backend.requests if request.path.endswith("/codex/responses")][1:]
    assert (done.returncode, done.stdout.strip()) == (0, "ok"), done.stderr
    expected = [(13.0, 300, reset_at), (44.0, 10080, reset_at + 1)]
    assert [windows(found) for found in session_rate_limits(home)] == [expected]
    assert (post.method, post.transport) == ("POST", "h2" if http2 else "h1")
    assert post.headers["content-encoding"] == "zstd"


def test_real_codex_app_server(backend: Backend, tmp_path: Path) -> None:
    """The real `codex app-server` reads the usage document through mitmdump."""
    codex, home = require_codex(), tmp_path / "codex"
    spark = usage_limit("GPT-5.3-Codex-Spark", "codex_bengalfox", WireWindow(3, 300, RESET_AT, 60))
    backend.answer(Answer(usage=usage_document(WireWindow(41, 10080, RESET_AT, 60), additional=[spark])))
    log_in(home, "account-a", "user-a")
    with Proxy(backend) as proxy:
        found = app_server_rate_limits(codex, home, codex_environment(proxy, home))["rateLimitsByLimitId"]
    used = {limit: figures["primary"]["usedPercent"] for limit, figures in found.items()}
    assert used == {"codex": 41, "codex_bengalfox": 3}


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
