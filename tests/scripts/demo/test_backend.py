"""The stand-in backend: the response to each request, by path, host and account."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from mitmproxy.net.encoding import decode

from scripts.demo.backend import Backend
from scripts.demo.client import CodexClient
from scripts.demo.codex import make_token
from scripts.demo.replies import Answer, Encoding, Page, Pause, WireWindow, limit_headers
from tests.support.demo import LIMITS, RESET_AT, TURN, kinds
from tests.support.harness import REPOSITORY


def test_websocket_warm_up(backend: Backend, client: CodexClient) -> None:
    """A warm-up is created and completed, and gets none of the turn's events."""
    backend.answer(Answer(events=[LIMITS]))
    assert kinds(client.websocket_turn("", generate=False)) == ["response.created", "response.completed"]


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
