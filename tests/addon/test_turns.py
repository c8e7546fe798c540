"""Turns, recorded by the hooks."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from mitmproxy.test import tflow

from addon.exchange import RequestInfo
from addon.turns import (
    MAX_TURN_END_LENGTH,
    TurnResult,
    may_end,
    parse_response_create,
    parse_turn_end,
)
from store.models import Identity, Tokens
from tests.support.tap_line import NOW, PLUS, Line, request, upgraded

TURN = ("transport", "thread", "session", "model", "warm_up", "started_at", "first_byte_at", "status", "error_type")
TOKENS = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
COMPLETED = json.dumps(
    {
        "type": "response.completed",
        "response": {
            "usage": {
                "input_tokens": 1000,
                "input_tokens_details": {"cached_tokens": 800},
                "output_tokens": 50,
                "output_tokens_details": {"reasoning_tokens": 20},
            }
        },
    }
).encode()
STARTED = 946_681_200.0  # what mitmproxy's test requests say


def create(**fields: Any) -> bytes:
    return json.dumps({"type": "response.create", "model": "gpt-6.1-luna", "input": [], **fields}).encode()


def test_turn_over_http(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn becomes a row at `response.completed`; Codex cancels the stream right after that."""
    monkeypatch.setattr("addon.tap.time", SimpleNamespace(time=lambda: NOW + 3))
    flow = line.open(request(thread_id="t-1", session_id="s-1", x_codex_routing_hint="model=gpt-6.1-sol"))
    fields = {"content-type": "text/event-stream", "x-codex-active-limit": "codex_fox", **PLUS}
    fields |= {"x-codex-fox-primary-used-percent": "5", "x-codex-fox-primary-window-minutes": "300"}
    line.respond(flow, fields, chunks=[b"data: " + COMPLETED + b"\n\n"])
    line.tap.error(flow)

    assert line.rows(*TURN, "limit_id", *TOKENS, table="requests") == [
        ("http", "t-1", "s-1", "gpt-6.1-sol", 0, STARTED, NOW + 3, 200, None, "codex_fox", 1000, 800, 50, 20)
    ]
    assert line.rows("thread", "name", table="(SELECT *, thread AS id FROM threads)") == [("t-1", None)]


LIMITS = b'{"type":"codex.rate_limits","rate_limits":{"primary":{"used_percent":7,"window_minutes":300}}}'
CREATED = b'{"type":"response.created","response":{"id":"r-1"}}'
FAILED = b'{"type":"error","status":429,"error":{"type":"usage_limit_reached"}}'


@pytest.mark.parametrize(
    ("said", "begun"),
    [
        pytest.param([CREATED, COMPLETED], 1, id="the first event"),
        pytest.param([LIMITS, CREATED, COMPLETED], 2, id="limits ahead of it"),
        pytest.param([b": still here", LIMITS, CREATED, COMPLETED], 3, id="signs of life ahead of it"),
        pytest.param([LIMITS, FAILED], 2, id="a refusal"),
        pytest.param([CREATED, LIMITS, COMPLETED], 1, id="limits behind it"),
    ],
)
@pytest.mark.parametrize("transport", ["http", "websocket"])
def test_when_a_response_begins(
    line: Line, monkeypatch: pytest.MonkeyPatch, transport: str, said: list[bytes], begun: int
) -> None:
    """A response begins with the first event of its own, over both transports; one of them arrives each second."""
    if transport == "http":
        chunks = [content if content.startswith(b":") else b"data: " + content + b"\n\n" for content in said]
        flow = line.respond(line.open(request()), {"content-type": "text/event-stream"})
        for number, chunk in enumerate(chunks, 1):
            monkeypatch.setattr("addon.tap.time", SimpleNamespace(time=lambda at=NOW + number: at))
            line.stream(flow, chunk)
    else:
        flow = upgraded(line)
        line.say(flow, create(), from_client=True, at=NOW)
        for number, content in enumerate(said, 1):
            line.say(flow, content, at=NOW + number)
    assert line.rows("first_byte_at", "ended_at", table="requests") == [(NOW + begun, NOW + len(said))]


@pytest.mark.parametrize(
    ("chunks", "begun"),
    [
        pytest.param([b'{"object":', b"{}}"], 1, id="its first byte"),
        pytest.param([b""], 0, id="no body: the headers"),
    ],
)
def test_when_a_document_begins(line: Line, monkeypatch: pytest.MonkeyPatch, chunks: list[bytes], begun: int) -> None:
    """The response to a compaction begins with the first byte of its body, one that has none with its headers."""
    flow = line.respond(line.open(request("/backend-api/codex/responses/compact")), {})
    for number, chunk in enumerate([*chunks, b""], 1):
        monkeypatch.setattr("addon.tap.time", SimpleNamespace(time=lambda at=NOW + number: at))
        line.stream(flow, chunk)
    assert line.rows("first_byte_at", table="requests") == [(NOW + begun,)]


def test_turns_of_a_websocket(line: Line) -> None:
    """On a websocket turns follow each other; a warm-up is marked, and messages after the last end make no turn."""
    flow = upgraded(line, PLUS, thread_id="t-1", session_id="s-1")
    line.say(flow, create(generate=False), from_client=True)
    line.say(flow, COMPLETED)
    metadata = {"thread_id": "t-2", "x-codex-turn-metadata": json.dumps({"request_kind": "turn"})}
    line.say(flow, create(client_metadata=metadata), from_client=True)
    line.say(flow, b'{"type":"response.output_text.delta","delta":"..."}')
    line.say(flow, COMPLETED)
    line.tap.websocket_end(flow)

    assert line.rows("transport", "thread", "session", "model", "warm_up", "started_at", *TOKENS, table="requests") == [
        ("websocket", "t-1", "s-1", "gpt-6.1-luna", 1, NOW + 1, 1000, 800, 50, 20),
        ("websocket", "t-2", "s-1", "gpt-6.1-luna", 0, NOW + 1, 1000, 800, 50, 20),
    ]


@pytest.mark.parametrize(
    ("event", "status", "error"),
    [
        ({"type": "error", "status": 429, "error": {"type": "usage_limit_reached"}}, 429, "usage_limit_reached"),
        ({"type": "error", "status_code": 429, "error": {"code": "rate_limit"}}, 429, "rate_limit"),
        ({"type": "response.failed", "response": {"error": {"code": "server_error"}}}, None, "server_error"),
        ({"type": "response.incomplete", "response": {"incomplete_details": {"reason": "max"}}}, None, "max"),
        ({"type": "response.completed", "response": None}, None, None),
        ({"type": "response.output_item.done", "item": "error"}, None, "interrupted"),
    ],
)
def test_how_a_turn_ends(line: Line, event: dict[str, Any], status: int | None, error: str | None) -> None:
    """A failed turn has the server's error type; a turn without an end has our own, `interrupted`."""
    flow = upgraded(line)
    line.say(flow, create(), from_client=True)
    line.say(flow, json.dumps(event).encode())
    line.tap.websocket_end(flow)
    assert line.rows("status", "error_type", *TOKENS, table="requests") == [(status, error, *[None] * 4)]


def test_a_turn_without_an_end(line: Line) -> None:
    """A turn that is still open when the next one starts was interrupted."""
    flow = upgraded(line)
    for _ in range(2):
        line.say(flow, create(), from_client=True)
    line.say(flow, COMPLETED)
    assert line.rows("error_type", "input_tokens", table="requests") == [("interrupted", None), (None, 1000)]


@pytest.mark.parametrize(
    ("body", "status", "found"),
    [
        (b'{"output":[],"usage":{"input_tokens":7,"input_tokens_details":null}}', 200, (200, None, 7, None)),
        (b'{"output":[]}', 200, (200, None, None, None)),
        (b'{"error":{"type":"usage_limit_reached"}}', 429, (429, "usage_limit_reached", None, None)),
        (b"", 502, (502, None, None, None)),
    ],
)
def test_turn_with_a_json_response(line: Line, body: bytes, status: int, found: tuple[Any, ...]) -> None:
    """The response to a compaction is one JSON document, and so is a refusal."""
    line.complete(request("/backend-api/codex/responses/compact"), {}, status=status, chunks=[body])
    columns = ("status", "error_type", "input_tokens", "cached_tokens")
    assert line.rows(*columns, table="requests") == [found]


DETAILS = (
    "thread",
    "session",
    "model",
    "response_model",
    "reasoning_effort",
    "tier",
    "subagent",
    "parent_thread",
    "client",
)
METADATA = {
    "thread_id": "t-1",
    "session_id": "s-1",
    "model": "gpt-6.1-sol",
    "reasoning_effort": "high",
    "subagent_kind": "review",
    "parent_thread_id": "t-0",
    "request_kind": "turn",
    "workspaces": {"/home/ann/secret-project": {"remote": "https://user:word@git.example/x"}},
}


def completed(**response: Any) -> bytes:
    return json.dumps({"type": "response.completed", "response": {"usage": {"input_tokens": 7}, **response}}).encode()


@pytest.mark.parametrize(
    ("fields", "response", "expected"),
    [
        pytest.param({}, {}, [None] * 9, id="nothing told"),
        pytest.param({}, {"model": "gpt-x"}, [None, None, "gpt-x", *[None] * 6], id="the model of the response"),
        pytest.param(
            {"x-codex-routing-hint": "model=gpt-a;tier=priority"},
            {"model": "gpt-b"},
            [None, None, "gpt-a", "gpt-b", None, "priority", None, None, None],
            id="another model responded",
        ),
        pytest.param(
            {"x-codex-routing-hint": "model=gpt-a"},
            {"model": "gpt-a", "reasoning": {"effort": "low"}},
            [None, None, "gpt-a", None, "low", None, None, None, None],
            id="the effort of the response",
        ),
        pytest.param(
            {"session_id": "s-9", "originator": "opencode"},
            {"model": "gpt-x"},
            [None, "s-9", "gpt-x", *[None] * 5, "opencode"],
            id="another client",
        ),
        pytest.param(
            {"x-codex-turn-metadata": json.dumps(METADATA)},
            {"reasoning": {"effort": "low"}},
            ["t-1", "s-1", "gpt-6.1-sol", None, "high", None, "review", "t-0", None],
            id="metadata",
        ),
        pytest.param(
            {"x-openai-subagent": "review", "x-codex-parent-thread-id": "t-0", "thread-id": "t-1"},
            {},
            ["t-1", *[None] * 5, "review", "t-0", None],
            id="a sub-agent by its headers",
        ),
        pytest.param(
            {"x-codex-turn-metadata": '{"thread_id": "t-1", "thread_source": "thread_title"}'},
            {},
            ["t-1", *[None] * 5, "thread_title", None, None],
            id="a thread that makes the title of another one",
        ),
        pytest.param(
            {"x-codex-turn-metadata": json.dumps({**METADATA, "thread_source": "thread_title"})},
            {},
            ["t-1", "s-1", "gpt-6.1-sol", None, "high", None, "review", "t-0", None],
            id="a sub-agent with a source",
        ),
        pytest.param(
            {"x-codex-turn-metadata": '{"thread_id": "t-1", "thread_source": "user"}'},
            {},
            ["t-1", *[None] * 8],
            id="a thread of the user",
        ),
        pytest.param(
            {"x-codex-turn-metadata": json.dumps({**METADATA, "more": "x" * 70_000}), "originator": "x" * 500},
            {"model": ["x"], "reasoning": "high"},
            [*[None] * 8, "x" * 120],
            id="long and of wrong types",
        ),
        pytest.param(
            {"x-codex-turn-metadata": '{"reasoning_effort": "a\\u0000b", "subagent_kind": {}, "model": 5'},
            {"model": "m\x1b"},
            [None, None, "m�", *[None] * 6],
            id="no JSON",
        ),
    ],
)
def test_details_of_a_turn(line: Line, fields: dict[str, str], response: dict[str, Any], expected: list[Any]) -> None:
    """What a turn says of itself is stored, each field by itself, and its metadata never as a whole."""
    flow = line.open(request())
    flow.request.headers.update(fields)
    line.respond(flow, {"content-type": "text/event-stream"}, chunks=[b"data: " + completed(**response) + b"\n\n"])
    line.tap.response(flow)
    assert line.rows(*DETAILS, table="requests") == [tuple(expected)]
    assert b"secret-project" not in line.database.read_bytes()


def test_details_of_websocket_turns(line: Line) -> None:
    """Each message says it of its own turn; the upgrade says what a message leaves out."""
    flow = request(method=b"GET", x_codex_routing_hint="model=gpt-a;tier=flex", originator="codex_exec")
    line.respond(line.open(flow), {}, status=101)
    flow.websocket = tflow.twebsocket(messages=False)
    line.tap.response(flow)
    of_review = {
        "thread_id": "t-1",
        "x-openai-subagent": "review",
        "x-codex-parent-thread-id": "t-0",
        "x-codex-turn-metadata": json.dumps({"reasoning_effort": "high"}),
    }
    for message in (
        create(service_tier="priority", client_metadata=of_review),
        create(client_metadata={"session_id": "s-2"}),
    ):
        line.say(flow, message, from_client=True)
        line.say(flow, completed(model="gpt-6.1-luna-2026"))
    model = ("gpt-6.1-luna", "gpt-6.1-luna-2026")
    assert line.rows(*DETAILS, table="requests") == [
        ("t-1", None, *model, "high", "priority", "review", "t-0", "codex_exec"),
        ("t-1", "s-2", *model, None, "flex", "review", "t-0", "codex_exec"),
    ]


LONG = "x" * 200


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(b'{"type":"response.create"}', ("t-0", "gpt-a", "flex", False), id="nothing told"),
        pytest.param(
            create(input=[{"client_metadata": {"thread_id": "t-9"}}], client_metadata={"thread_id": "t-1"}),
            ("t-1", "gpt-6.1-luna", "flex", False),
            id="metadata within the conversation",
        ),
        pytest.param(create(input="client_metadata"), ("t-0", "gpt-6.1-luna", "flex", False), id="no field of it"),
        pytest.param(
            b'{"type":"response.create","client_metadata":{"thread_id":"t-1"},"input":"\xff"}',
            ("t-1", "gpt-a", "flex", False),
            id="no UTF-8",
        ),
        pytest.param(
            b'{"type":"response.create","client_metadata":{"thread_id":', ("t-0", "gpt-a", "flex", False), id="no JSON"
        ),
        pytest.param(
            b'{"type":"response.create","client_metadata":' + b"[" * 100_000,
            ("t-0", "gpt-a", "flex", False),
            id="absurdly deep",
        ),
        pytest.param(
            b'{"type":"response.create","instructions":"%s","model":"m","service_tier":"auto"}' % LONG.encode(),
            ("t-0", "gpt-a", "flex", False),
            id="model and tier far from the beginning",
        ),
        pytest.param(create(generate=True), ("t-0", "gpt-6.1-luna", "flex", False), id="generates something"),
        pytest.param(create(generate=False), ("t-0", "gpt-6.1-luna", "flex", True), id="generates nothing"),
        pytest.param(
            create(client_metadata={"x-codex-turn-metadata": json.dumps({"request_kind": "prewarm"})}),
            ("t-0", "gpt-6.1-luna", "flex", True),
            id="a warm-up by its metadata",
        ),
        pytest.param(
            create(client_metadata={"x-codex-turn-metadata": {"request_kind": "prewarm"}}),
            ("t-0", "gpt-6.1-luna", "flex", False),
            id="metadata that is no text",
        ),
    ],
)
def test_message_that_starts_a_turn(message: bytes, expected: tuple[str, str, str, bool]) -> None:
    """Each field is read by itself, wherever it can stand; what is missing is that of the socket."""
    inherited = RequestInfo(Identity(token_key="a~1"), "t-0", model="gpt-a", tier="flex")
    turn = parse_response_create(message, NOW, inherited)
    assert turn is not None
    assert (turn.info.thread, turn.info.model, turn.tier, turn.warm_up) == expected


@pytest.mark.parametrize(("more", "ends"), [(0, True), (1, False)])
def test_length_of_the_event_that_ends_a_turn(more: int, ends: bool) -> None:
    """A longer event than any real one is not parsed."""
    event = {"type": "response.completed", "response": {"usage": {"input_tokens": 7}, "output": ""}}
    missing = MAX_TURN_END_LENGTH - len(json.dumps(event))
    content = json.dumps(event).replace('""', f'"{"x" * (missing + more)}"').encode()
    assert len(content) == MAX_TURN_END_LENGTH + more
    assert parse_turn_end(content) == (TurnResult(Tokens(input=7)) if ends else None)


@pytest.mark.parametrize(
    ("event", "may"),
    [
        (COMPLETED, True),
        (b'{"type":"response.failed"}', True),
        (b'{"type":"response.incomplete"}', True),
        (b'{"type":"error"}', True),
        (b'{"type":"response.output_text.delta","delta":"response.completed error"}', False),
        (b"", False),
    ],
)
def test_events_that_may_end_a_turn(event: bytes, may: bool) -> None:
    """Events are told apart by their marks, before any JSON is parsed."""
    assert may_end(event) is may


def test_tokens_written_into_the_cache(line: Line) -> None:
    """They are a part of the input."""
    details = {"cached_tokens": 10, "cache_write_tokens": 5}
    line.complete(
        request("/backend-api/codex/responses/compact"),
        {},
        chunks=[json.dumps({"model": "m", "usage": {"input_tokens": 20, "input_tokens_details": details}}).encode()],
    )
    assert line.rows("input_tokens", "cached_tokens", "cache_write_tokens", "model", table="requests") == [
        (20, 10, 5, "m")
    ]


@pytest.mark.parametrize(
    ("said", "stored"), [("resp_1", "resp_1"), (7, None), (None, None)], ids=["text", "number", "none"]
)
def test_the_id_of_a_response(line: Line, said: object, stored: str | None) -> None:
    """It is what a turn in a session file is recognised by; one that is no text is left out."""
    flow = upgraded(line, PLUS, thread_id="t-1")
    line.say(flow, create(), from_client=True)
    line.say(flow, json.dumps({"type": "response.completed", "response": {"id": said}}).encode())
    line.tap.websocket_end(flow)

    assert line.rows("response_id", table="requests") == [(stored,)]


@pytest.mark.parametrize("names", [{"session_id": "s-1"}, {"conversation_id": "s-1"}])
def test_a_client_without_threads(line: Line, names: dict[str, str]) -> None:
    """Its turns have a session and no thread; what is listed is the session."""
    flow = line.open(request())
    flow.request.headers.update(names)
    line.complete(flow, {})
    assert line.rows("thread", "session", table="requests") == [(None, "s-1")]
    assert line.rows("thread", "is_session", table="(SELECT *, thread AS id FROM threads)") == [("s-1", 1)]


def test_turn_without_a_response(line: Line) -> None:
    """A turn without a response is a row without a first byte."""
    line.tap.error(line.open(request()))
    assert line.holds_nothing
    assert line.rows("first_byte_at", "status", "error_type", table="requests") == [(None, None, "interrupted")]


@pytest.mark.parametrize(
    ("path", "fields", "turns"),
    [
        ("/backend-api/codex/responses", {}, 1),
        ("/backend-api/codex/responses?x=1", {}, 1),
        ("/backend-api/codex/alpha/search", {}, 1),
        ("/backend-api/codex/images/generations", {}, 1),
        ("/v1/responses", {"thread_id": "t"}, 1),
        ("/v1/responses", {}, 0),
        ("/backend-api/codex/analytics-events/events", {"thread_id": "t"}, 0),
        ("/backend-api/wham/usage", {"thread_id": "t"}, 0),
    ],
)
def test_requests_that_are_turns(line: Line, path: str, fields: dict[str, Any], turns: int) -> None:
    """Only a request for output, made by Codex, is a turn."""
    line.complete(request(path, **fields), PLUS)
    assert line.rows("count(*)", table="requests") == [(turns,)]
