"""The classification of requests: whose they are, and what they ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mitmproxy.http import Headers
from mitmproxy.test import tflow, tutils

from addon.exchange import RequestInfo
from addon.flows import FlowClassifier
from addon.hosts import Hosts
from addon.identity import NOBODY
from store.models import Identity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mitmproxy.http import HTTPFlow

    from addon.exchange import Exchange

HOSTS = Hosts(["gateway.example"])
SECRET = b"a secret that only this test has"


def request(
    path: str = "/backend-api/codex/responses",
    method: bytes = b"POST",
    fields: Mapping[str, str] | None = None,
) -> HTTPFlow:
    named = {"authorization": "Bearer opaque-token", "user-agent": "codex", "host": "chatgpt.com", **(fields or {})}
    made = tutils.treq(
        scheme=b"https",
        host="chatgpt.com",
        method=method,
        path=path.encode(),
        authority=b"",
        headers=Headers([(name.encode(), value.encode()) for name, value in named.items()]),
    )
    flow = tflow.tflow(req=made)
    flow.client_conn.sni = "chatgpt.com"
    return flow


@pytest.mark.parametrize(
    ("host", "believed"),
    [
        ("chatgpt.com", False),
        ("CHATGPT.COM", False),
        ("chatgpt.com.", False),
        ("gateway.example", True),
        ("Gateway.Example.", True),
    ],
)
def test_plain_http(host: str, believed: bool) -> None:
    """Without TLS there is no proof that a host is one of Codex's own; a gateway may use plain HTTP."""
    flow = request(fields={"host": host})
    flow.request.data.host, flow.request.scheme, flow.client_conn.sni = host, "http", None

    assert (FlowClassifier(Hosts(["gateway.example"]), SECRET).classify(flow) is not None) is believed


def exchange_of(**fields: str) -> Exchange:
    exchange = FlowClassifier(HOSTS, SECRET).classify(request(fields=fields))
    assert exchange is not None
    return exchange


@pytest.mark.parametrize(
    ("hint", "model"),
    [
        ("model=gpt-6.1-sol", "gpt-6.1-sol"),
        ("tier=fast;model=gpt-6.1-sol;x=1", "gpt-6.1-sol"),
        ("tier=fast, model=gpt-6.1-sol, x=1", "gpt-6.1-sol"),
        ("submodel=gpt", None),
        ("model=", None),
        ("model", None),
        ("", None),
        ("model=\x1b[2J", "�[2J"),
        ("model=" + "x" * 65_536, "x" * 120),
        ("model=é", "��"),
    ],
)
def test_model_of_a_request(hint: str, model: str | None) -> None:
    """The routing hint names the model; what is stored of it is printable and short."""
    assert exchange_of(**{"x-codex-routing-hint": hint}).info.model == model


def test_exchange() -> None:
    """An exchange has its owner and thread; header names count in any case, and the first of repeated ones counts."""
    exchange = exchange_of(**{"Thread-ID": "first", "thread-id": "second", "ChatGPT-Account-ID": "workspace"})
    assert (exchange.info.thread, exchange.info.model, exchange.billed_limit_id) == ("first", None, "codex")
    found = exchange.info.identity
    assert found == Identity(token_key=found.token_key, account_id="workspace", former_key=found.former_key)
    assert exchange_of().info.thread is None
    assert exchange_of(**{"thread-id": "\x00" * 65_536}).info.thread == "�" * 120


def test_no_exchange() -> None:
    """A request to another host is not one of Codex."""
    assert FlowClassifier(HOSTS, SECRET).classify(request(fields={"host": "example.com"})) is None


@pytest.mark.parametrize(("login", "scheme"), [("Basic x", "Basic"), ("", "none")])
def test_unknown_login(login: str, scheme: str) -> None:
    """Of a request whose login names no account the scheme is known, and nothing else is read."""
    exchange = exchange_of(**{"authorization": login, "thread-id": "t", "chatgpt-account-id": "workspace"})
    assert exchange.info == RequestInfo(NOBODY, unknown_login=scheme)
    assert exchange.turn is None


@pytest.mark.parametrize(
    ("fields", "session"),
    [
        ({"session-id": "one"}, "one"),
        ({"session_id": "one"}, "one"),
        ({"conversation_id": "one"}, "one"),
        ({"conversation_id": "two", "session_id": "one"}, "one"),
        ({"session_id": "two", "session-id": "one"}, "one"),
        ({"session_id": " ", "conversation_id": "one"}, "one"),
        ({}, None),
    ],
)
def test_session(fields: dict[str, str], session: str | None) -> None:
    """Clients name their session in several ways."""
    info = exchange_of(**fields).info
    assert (info.session, info.thread) == (session, None)


def test_what_headers_say_of_a_turn() -> None:
    """Fast mode, the kind of sub-agent, the thread that started it, and the client."""
    named = {"x-openai-subagent": "review", "x-codex-parent-thread-id": "parent", "originator": "codex_exec"}
    exchange = exchange_of(**named, **{"x-codex-routing-hint": "model=gpt-6.1-sol;tier=priority"})
    assert exchange.turn
    info = exchange.turn.info
    assert (info.subagent, info.parent_thread, info.client) == ("review", "parent", "codex_exec")
    assert (info.model, exchange.turn.tier) == ("gpt-6.1-sol", "priority")


@pytest.mark.parametrize(
    ("path", "method", "usage"),
    [
        ("/backend-api/wham/usage", b"GET", True),
        ("/wham/usage", b"GET", True),
        ("/backend-api/wham/rate-limit-reset-credits", b"GET", True),
        ("/api/codex/rate-limit-reset-credits?a=b", b"GET", True),
        ("/backend-api/wham/rate-limit-reset-credits", b"POST", False),
        ("/backend-api/wham/rate-limit-reset-credits/use", b"GET", False),
        ("/api/codex/usage", b"GET", True),
        ("/api/codex/usage?window=7d", b"GET", True),
        ("/backend-api/wham/usage", b"POST", False),
        ("/backend-api/wham/usage/more", b"GET", False),
        ("/backend-api/wham/usages", b"GET", False),
        ("/backend-api/xwham/usage", b"GET", False),
        ("/other?path=/wham/usage", b"GET", False),
    ],
)
def test_is_usage_request(path: str, method: bytes, *, usage: bool) -> None:
    """A request for the usage document is a GET of one of its paths."""
    exchange = FlowClassifier(HOSTS, SECRET).classify(request(path, method))
    assert exchange is not None
    assert exchange.info.is_usage_request is usage
