"""The wanted lines of a session file."""

from __future__ import annotations

import io
import tracemalloc

import pytest

from scripts.codex_files import session_lines
from scripts.codex_files.session_lines import Line, LineKind, SessionLines
from tests.support.factories import NOON
from tests.support.session_files import PROMPT, RESPONSE, SessionText, limits


def session() -> SessionText:
    """A session of one turn with every kind of line that is wanted."""
    text = SessionText().begin(NOON).tier(NOON, "priority").ask(NOON + 1)
    return text.output(NOON + 2).respond(NOON + 5, response="resp_1", limits=limits())


def read(content: bytes, read_to: int = 0) -> tuple[list[Line], SessionLines]:
    file = io.BytesIO(content)
    file.seek(read_to)
    lines = SessionLines(file, read_to)
    return list(lines), lines


WANTED = [LineKind.SESSION, LineKind.SETTINGS, LineKind.CONTEXT, LineKind.USAGE, LineKind.COUNT]


@pytest.mark.parametrize("block", [300, 1_000, 4_096, session_lines.BLOCK_BYTES])
def test_lines_that_tell_something(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """They come whole, whatever a block of the file ends with; prompts and responses are passed over."""
    monkeypatch.setattr(session_lines, "BLOCK_BYTES", block)
    content = session().content
    found, lines = read(content)

    assert [line.kind for line in found] == WANTED
    for line in found:
        assert content[line.begins_at :].startswith(line.content + b"\n")
    assert [bool(line.input_head) for line in found] == [False, False, False, True, False]
    assert (lines.read_to, lines.damaged, lines.too_long, lines.unfinished) == (len(content), 0, 0, False)
    assert RESPONSE.encode() not in b"".join(line.content for line in found)
    assert PROMPT.encode() not in b"".join(line.content for line in found[1:])


@pytest.mark.parametrize("missing", [1, 40, 300, 500])
def test_a_line_that_is_being_written(missing: int) -> None:
    """It is read when it is complete: what was read ends before it, and goes on there."""
    content = session().content
    first, lines = read(content[:-missing])
    assert [line.kind for line in first] == WANTED[:-1]
    assert lines.unfinished
    assert content[lines.read_to :] == session().lines[-1]

    rest, _ = read(content, lines.read_to)
    assert [(line.kind, line.begins_at) for line in rest] == [(LineKind.COUNT, len(content) - len(rest[0].content) - 1)]


@pytest.mark.parametrize(
    ("damage", "damaged", "wanted"),
    [
        (b"\x00" * 700 + b"\n", 1, WANTED),
        (b"\xff\xfe not JSON at all\n", 1, WANTED),
        (b"\n\n", 0, WANTED),
        (b'{"timestamp":"2026-11-21T12:00:00Z","type":"something_new","payload":{}}\n', 0, WANTED),
        (b"x" * 1_000_000 + b"\n", 1, WANTED),
    ],
    ids=["nul bytes", "bytes", "empty lines", "an unknown type", "one endless word"],
)
def test_damaged_lines_are_passed_over(damage: bytes, damaged: int, wanted: list[LineKind]) -> None:
    """They are counted, and the lines around them are read."""
    lines = session().lines
    found, result = read(b"".join([*lines[:2], damage, *lines[2:]]))
    assert ([line.kind for line in found], result.damaged) == (wanted, damaged)


def test_a_long_wanted_line() -> None:
    """It comes whole, however many blocks of the file it takes."""
    text = SessionText().begin(NOON, base_instructions={"text": "x" * 3_000_000}).ask(NOON + 1)
    found, lines = read(text.content)
    assert [line.kind for line in found] == [LineKind.SESSION, LineKind.CONTEXT]
    assert found[0].content + b"\n" == text.lines[0]
    assert (lines.read_to, lines.too_long) == (len(text.content), 0)


def test_a_wanted_line_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is passed over and counted."""
    monkeypatch.setattr(session_lines, "MAX_LINE_BYTES", 10_000)
    monkeypatch.setattr(session_lines, "BLOCK_BYTES", 4_096)
    text = SessionText().begin(NOON, base_instructions={"text": "x" * 50_000}).ask(NOON + 1)
    found, lines = read(text.content)
    assert ([line.kind for line in found], lines.too_long) == ([LineKind.CONTEXT], 1)


def test_memory_does_not_grow_with_a_line() -> None:
    """A prompt of many megabytes is passed over block by block."""

    class Endless(io.RawIOBase):
        left = 64 * 1024 * 1024
        head = b'{"timestamp":"2026-11-21T12:00:00.000Z","type":"response_item","payload":{"type":"message"'

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            size = min(len(buffer), self.left)
            self.left -= size
            head, self.head = self.head, b""
            buffer[: len(head)] = head
            buffer[len(head) : size] = b"x" * (size - len(head))
            return size

    tracemalloc.start()
    try:
        lines = SessionLines(Endless())
        assert list(lines) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert lines.unfinished
    assert peak < 8 * 1024 * 1024
