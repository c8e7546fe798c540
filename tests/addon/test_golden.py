"""Captures from the wire, each with the readings that are expected of it.

``tests/data/NAME.json`` holds a capture::

    {"about": "...", "source": "headers", "observed_at": 1795243200, "headers": [["name", "value"], ...]}
    {"about": "...", "source": "websocket", "observed_at": 1795243200, "message": {...}}
    {"about": "...", "source": "usage", "observed_at": 1795243200, "body": {...}}

`source` is ``headers``, ``upgrade``, ``websocket``, ``sse`` (its `stream` is a text), ``usage`` or ``error_body`` (with
the limit that was `charged`). ``tests/data/NAME.expected.json`` holds the readings, without unset fields.

A new capture is a new test. ``python -m tests.addon.test_golden`` writes the expected files again; compare its
changes with the wire by eye.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from addon import bodies, headers, messages
from store.models import Source

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


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_capture(capture: Path) -> None:
    """A capture is read as its expected file says."""
    assert [as_json(parsed) for parsed in read(load(capture))] == load(expected_file(capture))


def test_no_stray_files() -> None:
    """There are captures, and each expected file belongs to one of them."""
    assert CAPTURES
    assert {expected_file(capture) for capture in CAPTURES} == set(DATA.glob("*.expected.json"))


def write_expected() -> None:
    """Write the expected file of every capture again."""
    for capture in CAPTURES:
        shown = [as_json(parsed) for parsed in read(load(capture))]
        expected_file(capture).write_text(json.dumps(shown, indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    write_expected()
