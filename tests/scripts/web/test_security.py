"""Access control, and protection from the pages of other sites."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support.databases import record
from tests.support.factories import limit, snapshot, windows
from tests.support.web_server import WRITE, Site, ask, events

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

TOKEN = "made-up-token-for-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with one account."""
    at = time.time()
    seen = snapshot(limit(windows(13, 41, at=at)), at=at - 10)
    return record(tmp_path_factory.mktemp("safety") / "web.sqlite3", seen)


@pytest.fixture(scope="module")
def site(path: Path) -> Iterator[Site]:
    """A server that listens on this machine alone."""
    with Site(path) as found:
        yield found


@pytest.fixture(scope="module")
def guarded(path: Path) -> Iterator[Site]:
    """A server with a token that listens on all addresses."""
    with Site(path, host="0.0.0.0", token=TOKEN) as found:  # noqa: S104 (it listens on loopback, and checks as if not)
        yield found


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200),
        ("127.0.0.1", 200),
        ("localhost:9", 200),
        ("LOCALHOST", 200),
        ("[::1]:8765", 200),
        ("rebound.example:8765", 421),
        ("127.0.0.1.rebound.example", 421),
        ("localhost.rebound.example", 421),
        ("rebound.example@127.0.0.1", 421),
        ("192.0.2.7", 421),
        ("[::1", 421),
        ("", 421),
    ],
)
def test_only_our_own_names_are_served(site: Site, host: str, status: int) -> None:
    """The name of another site that points here (DNS rebinding) is refused on every path."""
    for asked in ("/api/usage", "/", "/metrics", "/static/index.html"):
        found = ask(site.port, "GET", asked, {"Host": host})
        assert found.status == status
        assert "alice@" not in found.text or status == 200


def test_on_all_addresses_any_address_is_accepted(guarded: Site) -> None:
    """An address cannot be rebound and is accepted; the name of a site is refused."""
    assert ask(guarded.port, "GET", "/", {"Host": "192.0.2.7:8765"}).status == 200
    assert ask(guarded.port, "GET", "/", {"Host": "[2001:db8::1]:8765"}).status == 200
    assert ask(guarded.port, "GET", "/", {"Host": "rebound.example"}).status == 421


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer \xff"},
        {"Cookie": f"token={TOKEN}"},
        WRITE,
    ],
)
def test_without_the_token_requests_are_refused(guarded: Site, headers: Mapping[str, str]) -> None:
    """A wrong or missing token is refused everywhere, also in a URL, and the response does not contain it."""
    for method, asked in (
        ("GET", "/api/usage"),
        ("GET", f"/api/usage?token={TOKEN}&access_token={TOKEN}"),
        ("GET", "/metrics"),
        ("GET", "/health"),
        ("GET", "/openapi.json"),
        ("GET", "/api/stream"),
        ("GET", "/nothing"),
        ("GET", "//"),
        ("GET", "/static"),
        ("GET", "/x/static/../api/usage"),
        ("DELETE", "/api/accounts/alice"),
    ):
        found = ask(guarded.port, method, asked, headers)
        assert (found.status, found.headers["www-authenticate"]) == (401, 'Bearer realm="codex-tap"')
        assert found.headers["content-type"] == "application/problem+json"
        assert TOKEN not in found.text


def test_with_the_token_requests_are_served(guarded: Site) -> None:
    """A token replaces the header of a write."""
    for asked in ("/api/usage", "/metrics", "/health", "/openapi.json"):
        assert ask(guarded.port, "GET", asked, BEARER).status == 200
    assert ask(guarded.port, "GET", "/api/usage", {"Authorization": f"bearer  {TOKEN} "}).status == 200
    with events(guarded.port, BEARER) as lines:
        assert next(lines).startswith("retry:")
    assert ask(guarded.port, "DELETE", "/api/accounts/nobody", BEARER).status == 404


def test_the_page_is_served_without_the_token(guarded: Site) -> None:
    """The page contains no data, and asks for the token."""
    for asked in ("/", "/static/index.html"):
        found = guarded.get(asked)
        assert found.status == 200
        assert "alice@" not in found.text


def test_the_page_does_not_bypass_the_token(guarded: Site) -> None:
    """A path that leads out of the folder of the page is not found."""
    for asked in (
        "/static/../api/usage",
        "/static/%2e%2e/api/usage",
        "/static//api/usage",
        "/static/../../../etc/passwd",
    ):
        assert guarded.get(asked).status == 404


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "POST", "PUT"])
def test_a_write_needs_its_header(site: Site, method: str) -> None:
    """A form on the page of another site cannot send the header."""
    found = site.write(method, "/api/accounts/alice", {"name": "taken over"}, headers={})
    assert (found.status, found.headers["content-type"]) == (403, "application/problem+json")
    assert site.get("/api/accounts/alice").document["name"] is None


@pytest.mark.parametrize(
    ("fetched", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
        ({"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}, 403),
        ({"Sec-Fetch-Site": "Cross-Site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
    ],
)
def test_requests_by_other_sites_are_refused(site: Site, fetched: Mapping[str, str], status: int) -> None:
    """A link to the page may be followed; requests by pages of other sites are refused."""
    assert ask(site.port, "GET", "/api/usage", fetched).status == status


@pytest.mark.parametrize(
    ("method", "asked", "headers"),
    [
        ("GET", "/", {}),
        ("GET", "/static/index.html", {}),
        ("GET", "/api/usage", {}),
        ("GET", "/api/usage/nobody", {}),
        ("GET", "/api/history?since=x", {}),
        ("GET", "/nothing", {}),
        ("GET", "/metrics", {}),
        ("GET", "/openapi.json", {}),
        ("POST", "/api/usage", WRITE),
        ("DELETE", "/api/accounts/alice", {}),
        ("GET", "/", {"Host": "rebound.example"}),
        ("OPTIONS", "/api/usage", {"Origin": "http://evil.example", "Access-Control-Request-Method": "DELETE"}),
        ("GET", "/api/usage", {"Origin": "http://evil.example"}),
    ],
)
def test_every_response_restricts_the_browser(site: Site, method: str, asked: str, headers: Mapping[str, str]) -> None:
    """Only our own scripts and styles, no framing, no access for other sites, and no Server header."""
    found = ask(site.port, method, asked, headers).headers
    policy = dict(each.strip().split(" ", 1) for each in found["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "manifest-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    assert found["x-content-type-options"] == "nosniff"
    assert found["referrer-policy"] == "no-referrer"
    assert found["cache-control"] in {"no-cache", "no-store"}
    assert "server" not in found
    assert not [name for name in found if name.startswith("access-control-")]


@pytest.mark.parametrize("has_length", [True, False], ids=["with its length", "in chunks"])
def test_a_long_body_is_refused(site: Site, has_length: bool) -> None:
    """A body above the maximum length is not read to its end, whether its length is in the head or not."""
    piece = b" " * 65_536
    body = piece * 2 if has_length else iter([piece] * 2)
    headers = {"X-Codex-Tap": "1", "Content-Type": "application/json"}
    refused = ask(site.port, "PATCH", "/api/accounts/alice", headers, body)
    assert (refused.status, refused.document["detail"]) == (413, "The body is too long.")
