"""The lines of a session file that tell of turns and limits, out of a file of any size.

A line of Codex's begins with its time and its type, `{"timestamp":"…","ordinal":7,"type":"event_msg","payload":{"type":
"token_count",…`. Only these first bytes are looked at: a line with a prompt, a response or the output of a command is
passed over unparsed, however long it is, and is never kept. Memory is bounded by one block and one wanted line.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class LineKind(Enum):
    """What a line tells."""

    USAGE = "token_usage_record"
    """The tokens of one response."""

    COUNT = "token_count"
    """Tokens so far, and limits."""

    CONTEXT = "turn_context"
    """The model and the effort of the turns that follow."""

    SETTINGS = "thread_settings_applied"
    """The service tier of the turns that follow."""

    SESSION = "session_meta"
    """Whose session it is."""


class Line(NamedTuple):
    """A line that tells something, and where in the file's text it begins.

    ``input_head`` is the beginning of the latest line before it with something that the next request sends, such as
    the output of a command: only its time is of interest. It is empty if there was none since the line before.
    """

    kind: LineKind
    content: bytes
    begins_at: int
    input_head: bytes | bytearray


class Readable(Protocol):
    """A file that fills a buffer."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Read bytes into the buffer, and return their number; 0 at the end of the file."""


BLOCK_BYTES = 128 * 1024
MAX_LINE_BYTES = 4 * 1024 * 1024
"""A line that tells something has some hundred bytes; that of a session, with its instructions, some ten thousand."""

HEAD_BYTES = 256
"""A line's time, its type and that of its payload stand within its first bytes."""

_TYPE = b'"type":"'
_TYPE_WITHIN = 110
_ITEM, _EVENT, _PAYLOAD_TYPE = b'response_item"', b'event_msg"', b',"payload":{"type":"'
_EVENTS = frozenset((LineKind.COUNT, LineKind.SETTINGS))
_KINDS = tuple(
    ((_EVENT + _PAYLOAD_TYPE if kind in _EVENTS else b"") + kind.value.encode() + b'"', kind) for kind in LineKind
)
_MARKS = tuple(mark for mark, _ in _KINDS)
_INPUTS = tuple(
    _ITEM + _PAYLOAD_TYPE + kind + b'"'
    for kind in (
        b"function_call_output",
        b"custom_tool_call_output",
        b"local_shell_call_output",
        b"mcp_tool_call_output",
        b"tool_search_output",
    )
)
_FIRST_OF_ITEM = _ITEM[0]
_FIRSTS = frozenset(mark[0] for mark in _MARKS)


class SessionLines:
    """The wanted lines of a file, in its order.

    ``read_to`` is where the last complete line ends that was read: a line without its end is being written, and is read
    another time. ``damaged`` counts lines that are not Codex's, ``too_long`` wanted ones above `MAX_LINE_BYTES`; both
    are passed over. ``unfinished`` is true if the file ends within a line. ``input_head`` is as in `Line`, for the next
    one.
    """

    def __init__(self, file: Readable, read_to: int = 0) -> None:
        """Read a file whose next byte is the one at `read_to` of its text, the first of a line."""
        self._file = file
        self.read_to = read_to
        self.damaged = 0
        self.too_long = 0
        self.unfinished = False
        self.input_head: bytes | bytearray = b""

    def __iter__(self) -> Iterator[Line]:
        """Yield the wanted lines up to the end of the file.

        Raises:
            OSError: The file can no longer be read.

        """
        # Most files are smaller than the longest line: the buffer grows with a line that needs it.
        buffer = bytearray(2 * BLOCK_BYTES)
        view = memoryview(buffer)
        held, skipping, base = 0, False, self.read_to
        while size := self._file.readinto(view[held : held + BLOCK_BYTES]) or 0:
            end = held + size
            begin = 0
            if skipping:
                begin = buffer.find(b"\n", 0, end) + 1
                if not begin:
                    base += end
                    continue
            yield from self._lines(buffer, begin, max(begin, held), end, base)
            begin = buffer.rfind(b"\n", begin, end) + 1 or begin
            self.read_to = base + begin if begin else self.read_to
            held = end - begin
            base += begin
            skipping = self._is_passed_over(buffer, begin, held)
            if skipping:
                base, held = base + held, 0
            else:
                view[:held] = view[begin:end]
            if len(buffer) - held < BLOCK_BYTES:
                buffer = buffer[:held] + bytearray(len(buffer))
                view = memoryview(buffer)
        self.unfinished = bool(held) or skipping

    def _lines(self, buffer: bytearray, begin: int, searched: int, end: int, base: int) -> Iterator[Line]:
        """Yield the wanted ones of the complete lines of a buffer from `begin` on; up to `searched` there is no end."""
        # This runs for each line of gigabytes: names are looked up once, and most lines end after two searches.
        find, startswith, view = buffer.find, buffer.startswith, memoryview(buffer)
        while (newline := find(b"\n", searched, end)) >= 0:
            at = find(_TYPE, begin, begin + _TYPE_WITHIN) + 8
            first = buffer[at] if 8 <= at < newline else 0
            if first == _FIRST_OF_ITEM:
                if startswith(_INPUTS, at):
                    self.input_head = buffer[begin : begin + HEAD_BYTES]
            elif first in _FIRSTS:
                if startswith(_MARKS, at):
                    self.read_to = base + newline + 1
                    line = Line(_kind(buffer, at), bytes(view[begin:newline]), base + begin, self.input_head)
                    self.input_head = b""
                    yield line
            elif not first and newline > begin:
                self.damaged += 1
            begin = searched = newline + 1

    def _is_passed_over(self, buffer: bytearray, begin: int, held: int) -> bool:
        """Return True if what there is of an unfinished line need not be kept."""
        if held < HEAD_BYTES:
            return False
        at = buffer.find(_TYPE, begin, begin + _TYPE_WITHIN) + len(_TYPE)
        if at < len(_TYPE):
            self.damaged += 1
            return True
        is_wanted = buffer.startswith(_MARKS, at) or buffer.startswith(_INPUTS, at)
        if is_wanted and held > MAX_LINE_BYTES:
            self.too_long += 1
            return True
        return not is_wanted


def _kind(buffer: bytearray, at: int) -> LineKind:
    for mark, kind in _KINDS[:-1]:
        if buffer.startswith(mark, at):
            return kind
    return _KINDS[-1][1]
