"""The metadata of a turn: its wanted fields, and nothing else."""

from __future__ import annotations

import json

import pytest

from addon.turn_metadata import MAX_METADATA_LENGTH, TurnMetadata, object_at


@pytest.mark.parametrize(("more", "is_read"), [(0, True), (1, False)])
def test_length_of_metadata(more: int, is_read: bool) -> None:
    """Longer metadata than any real one is not parsed."""
    fields = json.dumps({"model": "gpt-a", "more": ""})
    text = json.dumps({"model": "gpt-a", "more": "x" * (MAX_METADATA_LENGTH - len(fields) + more)})
    assert len(text) == MAX_METADATA_LENGTH + more
    assert TurnMetadata(text).fields == ({"model": "gpt-a"} if is_read else {})


NESTED = {"workspaces": {"model": "secret", "/home/ann": {"reasoning_effort": "secret"}}}


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        pytest.param(json.dumps({**NESTED, "thread_id": "t", "turn_id": "x"}), {"thread_id": "t"}, id="wanted"),
        pytest.param(json.dumps({"thread_id": 5, "model": "m"}), {"model": "m"}, id="no text"),
        pytest.param('{"model": "m"} and more', {"model": "m"}, id="more behind it"),
        *[pytest.param(text, {}, id=repr(text)) for text in ("", " ", "[]", '["model"]', "{", None, b"{}")],
    ],
)
def test_fields(text: object, fields: dict[str, str]) -> None:
    """The fields are the wanted texts at the top."""
    assert TurnMetadata(text).fields == fields


def test_what_is_held() -> None:
    """Nothing but the wanted fields is held, from the start."""
    metadata = TurnMetadata(json.dumps({**NESTED, "model": "m"}))
    assert [getattr(metadata, name) for name in TurnMetadata.__slots__] == [{"model": "m"}]


@pytest.mark.parametrize(
    ("sent", "is_warm_up"),
    [
        ({"request_kind": "prewarm"}, True),
        ({"request_kind": "turn"}, False),
        ({"request_kind": "turn", "agent_name": "prewarm"}, False),
        ({}, False),
    ],
)
def test_warm_ups(sent: dict[str, str], is_warm_up: bool) -> None:
    """A warm-up is one by its kind alone."""
    assert TurnMetadata(json.dumps(sent)).is_warm_up is is_warm_up


def test_an_object_within_a_text() -> None:
    """An object is read from where it begins, whatever follows; nesting beyond all measure is no object."""
    assert object_at('ab{"c": 1}, "d"', 2) == {"c": 1}
    assert object_at('{"a":' * 100_000, 0) == {}
