"""Captures as they come off the wire, each with what it says beside it.

``tests/data/NAME.json`` holds a capture::

    {"about": "...", "source": "headers", "observed_at": 1795243200, "headers": [["name", "value"], ...]}
    {"about": "...", "source": "websocket", "observed_at": 1795243200, "message": {...}}
    {"about": "...", "source": "usage", "observed_at": 1795243200, "body": {...}}

`source` is ``headers``, ``upgrade``, ``websocket``, ``sse`` (its `stream` is a text), ``usage`` or ``error_body`` (with
the limit that was `charged`). ``tests/data/NAME.expected.json`` holds the readings, beside what is not told.

A new capture is a new test. ``python -m tests.addon.test_golden`` writes the expected files anew; what it changes is
then to be compared with the wire by eye.
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
    """Return what a capture says, message by message."""
    at, source = capture["observed_at"], capture["source"]
    if source in {"headers", "upgrade"}:
        fields = [(name.encode(), value.encode("latin-1")) for name, value in capture["headers"]]
        reading = headers.read(headers.collect(fields), at)
        return [messages.ParsedMessage(Source(source), reading)] if reading else []
    if source == "sse":
        told: list[messages.ParsedMessage | None] = []
        feed = bodies.events(lambda data: told.append(messages.read_event(data, at, Source.SSE)))
        feed(capture["stream"].encode())
        return [one for one in told if one]
    if source == "websocket":
        return _one(messages.read_event(json.dumps(capture["message"]).encode(), at))
    content = json.dumps(capture["body"]).encode()
    if source == "error_body":
        return _one(messages.read_error_body(content, at, capture["charged"]))
    return _one(messages.read_usage(content, at))


def _one(told: messages.ParsedMessage | None) -> list[messages.ParsedMessage]:
    return [told] if told else []


def as_json(told: messages.ParsedMessage) -> dict[str, Any]:
    """Return what was told without what was not told."""
    shown: dict[str, Any] = {"source": told.source.value}
    if told.status is not None:
        shown["status"] = told.status
    return {**shown, "reading": told.reading.model_dump(mode="json", exclude_defaults=True)}


def load(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_capture(capture: Path) -> None:
    """A capture says what stands beside it."""
    assert [as_json(told) for told in read(load(capture))] == load(expected_file(capture))


def test_no_stray_files() -> None:
    """There are captures, and each expected file belongs to one."""
    assert CAPTURES
    assert {expected_file(capture) for capture in CAPTURES} == set(DATA.glob("*.expected.json"))


def write_expected() -> None:
    """Write the expected file of every capture anew."""
    for capture in CAPTURES:
        shown = [as_json(told) for told in read(load(capture))]
        expected_file(capture).write_text(json.dumps(shown, indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    write_expected()
