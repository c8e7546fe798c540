"""The tap inside a real mitmdump, between a small client and the stand-in backend, all over real TLS."""

from __future__ import annotations

import json
import secrets
import signal
import sqlite3
import statistics
import time
from itertools import count, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from click.testing import CliRunner

from scripts.cli import cli
from scripts.demo.client import CodexClient
from scripts.demo.codex import make_token
from scripts.demo.replies import (
    Answer,
    Page,
    Reset,
    WireWindow,
    error_body,
    error_event,
    limit_headers,
    rate_limits_event,
    spaced,
    usage_document,
)
from scripts.demo.transport import InterruptedTurnError
from store.database import open_reader
from store.errors import MissingError
from tests.support.harness import Proxy, connected, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scripts.demo.backend import Backend

RESPONSES = "https://chatgpt.com/backend-api/codex/responses"
USAGE = "https://chatgpt.com/backend-api/wham/usage"
NOW = int(time.time())
# Without reset-after: it would be wrong by the time that the tests before these take.
FIVE = WireWindow(13, 300, NOW + 9_000)
SEVEN = WireWindow(41, 10_080, NOW + 300_000)
FIGURES = limit_headers(FIVE, SEVEN, plan="plus", active="premium")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tap.sqlite3"


@pytest.fixture
def proxy(backend: Backend, path: Path) -> Iterator[Proxy]:
    with Proxy(backend, database=path) as proxy:
        yield proxy


class Shared(NamedTuple):
    """A proxy of several tests, each with an account of its own."""

    proxy: Proxy
    path: Path
    numbers: Iterator[int]


@pytest.fixture(scope="module")
def shared(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    path = tmp_path_factory.mktemp("shared") / "tap.sqlite3"
    with Proxy(backend, database=path) as proxy:
        yield Shared(proxy, path, count(1))


class Readings(NamedTuple):
    """The stored readings of one account."""

    path: Path
    account: str

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows."""
        return rows(self.path, self.account)

    def read(self, count: int) -> list[tuple[str, float | None]]:
        """Wait for `count` rows; return the source and the 5h percentage of each."""
        return read(self.path, count, self.account)


@pytest.fixture
def readings(shared: Shared) -> Readings:
    return Readings(shared.path, f"acct-{next(shared.numbers)}")


@pytest.fixture(params=[False, True], ids=["http1", "http2"])
def client(
    request: pytest.FixtureRequest, shared: Shared, readings: Readings, backend: Backend
) -> Iterator[CodexClient]:
    with connected(shared.proxy, backend, readings.account, http2=request.param) as client:
        yield client


def rows(path: Path, account: str = "%") -> list[dict[str, Any]]:
    query = "SELECT s.* FROM snapshots s JOIN accounts a ON a.id = s.account WHERE a.account_id LIKE ? ORDER BY s.id"
    connection = open_reader(path)
    found = [dict(row) for row in connection.execute(query, [account])]
    connection.close()
    return found


def read(path: Path, count: int, account: str = "%") -> list[tuple[str, float | None]]:
    """Wait for `count` rows; return the source and the 5h percentage of each."""

    def there() -> bool:
        try:
            return len(rows(path, account)) >= count
        except (sqlite3.OperationalError, MissingError):
            return False

    wait_until(there, lambda: f"not {count} rows: {rows(path, account)}")
    return [(row["source"], row["used_5h_percent"]) for row in rows(path, account)]


def test_http_turn(backend: Backend, client: CodexClient, readings: Readings) -> None:
    """The headers of a response and the message inside its stream are read; the client gets the turn."""
    told = rate_limits_event(FIVE._replace(used=14), SEVEN)
    backend.answer(Answer(headers=FIGURES, events=[told]))

    reply = client.http_turn("say ok")

    assert [event.message["type"] for event in reply.events][-1] == "response.completed"
    assert backend.requests[-1].transport == ("h2" if reply.http_version.startswith("HTTP/2") else "h1")
    assert readings.read(2) == [("headers", 13.0), ("sse", 14.0)]
    first = readings.rows()[0]
    assert (first["model"], first["status"], first["used_7d_percent"]) == ("gpt-6.1-sol", 200, 41.0)


def test_websocket_turns(backend: Backend, proxy: Proxy, path: Path) -> None:
    """The headers of the upgrade are one reading, and each message is another."""
    with connected(proxy, backend, "acct-1", http2=True) as client:
        for used in (14, 15):
            told = rate_limits_event(FIVE._replace(used=used), SEVEN)
            backend.answer(Answer(headers=FIGURES, events=[told]))
            assert client.websocket_turn("say ok").messages("response.completed")

    assert read(path, 3) == [("upgrade", 13.0), ("websocket", 14.0), ("websocket", 15.0)]


def test_refused_over_http(backend: Backend, client: CodexClient, readings: Readings) -> None:
    """A 429 has the limits in its headers and the refusal in its body, which reaches the client unchanged."""
    full = limit_headers(
        FIVE._replace(used=100), SEVEN, plan="plus", active="premium", reached_type="rate_limit_reached"
    )
    body = error_body(resets_at=NOW + 9_000)
    backend.answer(Answer(status=429, headers=full, body=body))

    reply = client.http_turn("say ok")

    assert reply.status == 429
    assert b"usage_limit_reached" in reply.body
    assert readings.read(2) == [("headers", 100.0), ("error", 100.0)]
    assert (readings.rows()[1]["limit_reached"], readings.rows()[1]["reached_until"]) == (1, NOW + 9_000)


def test_refused_over_the_websocket(backend: Backend, proxy: Proxy, path: Path) -> None:
    """On the websocket a refusal is a message that carries its headers along."""
    full = {"x-codex-primary-used-percent": 100, "x-codex-primary-window-minutes": "300"}
    backend.answer(Answer(events=[error_event(headers=full, resets_at=NOW + 60)], completes=False))

    with connected(proxy, backend, "acct-1", http2=True) as client:
        client.websocket_turn("say ok")

        assert read(path, 1) == [("error", 100.0)]
    assert rows(path)[0]["status"] == 429


def test_usage(backend: Backend, client: CodexClient, readings: Readings) -> None:
    """The usage document that another client requests is read."""
    backend.answer(Answer(usage=usage_document(FIVE, SEVEN, plan="pro")))

    assert client.get(USAGE).status == 200

    assert readings.read(1) == [("usage", 13.0)]
    assert readings.rows()[0]["plan_type"] == "pro"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_compressed_responses(backend: Backend, proxy: Proxy, path: Path, encoding: Any) -> None:
    """A compressed stream is read, and reaches the client unchanged."""
    told = rate_limits_event(FIVE, SEVEN)
    backend.answer(Answer(events=[told], encoding=encoding))

    with connected(proxy, backend, "acct-1", http2=True) as client:
        reply = client.http_turn("say ok")

    assert reply.header("content-encoding") == encoding
    assert read(path, 1) == [("sse", 13.0)]


def test_a_stream_is_not_buffered(backend: Backend, client: CodexClient) -> None:
    """Twenty events that are sent a tenth of a second apart do not arrive together at the end."""
    deltas = [{"type": "response.output_text.delta", "delta": str(index)} for index in range(20)]
    backend.answer(Answer(events=spaced(deltas, 0.1)))

    reply = client.http_turn("say ok")

    arrivals = [event.seconds for event in reply.events if event.message["type"] == "response.output_text.delta"]
    gaps = [later - earlier for earlier, later in pairwise(arrivals)]
    assert len(arrivals) == 20
    assert statistics.median(gaps) > 0.05


def test_other_hosts_keep_their_own_tls(client: CodexClient) -> None:
    """git, npm and curl under the same proxy see the certificates of their servers."""
    stranger = client.get("https://registry.example/").issuer
    watched = client.get(USAGE).issuer

    assert stranger is not None
    assert "mitmproxy" not in stranger
    assert watched is not None
    assert "mitmproxy" in watched


@pytest.mark.parametrize("url", ["https://other.example/", "http://other.example/", "https://ab.chatgpt.com/otlp"])
def test_limits_of_a_foreign_host_are_ignored(
    backend: Backend, client: CodexClient, readings: Readings, url: str
) -> None:
    """A header with the right name from the wrong host is not recorded."""
    page = Page(headers=FIGURES)
    for host in ("other.example", "ab.chatgpt.com"):
        backend.answer(Answer(headers=FIGURES, pages={"/": page, "/otlp": page}), host=host)
    backend.answer(Answer(headers=limit_headers(FIVE._replace(used=77), SEVEN)))

    assert client.get(url).header("x-codex-primary-used-percent") == "13"
    client.http_turn("say ok")

    assert readings.read(1) == [("headers", 77.0)]


@pytest.mark.parametrize(
    ("url", "names"),
    [
        pytest.param(RESPONSES, {"host": "other.example"}, id="host-differs"),
        pytest.param(RESPONSES.replace("chatgpt.com", "other.example"), {"host": "chatgpt.com"}, id="address-differs"),
        pytest.param(RESPONSES.replace("chatgpt.com", "other.example"), {"sni": "chatgpt.com"}, id="sni-differs"),
    ],
)
def test_one_foreign_name_is_enough(
    backend: Backend, client: CodexClient, readings: Readings, url: str, names: dict[str, str]
) -> None:
    """The address of the connection, the name in the handshake and the host of the request must all be watched."""
    backend.answer(Answer(headers=FIGURES))
    backend.answer(
        Answer(headers=FIGURES, pages={"/backend-api/codex/responses": Page(headers=FIGURES)}), host="other.example"
    )

    client.http_turn("say ok", url=url, host=names.get("host"), sni=names.get("sni"))
    backend.answer(Answer(headers=limit_headers(FIVE._replace(used=77), SEVEN)))
    client.http_turn("say ok")

    assert readings.read(1) == [("headers", 77.0)]


def test_the_connection_breaks_mid_stream(backend: Backend, client: CodexClient, readings: Readings) -> None:
    """The limits before the break are recorded, and the next turn is read normally."""
    backend.answer(Answer(headers=FIGURES, events=[rate_limits_event(FIVE._replace(used=14), SEVEN), Reset()]))
    with pytest.raises(InterruptedTurnError):
        client.http_turn("say ok")
    backend.answer(Answer(headers=limit_headers(FIVE._replace(used=15), SEVEN)))
    client.http_turn("say ok")

    assert readings.read(3) == [("headers", 13.0), ("sse", 14.0), ("headers", 15.0)]


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_writes_everything(backend: Backend, proxy: Proxy, path: Path, sent: signal.Signals) -> None:
    """A reading from right before the stop is in the database."""
    with connected(proxy, backend, "acct-1", http2=True) as client:
        for used in range(1, 21):
            backend.answer(Answer(headers=limit_headers(FIVE._replace(used=used), SEVEN)))
            client.http_turn("say ok")

        assert proxy.stop(sent) == 0

    assert [row["used_5h_percent"] for row in rows(path)] == list(map(float, range(1, 21)))


def test_the_start_line(backend: Backend, path: Path) -> None:
    """A line names the watched hosts and the database."""
    with Proxy(backend, database=path, options={"codex_tap_hosts": "gateway.example"}) as proxy:
        proxy.wait_for_output("reading the limits of")
        (line,) = [line for line in proxy.output().splitlines() if "reading the limits of" in line]

    hosts = "api.openai.com, chat.openai.com, chatgpt.com, gov.chatgpt.com, us.chatgpt.com, gateway.example"
    assert line.endswith(f"codex-tap: reading the limits of {hosts} into {path}")


def test_a_gateway_is_read(backend: Backend, path: Path) -> None:
    """The option adds hosts to Codex's own."""
    url = "https://gateway.example/backend-api/codex/responses"
    backend.answer(Answer(pages={"/backend-api/codex/responses": Page(headers=FIGURES)}), host="gateway.example")
    with (
        Proxy(backend, database=path, options={"codex_tap_hosts": "gateway.example"}) as proxy,
        connected(proxy, backend, "acct-1", http2=True) as client,
    ):
        client.http_turn("say ok", url=url)

        assert read(path, 1) == [("headers", 13.0)]


def asked(path: Path, command: str) -> tuple[int, dict[str, Any]]:
    """Run a command; return its exit code and document."""
    result = CliRunner().invoke(cli, [command, "--json", "--db", str(path)], catch_exceptions=False)
    return result.exit_code, json.loads(result.stdout)


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_an_inconsistent_response_hides_no_later_one(backend: Backend, proxy: Proxy, path: Path, http2: bool) -> None:
    """The responses after one that has the next reset and a span of a second are recorded."""
    with connected(proxy, backend, "acct-1", http2=http2) as client:
        for used, after in ((0, 1), (40, 18_000), (80, 18_000), (100, 18_000)):
            window = WireWindow(used, 300, int(time.time()) + 18_000, after)
            backend.answer(Answer(headers=limit_headers(window, plan="plus")))
            client.http_turn("say ok")

    assert [used for _, used in read(path, 4)] == [0, 40, 80, 100]
    code, document = asked(path, "status")
    (limit,) = document["accounts"][0]["limits"]
    assert (code, limit["windows"]["5h"]["used_percent"], limit["blocked_by"]) == (0, 100, "5h")
    code, verdict = asked(path, "guard")
    assert (code, verdict["answer"], verdict["blocked_by"]) == (1, "below", "5h")


def test_a_refusal_ends_what_was_allowed_before(backend: Backend, proxy: Proxy, path: Path) -> None:
    """On one websocket a limit is allowed, then refused: it is blocked until the time in the error."""
    until = int(time.time()) + 345_600
    told = rate_limits_event(WireWindow(25, 10_080, until), plan="pro")
    refusal = error_event(plan="pro", resets_at=until, resets_in=345_600)
    backend.answer(Answer(events=[told, refusal], completes=False))
    with connected(proxy, backend, "acct-1", http2=True) as client:
        client.websocket_turn("say ok")

    read(path, 2)
    _, document = asked(path, "status")
    (limit,) = document["accounts"][0]["limits"]
    assert (limit["limit_reached"], limit["blocked_by"], limit["reached_until"]) == (True, "limit", until)
    code, verdict = asked(path, "guard")
    assert (code, verdict["answer"], verdict["wait_until"]) == (1, "below", until)


@pytest.mark.parametrize(
    ("options", "content", "message"),
    [
        ({}, b"no database at all" * 100, "is not a SQLite database"),
        ({"codex_tap_hosts": "https://gateway.example"}, b"", "is not a host name"),
    ],
)
def test_an_unusable_database_or_option_stops_it_at_start(
    backend: Backend, path: Path, options: dict[str, str], content: bytes, message: str
) -> None:
    """A line has the reason, the exit code is 1, and nothing is changed."""
    path.write_bytes(content)
    path.chmod(0o600)

    # mitmproxy loads scripts while it opens its port: a client that connects then may have it print a traceback.
    code, output = Proxy(backend, database=path, options=options).run_to_the_end()

    said = [line for line in output.splitlines() if "codex-tap:" in line]
    assert code == 1
    assert len(said) == 1
    assert message in said[0]
    assert "Traceback" not in output
    assert not content or path.read_bytes() == content


def test_it_starts_with_a_locked_database(backend: Backend, path: Path) -> None:
    """Traffic flows while another program holds the lock, and the readings are written when it is released."""
    path.touch(0o600)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    backend.answer(Answer(headers=FIGURES))
    with Proxy(backend, database=path) as proxy, connected(proxy, backend, "acct-1", http2=True) as client:
        assert client.http_turn("say ok").status == 200
        other.execute("ROLLBACK")
        other.close()

        assert read(path, 1) == [("headers", 13.0)]


def command(path: Path, *words: str) -> str:
    """Return what a command prints."""
    result = CliRunner().invoke(cli, [*words, "--db", str(path)], prog_name="codex-tap", catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("scheme", ["AgentAssertion eyJ", "Bearer at-"])
def test_logins_that_name_no_user(backend: Backend, proxy: Proxy, path: Path, scheme: str) -> None:
    """They are the account of their header, whatever the login is; then the user's that a usage document names."""
    document = {**usage_document(FIVE, SEVEN, plan="pro"), "user_id": "user-1", "email": "ann@example.com"}
    backend.answer(Answer(headers=FIGURES, usage=document))
    authorities = [proxy.ca_file, backend.ca_file]
    with CodexClient(proxy.proxy_url, authorities, account_id="ws-1") as client:

        def login() -> list[tuple[str, str]]:
            return [("authorization", scheme + secrets.token_urlsafe(60))]

        for _ in range(2):
            assert client.request("POST", RESPONSES, headers=login(), body=b"{}").status == 200
        read(path, 1)
        assert [each["account"] for each in json.loads(command(path, "accounts", "--json"))] == ["ws-1"]
        assert client.get(USAGE, headers=login()).status == 200
        read(path, 2)
        (account,) = json.loads(command(path, "accounts", "--json"))
    assert (account["account"], account["merged"], account["label"]) == ("ws-1/user-1", ["ws-1"], "ann@example.com")
    assert command(path, "next").strip() == "ann@example.com"
    if scheme.startswith("Agent"):
        assert len(account["token_keys"]) == 1


def test_two_workspaces_under_one_e_mail(backend: Backend, proxy: Proxy, path: Path) -> None:
    """What is printed of either leads to it, and to nothing else."""
    backend.answer(Answer(headers=FIGURES))
    token = make_token("ws-1", "user-1", email="ann@example.com", expires_at=NOW + 864_000)
    for number, workspace in enumerate(("ws-1", "ws-10")):
        with CodexClient(
            proxy.proxy_url, [proxy.ca_file, backend.ca_file], token=token, account_id=workspace
        ) as client:
            assert client.http_turn("say ok").status == 200
        read(path, number + 1)
    labels = [each["label"] for each in json.loads(command(path, "accounts", "--json"))]
    assert labels == ["ws-1/user-1", "ws-10/user-1"]
    assert command(path, "guard", command(path, "next").strip()).startswith("go: ws-1")
    for label in labels:
        assert command(path, "status", label).startswith(f"{label} · ann@example.com")
