"""The ``x-codex-turn-metadata`` of a turn: JSON in a header, or in a string of a websocket message.

It also holds paths and URLs of the workspace: only named fields are read, and it is never stored. Parsing it would be
the most expensive part of a hook, so it waits until a field is wanted, on the thread that needs it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from store import coerce

if TYPE_CHECKING:
    from collections.abc import Mapping


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
_WARM_UP_MARK = f'"{_WARM_UP}"'

_decode = json.JSONDecoder().raw_decode


class TurnMetadata:
    """The metadata of one turn; the whole text is held until a field is first asked for, then the wanted fields are."""

    __slots__ = ("_fields", "_text")

    def __init__(self, text: object) -> None:
        """Take the metadata as it came; anything but a text has no fields."""
        self._text = text if isinstance(text, str) and len(text) <= MAX_METADATA_LENGTH else ""
        self._fields: Mapping[str, str] | None = None

    @property
    def fields(self) -> Mapping[str, str]:
        """The fields that a turn has, as sent."""
        # Two threads may ask: the text is read before the fields and dropped after they are set.
        text, found = self._text, self._fields
        if found is None:
            metadata = object_at(text, 0) if text else {}
            found = {name: value for name in _WANTED if isinstance(value := metadata.get(name), str)}
            self._fields = found
            self._text = ""
        return found

    @property
    def is_warm_up(self) -> bool:
        """Whether it is the metadata of a warm-up."""
        text, fields = self._text, self._fields
        return (fields is not None or _WARM_UP_MARK in text) and self.fields.get("request_kind") == _WARM_UP


NO_METADATA = TurnMetadata("")


def object_at(text: str, start: int) -> dict[str, Any]:
    """Return the JSON object that begins at `start`, whatever follows it; an empty one if there is none."""
    # Not `json.loads`: its Python code around the scanner costs a hook more than the scanner does.
    try:
        return coerce.mapping(_decode(text, start)[0])
    except (ValueError, RecursionError):
        return {}
