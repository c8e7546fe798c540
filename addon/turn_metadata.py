"""The ``x-codex-turn-metadata`` of a turn: JSON in a header, or in a string of a websocket message.

It also holds paths and URLs of the workspace: named fields are read, and the rest is dropped at once, in the hook, so
that no queue holds it.
"""

from __future__ import annotations

import json
from typing import Any

from store import coerce

MAX_METADATA_LENGTH = 64 * 1024
"""Characters of ``x-codex-turn-metadata`` that are parsed; a real one has about 1 kB."""

_WANTED = (
    "thread_id",
    "session_id",
    "model",
    "reasoning_effort",
    "subagent_kind",
    "parent_thread_id",
    "thread_source",
    "request_kind",
)
_WARM_UP = "prewarm"
_decode = json.JSONDecoder().raw_decode


class TurnMetadata:
    """The wanted fields of the metadata of one turn, as sent."""

    __slots__ = ("fields",)

    def __init__(self, text: object) -> None:
        """Read the metadata as it came; anything but a text has no fields."""
        metadata = object_at(text, 0) if isinstance(text, str) and 0 < len(text) <= MAX_METADATA_LENGTH else {}
        self.fields = {name: value for name in _WANTED if isinstance(value := metadata.get(name), str)}

    @property
    def is_warm_up(self) -> bool:
        """Whether it is the metadata of a warm-up."""
        return self.fields.get("request_kind") == _WARM_UP


NO_METADATA = TurnMetadata("")


def object_at(text: str, start: int) -> dict[str, Any]:
    """Return the JSON object that begins at `start`, whatever follows it; an empty one if there is none."""
    # Not `json.loads`: its Python code around the scanner costs a hook more than the scanner does.
    try:
        return coerce.mapping(_decode(text, start)[0])
    except (ValueError, RecursionError):
        return {}
