"""Turns, recorded by the hooks."""

from __future__ import annotations

import json
from typing import Any

import pytest

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


def test_turn_over_http(line: Line) -> None:
    """A turn becomes a row at `response.completed`; Codex cancels the stream right after that."""
    flow = line.open(request(thread_id="t-1", session_id="s-1", x_codex_routing_hint="model=gpt-6.1-sol"))
    fields = {"content-type": "text/event-stream", "x-codex-active-limit": "codex_fox", **PLUS}
    fields |= {"x-codex-fox-primary-used-percent": "5", "x-codex-fox-primary-window-minutes": "300"}
    line.respond(flow, fields, chunks=[b"data: " + COMPLETED + b"\n\n"])
    line.tap.error(flow)

    assert line.rows(*TURN, "limit_id", *TOKENS, table="requests") == [
        ("http", "t-1", "s-1", "gpt-6.1-sol", 0, STARTED, NOW, 200, None, "codex_fox", 1000, 800, 50, 20)
    ]
    assert line.rows("thread", "name", table="(SELECT *, thread AS id FROM threads)") == [("t-1", None)]


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
