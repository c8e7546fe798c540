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


@pytest.mark.parametrize(
    ("address", "server_name", "watched"),
    [
        ("chatgpt.com", "chatgpt.com", True),
        ("chat.openai.com", "chat.openai.com", True),
        ("api.openai.com", None, True),
        ("gateway.example", "gateway.example", True),
        ("ChatGPT.com.", "CHATGPT.COM.", True),
        ("chatgpt.com", "api.openai.com", True),
        ("104.18.32.47", "chatgpt.com", True),
        ("2606:4700::6812:202f", "chatgpt.com", True),
        (None, "chatgpt.com", True),
        ("ab.chatgpt.com", "ab.chatgpt.com", False),
        ("openai.com", None, False),
        ("notchatgpt.com", None, False),
        ("chatgpt.com.example", None, False),
        ("chatgpt.com", "example.com", False),
        ("example.com", "chatgpt.com", False),
        ("chatgpt.com", "", False),
        ("104.18.32.47", "example.com", False),
        ("104.18.32.47", None, False),
        (None, "example.com", False),
        (None, None, False),
        ("", None, False),
    ],
)
def test_watches(address: str | None, server_name: str | None, *, watched: bool) -> None:
    """A connection is watched when every name it goes by is a watched host; an address alone is none."""
    assert HOSTS.watches(address, server_name) is watched


def test_watched_address() -> None:
    """A gateway may be given by its address; then no other name in the handshake is needed."""
    hosts = Hosts(["127.0.0.1"])
    assert hosts.watches("127.0.0.1", None)
    assert not hosts.watches("127.0.0.2", None)


@pytest.mark.parametrize(
    ("authority", "named"),
    [
        (None, True),
        (b"", True),
        (b"chatgpt.com", True),
        (b"CHATGPT.com:443", True),
        (b"chatgpt.com.:8443", True),
        (b"gateway.example:", True),
        (b"example.com", False),
        (b"example.com:443", False),
        (b"chatgpt.com:443:443", False),
        (b"chatgpt.com:x", False),
        (b"chatgpt.com@example.com", False),
        (b"[::1]:443", False),
        (b"\xff" * 65_536, False),
    ],
)
def test_names(authority: bytes | None, *, named: bool) -> None:
    """An authority names a watched host with or without a port."""
    assert HOSTS.names(authority) is named


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "https://gateway.example",
        "gateway.example:443",
        "gateway.example/v1",
        "user@gateway.example",
        "*.example",
        "gate way.example",
        "gateway..example",
        "-gateway.example",
        "gateway-.example",
        "gâteau.example",
        "g" * 64 + ".example",
        ".".join(["g" * 62] * 5),
        "gateway.example\n.x",
        "\x1b[2J",
    ],
)
def test_no_host(name: str) -> None:
    """What is no bare host name is refused with a word on how to give one."""
    with pytest.raises(ValueError, match="is not a host name; omit scheme, port and path") as refused:
        Hosts([name])
    assert str(refused.value).isprintable()


def test_hosts_as_text() -> None:
    """Hosts are shown with Codex's own first, each once, in one spelling."""
    hosts = Hosts([" Gateway.EXAMPLE. ", "gateway.example", "a.example", "chatgpt.com", "g" * 63 + ".example"])
    assert str(hosts) == f"api.openai.com, chat.openai.com, chatgpt.com, a.example, gateway.example, {'g' * 63}.example"


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
    """Without TLS nobody has shown to be one of Codex's own hosts; a gateway may be spoken to in plain HTTP."""
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
    """The model is told by the routing hint, harmless and short."""
    assert exchange_of(x_codex_routing_hint=hint).info.model == model


def test_exchange() -> None:
    """An exchange knows whose it is and its thread; headers count in any case, the first of repeated ones."""
    exchange = exchange_of(**{"Thread-ID": "first", "thread-id": "second", "ChatGPT-Account-ID": "workspace"})
    assert (exchange.info.thread, exchange.info.model, exchange.billed_limit_id) == ("first", None, "codex")
    key = exchange.info.identity.token_key
    assert exchange.info.identity == Identity(token_key=key, account_id="workspace", user_id=key)
    assert exchange_of().info.thread is None
    assert exchange_of(thread_id="\x00" * 65_536).info.thread == "�" * 120


@pytest.mark.parametrize("fields", [{"authorization": "Basic x"}, {"authorization": ""}, {"host": "example.com"}])
def test_no_exchange(fields: dict[str, str]) -> None:
    """A request without a bearer or of another host is none of Codex's."""
    assert FlowClassifier(HOSTS).classify(request(fields=fields)) is None


@pytest.mark.parametrize(
    ("path", "method", "usage"),
    [
        ("/backend-api/wham/usage", b"GET", True),
        ("/wham/usage", b"GET", True),
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
    """The usage document is asked for with GET under its paths."""
    exchange = FlowClassifier(HOSTS).classify(request(path, method))
    assert exchange is not None
    assert exchange.info.is_usage_request is usage
