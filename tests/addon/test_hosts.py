"""The watched hosts, and the check of every name of a connection and a request."""

from __future__ import annotations

import pytest

from addon.hosts import Hosts

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
    """A connection is watched if each of its names is a watched host; a bare IP address alone is not enough."""
    assert HOSTS.watches(address, server_name) is watched


def test_watched_address() -> None:
    """A gateway may be given by its IP address; then the handshake needs no name."""
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
def test_bad_host(name: str) -> None:
    """A text that is not a bare host name is refused; the error says how to write one."""
    with pytest.raises(ValueError, match="is not a host name; omit scheme, port and path") as refused:
        Hosts([name])
    assert str(refused.value).isprintable()


def test_hosts_as_text() -> None:
    """Hosts are listed with Codex's own first, each once and in lower case."""
    hosts = Hosts([" Gateway.EXAMPLE. ", "gateway.example", "a.example", "chatgpt.com", "g" * 63 + ".example"])
    assert str(hosts) == f"api.openai.com, chat.openai.com, chatgpt.com, a.example, gateway.example, {'g' * 63}.example"
