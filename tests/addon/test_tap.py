"""The hooks, called as mitmproxy calls them, with real flows and a real database."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import os
import sqlite3
import ssl
import stat
import sys
import zlib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import brotli
import pytest
import zstandard
from mitmproxy import exceptions
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.tls import parse_client_hello
from mitmproxy.test import tflow
from mitmproxy.tls import ClientHelloData

from addon import bodies, flows, headers, identity, messages, observations, turns
from addon import tap as tap_module
from addon.tap import Tap
from store.files import token_secret_path
from tests.support.tap_line import NOW, PLUS, TOKEN, Line, proxy, request, upgraded
from tests.support.wire_messages import USAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from mitmproxy.http import HTTPFlow

SCRIPT = Path(__file__).parents[2] / "addon" / "codex_tap.py"
STREAM = {"content-type": "text/event-stream", "content-encoding": "identity"}
LIMITS_EVENT = json.dumps(
    {"type": "codex.rate_limits", "rate_limits": {"primary": {"used_percent": 14, "window_minutes": 300}}}
).encode()
ERROR_EVENT = json.dumps({"type": "error", "status": 429, "error": {"type": "usage_limit_reached"}}).encode()
FAILED = "a parser's own secret"


def logged(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


# Whose figures are believed


@pytest.mark.parametrize(
    "names",
    [
        pytest.param({}, id="h1"),
        pytest.param({"named": None, "authority": "chatgpt.com"}, id="h2"),
        pytest.param({"named": "chatgpt.com:443"}, id="h1 with a port"),
        pytest.param({"named": None, "authority": "ChatGPT.com:443"}, id="h2 in mixed case"),
        pytest.param({"sni": None}, id="no name in the handshake"),
        pytest.param({"named": None}, id="no name in the request"),
        pytest.param({"host": "104.18.32.47"}, id="an address, named in the handshake"),
        pytest.param({"host": "api.openai.com", "sni": "api.openai.com", "named": "api.openai.com"}, id="the API"),
        pytest.param({"token": "an-opaque-gateway-token"}, id="an opaque token"),
    ],
)
def test_watched_host_is_recorded(line: Line, names: dict[str, Any]) -> None:
    """The headers of a watched host's response are recorded, under every valid name of the host."""
    line.complete(request(**names), PLUS)
    assert line.rows("source", "status", "used_5h_percent", "resets_5h_at", "plan_type", "last_seen_at") == [
        ("headers", 200, 13.0, 1_795_252_200, "plus", NOW)
    ]


@pytest.mark.parametrize(
    "names",
    [
        pytest.param({"host": "example.com", "sni": "example.com", "named": "example.com"}, id="a foreign host"),
        pytest.param({"host": "ab.chatgpt.com", "sni": "ab.chatgpt.com", "named": "ab.chatgpt.com"}, id="telemetry"),
        pytest.param({"sni": "example.com"}, id="h1, another name in the handshake"),
        pytest.param(
            {"sni": "example.com", "named": None, "authority": "chatgpt.com"}, id="h2, another in the handshake"
        ),
        pytest.param({"named": "example.com"}, id="h1, another host header"),
        pytest.param({"named": None, "authority": "example.com"}, id="h2, another authority"),
        pytest.param({"named": "example.com", "authority": "chatgpt.com"}, id="h2, another host header"),
        pytest.param({"host": "example.com"}, id="another destination"),
        pytest.param({"host": "203.0.113.7", "sni": None, "named": "chatgpt.com"}, id="an address without a handshake"),
    ],
)
def test_foreign_hosts_are_not_recorded(line: Line, names: dict[str, Any]) -> None:
    """Nothing is recorded if any name is foreign."""
    line.complete(request(**names), PLUS)
    flow = line.open(request("/backend-api/wham/usage", method=b"GET", **names))
    line.respond(flow, {"content-type": "text/event-stream"}, chunks=[b"data: " + LIMITS_EVENT + b"\n\n"])
    assert flow.response
    assert flow.response.stream is True
    socket = upgraded(line, PLUS, **names)
    line.say(socket, LIMITS_EVENT)
    assert line.holds_nothing
    assert line.rows("source") == []


def unknown_logins(line: Line) -> list[tuple[Any, ...]]:
    line.tap.done()
    with closing(sqlite3.connect(line.database)) as connection:
        return connection.execute("SELECT kind, name, count FROM sightings").fetchall()


def test_limits_of_an_unknown_login(line: Line) -> None:
    """They are nobody's: a response with limits is counted by the scheme of its login; nothing else is stored."""
    secret = "dXNlcjpwYXNzd29yZC10aGF0LWlzLWxvbmc="
    usage = {"content-type": "application/json"}, [json.dumps(USAGE).encode()]
    for fields in ({"token": None}, {"token": None, "Authorization": f"Basic {secret}"}):
        line.complete(request(**fields), PLUS)
        line.complete(request("/backend-api/wham/usage", method=b"GET", **fields), usage[0], chunks=usage[1])
        line.complete(request("/backend-api/codex/models", method=b"GET", **fields), {})
        socket = upgraded(line, PLUS, **fields)
        for _ in range(3):
            line.say(socket, b'{"type":"response.create","input":[]}', from_client=True)
            line.say(socket, LIMITS_EVENT)
        line.tap.websocket_end(socket)
    assert line.holds_nothing
    assert [line.rows("count(*)", table=table) for table in ("snapshots", "requests", "accounts")] == [[(0,)]] * 3
    assert unknown_logins(line) == [("unknown_login", "Basic", 3), ("unknown_login", "none", 3)]
    assert secret[:8].encode() not in b"".join(path.read_bytes() for path in line.database.parent.iterdir())


def stored_accounts(line: Line) -> list[tuple[Any, ...]]:
    line.tap.done()
    with closing(sqlite3.connect(line.database)) as connection:
        return connection.execute(
            "SELECT account_id, user_id, email, (SELECT count(*) FROM tokens WHERE account = a.id),"
            " (SELECT count(*) FROM snapshots WHERE account = a.id) FROM accounts a ORDER BY id"
        ).fetchall()


def test_agent_assertions(line: Line) -> None:
    """Logins that are signed anew for each request are one account, with one token key."""
    for number in range(5):
        login = f"AgentAssertion eyJ{number}{'x' * 200}"
        line.complete(request(token=None, Authorization=login, chatgpt_account_id="workspace"), PLUS)
    assert stored_accounts(line) == [("workspace", "", None, 1, 1)]
    assert unknown_logins(line) == []


def test_opaque_tokens_of_one_account(line: Line) -> None:
    """They are one account, and its user's once a usage document names the user."""
    named = {**USAGE, "account_id": "workspace", "user_id": "user-1", "email": "ann@example.com"}
    tokens = [f"at-{number}-{'x' * 60}" for number in range(4)]
    for token in tokens[:3]:
        line.complete(request(token=token, chatgpt_account_id="workspace"), PLUS)
    usage = request("/backend-api/wham/usage", method=b"GET", token=tokens[1], chatgpt_account_id="workspace")
    line.complete(usage, {"content-type": "application/json"}, chunks=[json.dumps(named).encode()])
    line.complete(request(token=tokens[3], chatgpt_account_id="workspace"), PLUS)
    ((*who, snapshots),) = stored_accounts(line)
    assert who == ["workspace", "user-1", "ann@example.com", 4]
    assert snapshots >= 1


def test_short_tokens(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    """The key of a short token is keyed with the secret beside the database, which is private and stays the same."""
    line.complete(request(token="hunter42"), PLUS)
    ((key,),) = line.rows("token_key")
    secret = token_secret_path(line.database)
    assert key == identity.token_key(b"hunter42", secret.read_bytes())
    assert hashlib.sha256(b"hunter42").hexdigest()[:10].encode() not in line.database.read_bytes()
    if os.name == "posix":
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert not caplog.messages


def test_a_secret_that_cannot_be_used(line: Line, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without it no key gives a token away: a secret of the process keys them."""
    line.database = tmp_path / "other.sqlite3"
    token_secret_path(line.database).write_bytes(b"short")
    line.configure(codex_tap_db=str(line.database))
    line.complete(request(token="hunter42"), PLUS)
    ((key,),) = line.rows("token_key")
    assert key not in {identity.token_key(b"hunter42", b"short"), f"hu~{hashlib.sha256(b'hunter42').hexdigest()[:10]}"}
    assert any("is a new account after each start" in message for message in logged(caplog))


def test_everything_is_streamed(line: Line) -> None:
    """Requests and responses of every host are streamed; mitmproxy would otherwise hold whole bodies back."""
    for flow in (request("/backend-api/codex/models"), request(host="example.com", sni="example.com")):
        line.respond(line.open(flow), {})
        assert flow.request.stream is True
        assert flow.response
        assert flow.response.stream is True


def test_owner_model_and_thread(line: Line) -> None:
    """A snapshot has the account, the token's key, the model and the thread of its request."""
    flow = request(chatgpt_account_id="workspace", thread_id="019a-thread", x_codex_routing_hint="model=gpt-6.1-sol")
    line.complete(flow, PLUS)
    key = identity.token_key(TOKEN.encode(), b"unused")
    assert line.rows("model", "thread", "token_key") == [("gpt-6.1-sol", "019a-thread", key)]
    with closing(sqlite3.connect(line.database)) as connection:
        accounts = connection.execute("SELECT account_id, user_id, email FROM accounts").fetchall()
    assert accounts == [("workspace", "user", "someone@example.com")]


def test_no_token_in_the_database(line: Line) -> None:
    """The database and its log contain no byte of a token except the prefix in its key."""
    line.complete(request(), PLUS)
    written = b"".join(file.read_bytes() for file in line.database.parent.iterdir())
    assert TOKEN[:20].encode() not in written or TOKEN[:21].encode() not in written
    assert TOKEN.split(".")[1].encode() not in written
    assert TOKEN.split(".")[2].encode() not in written


# Where figures are read


def test_refusal(line: Line) -> None:
    """A 429 is recorded from its headers and completed from its JSON body, under the billed limit."""
    refused = {
        "x-codex-active-limit": "codex_fox",
        "x-codex-fox-primary-used-percent": "100",
        "x-codex-fox-primary-window-minutes": "300",
        "content-type": "application/json",
    }
    body = b'{"error": {"type": "usage_limit_reached", "resets_at": 1795252200}}'
    line.complete(request(), refused, status=429, chunks=[body[:20], body[20:]])
    assert line.rows("source", "status", "limit_id", "used_5h_percent", "limit_reached", "reached_until") == [
        ("headers", 429, "codex_fox", 100.0, None, None),
        ("error", 429, "codex_fox", 100.0, 1, 1_795_252_200),
    ]


def test_server_sent_events(line: Line) -> None:
    """Events are read as they pass, and stored with the status of the response."""
    stream = b"event: response.created\ndata: {}\n\nevent: codex.rate_limits\ndata: " + LIMITS_EVENT + b"\n\ndata: {"
    flow = line.open(request())
    line.respond(flow, {"content-type": "Text/Event-Stream; charset=utf-8"}, chunks=[stream[:70], stream[70:]])
    line.tap.error(flow)
    assert line.holds_nothing
    assert line.rows("source", "status", "used_5h_percent") == [("sse", 200, 14.0)]


def test_usage(line: Line) -> None:
    """The usage document is read when any client requests it."""
    body = b'{"plan_type":"plus","rate_limit":{"primary_window":{"used_percent":41,"limit_window_seconds":604800}}}'
    line.complete(request("/backend-api/wham/usage?x=1", method=b"GET"), {}, chunks=[body])
    line.complete(request("/backend-api/wham/other", method=b"GET"), {}, chunks=[body.replace(b"41", b"42")])
    line.complete(request("/backend-api/wham/usage", method=b"POST"), {}, chunks=[body.replace(b"41", b"43")])
    assert line.rows("source", "status", "used_7d_percent", "plan_type") == [("usage", 200, 41.0, "plus")]


def test_usage_compressed(line: Line) -> None:
    """A compressed body is decoded for reading, and reaches the client unchanged."""
    import gzip

    body = gzip.compress(b'{"rate_limit":{"primary_window":{"used_percent":41,"limit_window_seconds":604800}}}')
    chunks = [body[index : index + 1] for index in range(len(body))]
    line.complete(request("/api/codex/usage", method=b"GET"), {"content-encoding": "gzip"}, chunks=chunks)
    assert line.rows("source", "used_7d_percent", "observations") == [("usage", 41.0, 1)]


def test_upgrade(line: Line) -> None:
    """The headers of a websocket's upgrade are recorded, and the upgrade is not streamed."""
    flow = upgraded(line, PLUS)
    assert flow.response
    assert flow.response.stream is False
    assert not line.holds_nothing
    assert line.rows("source", "status", "used_5h_percent") == [("upgrade", 101, 13.0)]


def test_websocket_messages(line: Line) -> None:
    """Messages of a websocket are stored with their own times, and with the model that the client's message names."""
    flow = upgraded(line, {}, x_codex_routing_hint="model=gpt-6.1-sol")
    line.say(flow, LIMITS_EVENT)
    line.say(flow, b'{"type":"response.create","model":"gpt-6.1-luna","input":[]}', from_client=True)
    line.say(flow, b'{"type":"response.processed"}', from_client=True)
    line.say(flow, LIMITS_EVENT, from_client=True)
    line.say(flow, b"\x00\xff")
    line.say(flow, ERROR_EVENT)
    assert line.rows("source", "status", "model", "limit_reached", "first_seen_at") == [
        ("websocket", None, "gpt-6.1-sol", None, NOW + 1),
        ("error", 429, "gpt-6.1-luna", 1, NOW + 1),
    ]


def test_a_response_is_late_only_if_it_was_requested_before(line: Line) -> None:
    """Parallel responses overtake each other; one requested after the arrival of the current one is newer."""

    def resets(used: int, server_time: float) -> dict[str, str]:
        return {
            **PLUS,
            "x-codex-primary-used-percent": str(used),
            "x-codex-primary-reset-after-seconds": str(1_795_252_200 - int(server_time)),
        }

    for used, requested_at, server_time in ((20, NOW - 4, NOW + 5), (10, NOW - 5, NOW), (30, NOW + 0.5, NOW)):
        flow = request()
        flow.request.timestamp_start = requested_at
        line.complete(flow, resets(used, server_time))
    socket = upgraded(line)
    for used in (15, 40):
        windows = {
            "primary": {
                "used_percent": used,
                "window_minutes": 300,
                "reset_at": 1_795_252_200,
                "reset_after_seconds": 9_003,
            }
        }
        line.say(socket, json.dumps({"type": "codex.rate_limits", "rate_limits": windows}).encode())
        line.say(socket, b'{"type":"response.create","model":"gpt-6.1-sol","input":[]}', from_client=True)
    assert line.rows("used_5h_percent", "late") == [(20.0, 0), (10.0, 1), (30.0, 0), (15.0, 1), (40.0, 0)]


def test_websocket_memory(line: Line) -> None:
    """An open websocket holds only its last message, on a foreign host too; a closed one holds none."""
    for flow in (upgraded(line), upgraded(line, host="example.com")):
        for number in range(100):
            line.say(flow, b"message %d" % number, from_client=number % 2 == 0)
            assert flow.websocket
            assert [message.content for message in flow.websocket.messages] == [b"message %d" % number]
        line.tap.websocket_end(flow)
        assert flow.websocket
        assert flow.websocket.messages == []


# State is released


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda line, flow: line.tap.response(flow), id="response"),
        pytest.param(lambda line, flow: line.tap.error(flow), id="error"),
        pytest.param(lambda line, flow: line.tap.response(line.respond(flow, status=101)), id="another upgrade"),
    ],
)
def test_release(line: Line, end: Callable[[Line, HTTPFlow], None]) -> None:
    """However a request ends, none of its state is left."""
    flow = line.respond(line.open(request()), PLUS)
    assert not line.holds_nothing
    end(line, flow)
    assert line.holds_nothing


def test_release_of_a_websocket(line: Line) -> None:
    """The state of a websocket stays until its end; a second end is harmless."""
    flow = upgraded(line)
    assert not line.holds_nothing
    line.tap.websocket_end(flow)
    line.tap.error(flow)
    assert line.holds_nothing


def test_days_to_keep(line: Line) -> None:
    """A number of days below 0 is refused, and the earlier number stays."""
    line.tap.running()
    line.configure(codex_tap_keep_days=90)
    with pytest.raises(exceptions.OptionsError, match="0 to keep everything"):
        line.configure(codex_tap_keep_days=-1)
    assert line.context.options.codex_tap_keep_days == 90


# Turns


# A failure of ours is no failure of the traffic


def _fail(*_: object, **__: object) -> None:
    raise RuntimeError(FAILED)


@pytest.mark.parametrize(
    ("module", "parser"),
    [
        (headers, "collect"),
        (headers, "read"),
        (messages, "read_event"),
        (messages, "read_usage"),
        (messages, "read_error_body"),
        (identity, "identify"),
        (identity, "token_key"),
        (flows, "Exchange"),
        (turns, "parse_response_create"),
        (turns, "parse_turn_end"),
        (turns, "parse_turn_body"),
        (turns, "finished_turn"),
        (observations, "Snapshot"),
        (bodies, "decoder"),
        (bodies, "Document"),
        (bodies, "events"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_failing_parser(
    line: Line,
    module: object,
    parser: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A failing parser affects no traffic; it is logged once, without any of what it read."""
    monkeypatch.setattr(module, parser, _fail)
    for _ in range(3):
        line.complete(request("/backend-api/wham/usage", method=b"GET"), PLUS, chunks=[b"{}"])
        line.complete(request(), PLUS, status=429, chunks=[ERROR_EVENT])
        line.complete(request(), STREAM, chunks=[b"data: " + LIMITS_EVENT + b"\n\n"])
        flow = upgraded(line, PLUS)
        line.say(flow, LIMITS_EVENT)
        line.say(flow, b'{"type":"response.create"}', from_client=True)
        line.tap.websocket_end(flow)
    assert line.holds_nothing
    line.tap.done()
    lines = logged(caplog, logging.INFO)
    assert lines
    assert len(logged(caplog)) == len(set(logged(caplog))) <= 3
    assert all("RuntimeError" in text and FAILED not in text and TOKEN not in text for text in lines)
    assert all(record.exc_info is None for record in caplog.records)


def test_failures_of_two_kinds(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    """Each kind of failure in each hook is logged once, with its place in the code."""
    broken: list[Any] = [None, None, 5]
    for flow in broken:
        line.tap.response(flow)
    line.tap.websocket_end(broken[0])
    line.tap._log_failure_once("elsewhere", ValueError(FAILED))
    assert [text.partition(" at ")[0] for text in logged(caplog)] == [
        "codex-tap: response failed (AttributeError",
        "codex-tap: websocket_end failed (AttributeError",
        "codex-tap: elsewhere failed (ValueError",
    ]
    assert "tap.py:" in logged(caplog)[0]
    assert "at ?)" in logged(caplog)[2]


def test_hooks_without_their_parts(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    """A flow without a response or a websocket is passed over in silence."""
    flow = line.open(request())
    flow.response = None
    line.tap.responseheaders(flow)
    line.tap.websocket_message(flow)
    line.tap.websocket_end(flow)
    assert logged(caplog) == []


def test_broken_body(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    """A body that does not match its encoding passes unchanged; one line mentions it, below the level of a warning."""
    flow = request("/backend-api/wham/usage", method=b"GET")
    line.complete(flow, {"content-encoding": "gzip"}, chunks=[b"not gzip", b"at all"])
    assert logged(caplog) == []
    assert logged(caplog, logging.INFO) == ["codex-tap: stopped parsing a response body (error)"]


def test_too_many_limits(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    """The number of limits that were left out is logged once."""
    many = {f"x-codex-f{number}-primary-used-percent": "1" for number in range(200)}
    line.complete(request(), many)
    line.complete(request(), many)
    assert len(line.rows("id")) == 16
    assert logged(caplog) == ["codex-tap: a response named too many limits; 184 were left out"]


# Hosts that a response leads Codex to


ACCOUNTS_CHECK = "/backend-api/wham/accounts/check"
AU: dict[str, Any] = {"host": "au.chatgpt.com", "sni": "au.chatgpt.com", "named": "au.chatgpt.com"}


def accounts(origin: str = "https://au.chatgpt.com", **more: object) -> bytes:
    entry = {"id": "the-marked-workspace", "workspace_backend_origin": origin, **more}
    return json.dumps({"accounts": [entry], "email": "marked@example.com"}).encode()


def sightings(line: Line) -> list[tuple[Any, ...]]:
    """Stop recording and return what was seen by name."""
    line.tap.done()
    with closing(sqlite3.connect(line.database)) as connection:
        return connection.execute("SELECT kind, name, count FROM sightings ORDER BY kind, name").fetchall()


def is_watched(line: Line, host: str) -> bool:
    """Return True if the tap would decrypt a connection to a host, and read the figures of its responses."""
    asked = line.open(request(host=host, sni=host, named=host))
    return line.tap._hosts.watches(host, host) and line.tap._flows.classify(asked) is not None


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("", bytes),
        ("gzip", gzip.compress),
        ("br", brotli.compress),
        ("zstd", zstandard.compress),
        ("deflate", zlib.compress),
    ],
)
def test_a_host_is_learned(line: Line, encoding: str, encode: Callable[[bytes], bytes]) -> None:
    """A response of chatgpt.com leads to a further host, which is watched from then on; nothing else is kept of it."""
    assert not is_watched(line, "au.chatgpt.com")
    body = encode(accounts())
    fields = {"content-type": "application/json", "content-encoding": encoding}
    check = request(ACCOUNTS_CHECK, method=b"GET")
    line.complete(check, fields, chunks=[body[:20], body[20:]])
    assert is_watched(line, "au.chatgpt.com")
    line.complete(request(**AU), PLUS)
    assert line.rows("used_5h_percent") == [(13.0,)]
    assert sightings(line) == [("host", "au.chatgpt.com", 1)]
    written = b"".join(file.read_bytes() for file in line.database.parent.iterdir())
    assert b"marked" not in written


@pytest.mark.parametrize("names", [{"named": None, "authority": "chatgpt.com"}, {"host": "104.18.32.47"}])
def test_a_host_is_learned_over_http2_and_by_address(line: Line, names: dict[str, Any]) -> None:
    """Each name that there is has to be chatgpt.com."""
    line.complete(request(f"{ACCOUNTS_CHECK}?x=1", method=b"GET", **names), chunks=[accounts()])
    assert is_watched(line, "au.chatgpt.com")


@pytest.mark.parametrize(
    ("asked", "response"),
    [
        pytest.param(
            {"host": "gateway.example", "sni": "gateway.example", "named": "gateway.example"}, {}, id="gateway"
        ),
        pytest.param({"host": "gateway.example"}, {}, id="gateway under another name"),
        pytest.param({"host": "us.chatgpt.com", "sni": "us.chatgpt.com", "named": "us.chatgpt.com"}, {}, id="us"),
        pytest.param({"named": "api.openai.com"}, {}, id="another watched host"),
        pytest.param({"method": b"POST"}, {}, id="no question"),
        pytest.param({"path": "/backend-api/codex/models"}, {}, id="another path"),
        pytest.param({"path": "/x?/wham/accounts/check"}, {}, id="a query"),
        pytest.param({}, {"status": 403}, id="refused"),
        pytest.param({}, {"status": 302}, id="led elsewhere"),
        pytest.param({}, {"chunks": [accounts(filler="x" * bodies.MAX_JSON_LENGTH)]}, id="too long"),
        pytest.param({}, {"chunks": [accounts()[:-9]]}, id="cut off"),
        pytest.param({}, {"fields": {"content-encoding": "gzip"}}, id="not what it says"),
        pytest.param({}, {"fields": {"content-encoding": "unknown"}}, id="an unknown encoding"),
    ],
)
def test_no_host_is_learned(line: Line, asked: dict[str, Any], response: dict[str, Any]) -> None:
    """From anything but a complete accounts/check response of chatgpt.com."""
    line.configure(codex_tap_hosts=["gateway.example"])
    line.complete(
        request(**{"path": ACCOUNTS_CHECK, "method": b"GET", **asked}), **{"chunks": [accounts()], **response}
    )
    assert not is_watched(line, "au.chatgpt.com")
    assert sightings(line) == []


def test_plain_http_teaches_nothing(line: Line) -> None:
    """Without TLS anybody could respond."""
    check = request(ACCOUNTS_CHECK, method=b"GET", sni=None)
    check.request.scheme = "http"
    line.complete(check, chunks=[accounts()])
    assert not is_watched(line, "au.chatgpt.com")
    assert sightings(line) == []


def test_other_hosts_are_counted(line: Line) -> None:
    """They are not watched, and a password in an origin is not kept."""
    for origin in ("https://evil.example", "https://me:secret@au.chatgpt.com:8443/x", "https://ab.chatgpt.com") * 2:
        line.complete(request(ACCOUNTS_CHECK, method=b"GET"), chunks=[accounts(origin)])
    line.complete(request(ACCOUNTS_CHECK, method=b"GET"), chunks=[accounts("NO_CONSTRAINT")])
    line.complete(request(ACCOUNTS_CHECK, method=b"GET"), chunks=[accounts("https://us.chatgpt.com")])
    assert not any(is_watched(line, host) for host in ("evil.example", "au.chatgpt.com", "ab.chatgpt.com"))
    assert sightings(line) == [
        ("other_host", "ab.chatgpt.com", 2),
        ("other_host", "evil.example", 2),
        ("other_host", "https://au.chatgpt.com:8443", 2),
    ]


def test_learned_hosts_are_remembered(line: Line) -> None:
    """The next proxy with the same database watches them from its start, and so does this one with other options."""
    line.complete(request(ACCOUNTS_CHECK, method=b"GET"), chunks=[accounts()])
    line.tap.done()
    line.configure(codex_tap_hosts=["gateway.example"])
    assert is_watched(line, "au.chatgpt.com")
    with proxy(later := Tap()) as context:
        context.configure(later, codex_tap_db=str(line.database))
        assert later._hosts.watches("au.chatgpt.com", "au.chatgpt.com")
        later.done()


def test_learned_hosts_that_cannot_be_read(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tap starts without them."""

    def locked(_path: Path, _seconds: float) -> sqlite3.Connection:
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(tap_module, "open_reader", locked)
    with proxy(later := Tap()) as context:
        context.configure(later, codex_tap_db=str(line.database))
        assert later._hosts.learned == frozenset()
        later.done()


# Options and the start


def test_start_line(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    """At the start one line names the watched hosts and the database."""
    line.configure(codex_tap_hosts=["Gateway.Example"])
    line.tap.running()
    hosts = "api.openai.com, chat.openai.com, chatgpt.com, gov.chatgpt.com, us.chatgpt.com, gateway.example"
    assert logged(caplog, logging.INFO) == [f"codex-tap: reading the limits of {hosts} into {line.database}"]


def test_gateway(line: Line) -> None:
    """A gateway given as an option is read in addition to Codex's own hosts."""
    line.configure(codex_tap_hosts=["gateway.example"])
    line.complete(request(host="gateway.example", sni="gateway.example", named="gateway.example:443"), PLUS)
    line.complete(request(), {**PLUS, "x-codex-primary-used-percent": "15"})
    assert line.rows("used_5h_percent") == [(13.0,), (15.0,)]


@pytest.mark.parametrize(
    "host", ["https://gateway.example", "gateway.example:443", "gateway.example/v1", "", "a b", "*"]
)
def test_bad_host(line: Line, caplog: pytest.LogCaptureFixture, host: str) -> None:
    """A bad host is one error line at the start; later it is an error of the option, which keeps its value."""
    line.configure(codex_tap_hosts=[host])
    line.tap.configure({"codex_tap_hosts"})
    (error,) = logged(caplog, logging.ERROR)
    assert error.startswith(f"codex-tap: codex_tap_hosts: {host!r} is not a host name")
    line.configure(codex_tap_hosts=[])
    line.tap.running()
    with pytest.raises(exceptions.OptionsError, match="codex_tap_hosts: "):
        line.configure(codex_tap_hosts=[host])
    line.complete(request(), PLUS)
    assert len(line.rows("id")) == 1


def test_bad_database_at_start(unready: Line, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An unusable database is one error line at the start, and mitmproxy ends."""
    unready.configure(codex_tap_db=str(tmp_path))
    (error,) = logged(caplog, logging.ERROR)
    assert error.startswith(f"codex-tap: {tmp_path} ")
    assert "\n" not in error
    unready.complete(request(), PLUS)
    assert unready.holds_nothing


def test_bad_database_later(line: Line, tmp_path: Path) -> None:
    """While running, an unusable database is refused, and recording into the earlier one continues."""
    line.tap.running()
    with pytest.raises(exceptions.OptionsError, match=tmp_path.name):
        line.configure(codex_tap_db=str(tmp_path))
    line.complete(request(), PLUS)
    assert len(line.rows("id")) == 1


def test_another_database(line: Line, tmp_path: Path) -> None:
    """A database changed while running gets the later readings, and the earlier one has the earlier readings."""
    line.complete(request(), PLUS)
    line.configure(codex_tap_db=str(tmp_path / "other.sqlite3"))
    line.complete(request(), {**PLUS, "x-codex-primary-used-percent": "15"})
    assert line.rows("used_5h_percent") == [(13.0,)]
    line.database = tmp_path / "other.sqlite3"
    assert line.rows("used_5h_percent") == [(15.0,)]


def test_default_database(unready: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the option the database is the one that CODEX_TAP_DB names."""
    monkeypatch.setenv("CODEX_TAP_DB", str(unready.database))
    unready.configure(codex_tap_db="")
    unready.complete(request(), PLUS)
    assert len(unready.rows("id")) == 1


def test_home_in_the_database(line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tilde in the option is the home folder."""
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    line.configure(codex_tap_db="~/of-home.sqlite3")
    line.complete(request(), PLUS)
    line.database = tmp_path / "of-home.sqlite3"
    assert len(line.rows("id")) == 1


def test_done_twice(line: Line) -> None:
    """A second stop is harmless, and responses that were under way are recorded after it."""
    line.complete(request(), PLUS)
    line.tap.done()
    line.tap.done()
    line.complete(request(), {**PLUS, "x-codex-primary-used-percent": "15"})
    assert line.rows("used_5h_percent") == [(13.0,), (15.0,)]


@pytest.mark.parametrize("importable", [True, False])
def test_script(monkeypatch: pytest.MonkeyPatch, *, importable: bool) -> None:
    """The script loads the tap in mitmdump by its path; it adds the root folder to sys.path if it is missing."""
    root = str(SCRIPT.parent.parent)
    others = [folder for folder in sys.path if folder != root]
    monkeypatch.setattr(sys, "path", [root, *others] if importable else others)
    with proxy() as context:
        (addon,) = context.script(str(SCRIPT)).addons
        assert isinstance(addon, Tap)
    assert sys.path.count(root) == 1


def test_lifeline(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lifeline starts only if the launcher requests it."""
    started: list[object] = []
    monkeypatch.setattr(tap_module._lifeline, "start", lambda address, _summary: started.append(address))
    line.tap.running()
    assert started == []
    line.configure(codex_tap_lifeline=True)
    line.tap.running()
    assert started == [None]


# TLS


def client_hello(name: str | None) -> bytes:
    """Return the first flight of a real TLS client, with or without a server name."""
    context = ssl.create_default_context()
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(
    ("address", "name", "tunnelled"),
    [
        ("chatgpt.com", "chatgpt.com", False),
        ("CHATGPT.COM", "chatgpt.com", False),
        ("chatgpt.com", None, False),
        ("104.18.32.47", "chatgpt.com", False),
        (None, "chatgpt.com", False),
        ("github.com", "github.com", True),
        ("ab.chatgpt.com", "ab.chatgpt.com", True),
        ("chatgpt.com.example", "chatgpt.com.example", True),
        ("chatgpt.com", "github.com", True),
        ("github.com", "chatgpt.com", True),
        ("140.82.121.4", "github.com", True),
        ("140.82.121.4", None, True),
        (None, None, True),
    ],
)
def test_foreign_connections_are_tunnelled(
    line: Line, address: str | None, name: str | None, *, tunnelled: bool
) -> None:
    """A TLS connection to any other host is passed on without being decrypted."""
    context = Context(tflow.tclient_conn(), line.context.options)
    context.server.address = None if address is None else (address, 443)
    hello = parse_client_hello(client_hello(name))
    assert hello is not None
    data = ClientHelloData(context, hello)
    line.tap.tls_clienthello(data)
    assert data.ignore_connection is tunnelled
