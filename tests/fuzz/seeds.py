"""What fuzzing starts from: recordings of `tests/data`, the inputs in `tests/fuzz/corpus`, and their random changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

LONGEST = 4096
"""Bytes of an input; nothing that a parser looks at is longer, save for the limits that tests of their own try."""

_TESTS = Path(__file__).resolve().parents[1]


def seeds(target: str) -> list[bytes]:
    """Return what a target starts from, at least one input."""
    kept = [path.read_bytes() for path in sorted((_TESTS / "fuzz" / "corpus" / target).glob("*"))]
    recorded = sorted(path for path in (_TESTS / "data").glob("*.json") if not path.stem.endswith(".expected"))
    captures = [json.loads(path.read_text("utf-8")) for path in recorded]
    form = _FORMS.get(target, lambda _: None)
    return kept + [data for data in map(form, captures) if data is not None] or [b""]


def _header_lines(capture: dict[str, Any]) -> bytes | None:
    pairs = capture.get("headers")
    return None if pairs is None else "\n".join(f"{name}:{value}" for name, value in pairs).encode()


def _header_object(capture: dict[str, Any]) -> bytes | None:
    pairs = capture.get("headers")
    return None if pairs is None else json.dumps(dict(pairs)).encode()


def _part(name: str, source: str) -> Callable[[dict[str, Any]], bytes | None]:
    def form(capture: dict[str, Any]) -> bytes | None:
        return json.dumps(capture[name]).encode() if capture.get("source") == source else None

    return form


def _stream(capture: dict[str, Any]) -> bytes | None:
    return b"\x07" + capture["stream"].encode() if "stream" in capture else None


_FORMS: dict[str, Callable[[dict[str, Any]], bytes | None]] = {
    "headers": _header_lines,
    "header-mapping": _header_object,
    "event": _part("message", "websocket"),
    "usage": _part("body", "usage"),
    "error-body": _part("body", "error_body"),
    "sse": _stream,
}
"""How each target uses a capture of `tests/data` (see `tests.addon.test_golden`); None means not at all."""


def mutated(choice: random.Random, known: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """Return one of the known inputs with one to eight random changes."""
    data = bytearray(choice.choice(known))
    for _ in range(choice.randint(1, 8)):
        at, end = sorted(choice.randrange(len(data) + 1) for _ in range(2))
        end = min(end, at + 64)
        match choice.randrange(6):
            case 0:
                data[at:end] = b""
            case 1:
                data[at:end] = choice.choice(words)
            case 2:
                data[at:at] = choice.choice(words)
            case 3:
                data[at:at] = data[at:end] * choice.randint(1, 4)
            case 4:
                data[at : at + 1] = bytes([choice.randrange(256)])
            case _:
                other = choice.choice(known)
                start = choice.randrange(len(other) + 1)
                data[at:end] = other[start : start + 64]
    return bytes(data[:LONGEST])
