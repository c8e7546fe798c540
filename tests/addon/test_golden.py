"""Captures from the wire, each with the readings that are expected of it.

``tests/data/NAME.json`` holds a capture::

    {"about": "...", "source": "headers", "observed_at": 1795243200, "headers": [["name", "value"], ...]}
    {"about": "...", "source": "websocket", "observed_at": 1795243200, "message": {...}}
    {"about": "...", "source": "usage", "observed_at": 1795243200, "body": {...}}
    {"about": "...", "source": "turn", "observed_at": 1795243200, "request": [["name", "value"], ...],
     "message": {...}, "ending": {...}}

`source` is ``headers``, ``upgrade``, ``websocket``, ``sse`` (its `stream` is a text), ``usage``, ``error_body`` (with
the limit that was `charged`) or ``turn`` (its `request` has the headers, and `message` is null over HTTP).
``tests/data/NAME.expected.json`` holds the readings, or the turn without its account, without unset fields.

A new capture is a new test. ``python -m tests.addon.test_golden`` writes the expected files again; compare its
changes with the wire by eye.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.http import Headers
from mitmproxy.test import tflow, tutils

from addon import bodies, headers, messages, turns
from addon.flows import FlowClassifier
from addon.hosts import Hosts
from store.models import Source, Turn

DATA = Path(__file__).parents[1] / "data"
CAPTURES = sorted(path for path in DATA.glob("*.json") if not path.stem.endswith(".expected"))


def expected_file(capture: Path) -> Path:
    return capture.with_suffix(".expected.json")


def read(capture: dict[str, Any]) -> list[messages.ParsedMessage]:
    """Return the parsed messages of a capture, in their order."""
    at, source = capture["observed_at"], capture["source"]
    if source in {"headers", "upgrade"}:
        fields = [(name.encode(), value.encode("latin-1")) for name, value in capture["headers"]]
        reading = headers.read(headers.collect(fields), at)
        return [messages.ParsedMessage(Source(source), reading)] if reading else []
    if source == "sse":
        parsed: list[messages.ParsedMessage | None] = []
        feed = bodies.events(lambda data: parsed.append(messages.read_event(data, at, Source.SSE)))
        feed(capture["stream"].encode())
        return [one for one in parsed if one]
    if source == "websocket":
        return _one(messages.read_event(json.dumps(capture["message"]).encode(), at))
    content = json.dumps(capture["body"]).encode()
    if source == "error_body":
        return _one(messages.read_error_body(content, at, capture["charged"]))
    return _one(messages.read_usage(content, at))


def _one(parsed: messages.ParsedMessage | None) -> list[messages.ParsedMessage]:
    return [parsed] if parsed else []


def as_json(parsed: messages.ParsedMessage) -> dict[str, Any]:
    """Return the fields of a parsed message that are set."""
    shown: dict[str, Any] = {"source": parsed.source.value}
    if parsed.status is not None:
        shown["status"] = parsed.status
    return {**shown, "reading": parsed.reading.model_dump(mode="json", exclude_defaults=True)}


def load(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def read_turn(capture: dict[str, Any]) -> Turn:
    """Return the turn of a capture."""
    at, message = capture["observed_at"], capture["message"]
    fields = [(name.encode(), value.encode()) for name, value in capture["request"]]
    made = tutils.treq(
        scheme=b"https",
        host="chatgpt.com",
        method=b"POST" if message is None else b"GET",
        path=b"/backend-api/codex/responses",
        authority=b"",
        headers=Headers([(b"host", b"chatgpt.com"), (b"authorization", b"Bearer opaque"), *fields]),
        timestamp_start=at,
    )
    flow = tflow.tflow(req=made)
    flow.client_conn.sni = "chatgpt.com"
    exchange = FlowClassifier(Hosts(), b"secret").classify(flow)
    assert exchange
    content = json.dumps(message).encode()
    turn = exchange.turn if message is None else turns.parse_response_create(content, at, exchange.info)
    ending = turns.parse_turn_end(json.dumps(capture["ending"]).encode())
    assert turn
    assert ending
    return turns.finished_turn(turn, "codex", ending, at + 5)


def result(capture: dict[str, Any]) -> Any:
    """Return what a capture is read as."""
    if capture["source"] == "turn":
        return read_turn(capture).model_dump(mode="json", exclude_defaults=True, exclude={"identity"})
    return [as_json(parsed) for parsed in read(capture)]


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_capture(capture: Path) -> None:
    """A capture is read as its expected file says."""
    assert result(load(capture)) == load(expected_file(capture))


def test_no_stray_files() -> None:
    """There are captures, and each expected file belongs to one of them."""
    assert CAPTURES
    assert {expected_file(capture) for capture in CAPTURES} == set(DATA.glob("*.expected.json"))


def write_expected() -> None:
    """Write the expected file of every capture again."""
    for capture in CAPTURES:
        shown = result(load(capture))
        expected_file(capture).write_text(json.dumps(shown, indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    write_expected()
