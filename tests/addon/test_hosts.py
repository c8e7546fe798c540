"""The watched hosts, and the check of every name of a connection and a request."""

from __future__ import annotations

import json

import pytest

from addon.hosts import TEACHER, UNREADABLE_ORIGIN, Hosts, backend_origins, is_teacher
from store.models import SightingKind
from store.settings import MAX_LEARNED_HOSTS, WATCHED_HOSTS

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
        ("us.chatgpt.com", "us.chatgpt.com", True),
        ("gov.chatgpt.com", "gov.chatgpt.com", True),
        ("au.chatgpt.com", "au.chatgpt.com", False),
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
    own = "api.openai.com, chat.openai.com, chatgpt.com, gov.chatgpt.com, us.chatgpt.com"
    assert str(hosts) == f"{own}, a.example, gateway.example, {'g' * 63}.example"


# Hosts that are learned

HOST, OTHER = SightingKind.HOST, SightingKind.OTHER_HOST


@pytest.mark.parametrize(
    ("origin", "seen"),
    [
        ("https://au.chatgpt.com", (HOST, "au.chatgpt.com")),
        ("https://sg.api.openai.com", (HOST, "sg.api.openai.com")),
        ("HTTPS://AU.ChatGPT.com/", (HOST, "au.chatgpt.com")),
        ("https://chatgpt.com", None),
        ("https://us.chatgpt.com", None),
        ("https://gateway.example", None),
        ("https://us.chatgpt.com:443/x", None),
        ("http://us.chatgpt.com", (OTHER, "http://us.chatgpt.com")),
        ("https://ab.chatgpt.com", (OTHER, "ab.chatgpt.com")),
        ("https://x.ab.chatgpt.com", (OTHER, "x.ab.chatgpt.com")),
        ("https://auth.openai.com", (OTHER, "auth.openai.com")),
        ("https://openai.com", (OTHER, "openai.com")),
        ("https://evil.example", (OTHER, "evil.example")),
        ("https://evilchatgpt.com", (OTHER, "evilchatgpt.com")),
        ("https://chatgpt.com.evil.example", (OTHER, "chatgpt.com.evil.example")),
        ("https://xn--80ak6aa92e.chatgpt.com", (OTHER, "xn--80ak6aa92e.chatgpt.com")),
        ("http://au.chatgpt.com", (OTHER, "http://au.chatgpt.com")),
        ("https://au.chatgpt.com:443", (OTHER, "https://au.chatgpt.com:443")),
        ("https://au.chatgpt.com:8443/x", (OTHER, "https://au.chatgpt.com:8443")),
        ("https://au.chatgpt.com/backend-api", (OTHER, "https://au.chatgpt.com")),
        ("https://user:secret@au.chatgpt.com", (OTHER, "https://au.chatgpt.com")),
        ("https://au.chatgpt.com@evil.example", (OTHER, "https://evil.example")),
        ("https://evil.example/@au.chatgpt.com", (OTHER, UNREADABLE_ORIGIN)),
        ("https://evil.example#.chatgpt.com", (OTHER, UNREADABLE_ORIGIN)),
        ("https://evil.example?.chatgpt.com", (OTHER, UNREADABLE_ORIGIN)),
        ("https://evil.example\\.chatgpt.com", (OTHER, UNREADABLE_ORIGIN)),
        ("https://au.chatgpt.com.", (OTHER, "https://au.chatgpt.com")),
        ("https://au_x.chatgpt.com", (OTHER, "au_x.chatgpt.com")),
        ("https://äu.chatgpt.com", (OTHER, UNREADABLE_ORIGIN)),
        ("https://ａu.chatgpt.com", (OTHER, UNREADABLE_ORIGIN)),
        ("https://a..chatgpt.com", (OTHER, UNREADABLE_ORIGIN)),
        ("https://.chatgpt.com", (OTHER, UNREADABLE_ORIGIN)),
        ("https://*.chatgpt.com", (OTHER, UNREADABLE_ORIGIN)),
        ("https://au.chatgpt.com\n", (OTHER, UNREADABLE_ORIGIN)),
        (" https://au.chatgpt.com", (OTHER, UNREADABLE_ORIGIN)),
        ("https:au.chatgpt.com", (OTHER, UNREADABLE_ORIGIN)),
        ("//au.chatgpt.com", (OTHER, UNREADABLE_ORIGIN)),
        ("au.chatgpt.com", (OTHER, UNREADABLE_ORIGIN)),
        ("file:///etc/passwd", (OTHER, UNREADABLE_ORIGIN)),
        ("", (OTHER, UNREADABLE_ORIGIN)),
        ("https://" + "a" * 64 + ".chatgpt.com", (OTHER, UNREADABLE_ORIGIN)),
        ("https://" + "a." * 5_000 + "chatgpt.com", (OTHER, UNREADABLE_ORIGIN)),
        ("https://127.0.0.1", (OTHER, "127.0.0.1")),
        ("https://[::1]", (OTHER, UNREADABLE_ORIGIN)),
    ],
)
def test_sight(origin: str, seen: tuple[SightingKind, str] | None) -> None:
    """Only https on the default port leads to a learned host; what is counted has no user, password or path."""
    hosts = Hosts(["gateway.example"])
    before = hosts.learned
    assert hosts.sight(origin) == seen
    learned = {seen[1]} if seen and seen[0] is HOST else set()
    assert hosts.learned - before == learned
    for name in learned:
        assert hosts.watches(name, name)
        assert hosts.names(name.encode())
        assert not hosts.is_gateway(name), "plain HTTP proves nothing"


def test_a_learned_host_is_watched_at_once() -> None:
    """Earlier results are forgotten."""
    hosts = Hosts()
    assert not hosts.watches("au.chatgpt.com", "au.chatgpt.com")
    assert hosts.learn("au.chatgpt.com")
    assert hosts.learn("au.chatgpt.com")
    assert hosts.watches("au.chatgpt.com", "au.chatgpt.com")
    assert not hosts.watches("x.au.chatgpt.com", "x.au.chatgpt.com")


def test_the_number_of_learned_hosts_is_bounded() -> None:
    """Further ones are only counted."""
    hosts = Hosts()
    seen = [hosts.sight(f"https://h{number}.chatgpt.com") for number in range(MAX_LEARNED_HOSTS + 1)]
    assert {each[0] for each in seen[:-1] if each} == {HOST}
    assert seen[-1] == (OTHER, f"h{MAX_LEARNED_HOSTS}.chatgpt.com")
    assert len(hosts.learned) == MAX_LEARNED_HOSTS


@pytest.mark.parametrize("name", [*WATCHED_HOSTS, "evil.example", "ab.chatgpt.com", "openai.com", "A.chatgpt.com", ""])
def test_what_is_never_learned(name: str) -> None:
    """Not even from a database that others have changed."""
    hosts = Hosts()
    assert not hosts.learn(name)
    assert hosts.learned == frozenset()


@pytest.mark.parametrize(
    ("address", "server_name", "authorities", "teaches"),
    [
        ("chatgpt.com", "chatgpt.com", [b"chatgpt.com", b""], True),
        ("ChatGPT.com", None, [None, b"chatgpt.com:443"], True),
        ("104.18.32.47", "chatgpt.com", [b"chatgpt.com"], True),
        ("104.18.32.47", None, [b"chatgpt.com"], False),
        ("us.chatgpt.com", "us.chatgpt.com", [b"us.chatgpt.com"], False),
        ("api.openai.com", "api.openai.com", [b"api.openai.com"], False),
        ("gateway.example", "gateway.example", [b"gateway.example"], False),
        ("gateway.example", "gateway.example", [b"chatgpt.com"], False),
        ("gateway.example", "chatgpt.com", [b"chatgpt.com"], False),
        ("chatgpt.com", "gateway.example", [b"chatgpt.com"], False),
        ("chatgpt.com", "chatgpt.com", [b"gateway.example"], False),
        ("chatgpt.com", "chatgpt.com", [b"chatgpt.com", b"gateway.example"], False),
    ],
)
def test_is_teacher(address: str, server_name: str | None, authorities: list[bytes | None], *, teaches: bool) -> None:
    """chatgpt.com alone is believed about further hosts, no gateway and no learned host."""
    assert is_teacher(address, server_name, *authorities) is teaches
    assert TEACHER in WATCHED_HOSTS


ORIGIN = "workspace_backend_origin"


@pytest.mark.parametrize(
    ("document", "origins"),
    [
        ({"accounts": [{ORIGIN: "a"}, {ORIGIN: "b"}, {ORIGIN: "a"}]}, ["a", "b"]),
        ({"accounts": {"x": {ORIGIN: "a"}, "y": {}}}, ["a"]),
        ({"accounts": [{ORIGIN: "NO_CONSTRAINT"}, {ORIGIN: ""}, {ORIGIN: None}, {ORIGIN: 7}, ["a"], "b"]}, []),
        ({"accounts": None, ORIGIN: "a"}, []),
        ({ORIGIN: "a"}, []),
        ([{ORIGIN: "a"}], []),
        ({"accounts": [{ORIGIN: str(number)} for number in range(99)]}, [str(number) for number in range(50)]),
    ],
)
def test_backend_origins(document: object, origins: list[str]) -> None:
    """Each account may name one; anything else in the body is left alone."""
    assert list(backend_origins(json.dumps(document).encode())) == origins


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"accounts":[{"workspace_backend_origin":', b"[" * 100_000 + b'"workspace_backend_origin"']
)
def test_a_broken_body_names_no_origin(body: bytes) -> None:
    """It is no failure."""
    assert list(backend_origins(body)) == []
