"""The classification of requests: whose they are, and what they ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mitmproxy.http import Headers
from mitmproxy.test import tflow, tutils

from addon.flows import FlowClassifier
from addon.hosts import Hosts
from store.models import Identity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mitmproxy.http import HTTPFlow

    from addon.exchange import Exchange

HOSTS = Hosts(["gateway.example"])


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
        headers=Headers([(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]),
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

    assert (FlowClassifier(Hosts(["gateway.example"])).classify(flow) is not None) is believed


def exchange_of(**fields: str) -> Exchange:
    exchange = FlowClassifier(HOSTS).classify(request(fields=fields))
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
    assert exchange_of(x_codex_routing_hint=hint).info.model == model


def test_exchange() -> None:
    """An exchange has its owner and thread; header names count in any case, and the first of repeated ones counts."""
    exchange = exchange_of(**{"Thread-ID": "first", "thread-id": "second", "ChatGPT-Account-ID": "workspace"})
    assert (exchange.info.thread, exchange.info.model, exchange.billed_limit_id) == ("first", None, "codex")
    key = exchange.info.identity.token_key
    assert exchange.info.identity == Identity(token_key=key, account_id="workspace", user_id=key)
    assert exchange_of().info.thread is None
    assert exchange_of(thread_id="\x00" * 65_536).info.thread == "�" * 120


@pytest.mark.parametrize("fields", [{"authorization": "Basic x"}, {"authorization": ""}, {"host": "example.com"}])
def test_no_exchange(fields: dict[str, str]) -> None:
    """A request without a bearer token, or to another host, is not one of Codex."""
    assert FlowClassifier(HOSTS).classify(request(fields=fields)) is None


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
    exchange = FlowClassifier(HOSTS).classify(request(path, method))
    assert exchange is not None
    assert exchange.info.is_usage_request is usage
