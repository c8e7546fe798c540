"""Reads a part of a session file: what is in it from where it was read to, some thousand turns at most.

`read_part` depends on the file alone, so that several files can be read at once, each in a process of its own.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

import zstandard

from scripts.codex_files.session_lines import LineKind, SessionLines
from scripts.codex_files.session_turns import MAX_TIME_BYTES, SessionTurns, written_time
from store import coerce, imports
from store.stored_json import is_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scripts.codex_files.session_files import SessionPath
    from scripts.codex_files.session_lines import Readable

PROVIDER = "openai"
"""The provider of models whose turns use Codex's limits."""

PART_TURNS = 4_000

_ABOUT = frozenset((LineKind.SESSION, LineKind.CONTEXT, LineKind.SETTINGS))
"""Kinds of lines that tell about the turns that follow."""

_MAX_BYTES = 2**62
_STEP_BYTES = 4_096
_MAX_WINDOW = 128 * 1024 * 1024
"""Memory that a compressed file may ask for."""


class ReadTask(NamedTuple):
    """What is to be read: a file, from where it is `known` to be read to, and in it what is within a time.

    Of an older copy of a file that was read further, ``keeps`` is how far that was, which stays. ``done`` is how many
    bytes of the file have been read.
    """

    path: SessionPath
    known: imports.ImportedFile | None
    since: float | None
    until: float
    keeps: imports.ImportedFile | None = None
    done: int = 0


class ReadPart(NamedTuple):
    """What was read, and the bytes that were read for it.

    ``is_last`` is true if the file goes no further, or cannot be read any further: then ``error`` says why.
    ``damaged`` counts lines that were passed over. ``is_unfinished`` is true if the file ends within a line,
    ``is_foreign`` if the session's model is another provider's.
    """

    part: imports.SessionPart
    bytes_read: int
    is_last: bool
    damaged: int = 0
    is_unfinished: bool = False
    is_foreign: bool = False
    error: str | None = None


def read_part(task: ReadTask) -> ReadPart:
    """Return the next part of a file; a file that cannot be read has an empty one."""
    reading = _Reading(task)
    error = None
    try:
        with _opened(task.path.path) as file:
            reading.read(file)
    except OSError as found:
        error = found.strerror or type(found).__name__
    except zstandard.ZstdError:
        error = "damaged"
    return reading.part(error)


def read_parts(tasks: Sequence[ReadTask]) -> list[ReadPart]:
    """Return the next part of each of several files."""
    return [read_part(task) for task in tasks]


@contextlib.contextmanager
def _opened(path: str) -> Iterator[io.FileIO]:
    """Open a regular file; what has been put in its place meanwhile (a link, a pipe) is refused."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with io.FileIO(os.open(path, flags)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        yield file


class _CountedFile(io.RawIOBase):
    """An open file; ``number`` counts the bytes that were read."""

    def __init__(self, file: io.FileIO) -> None:
        super().__init__()
        self._file = file
        self.number = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        number = self._file.readinto(buffer) or 0
        self.number += number
        return number


class _Decompressed:
    """The text of a compressed file. It is decompressed in small steps, each of which is lost where it is damaged."""

    def __init__(self, file: _CountedFile) -> None:
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        self._reader = decompressor.stream_reader(cast("BinaryIO", file), _STEP_BYTES, read_across_frames=True)

    def readinto(self, buffer: memoryview, /) -> int:
        return self._reader.readinto1(buffer)


class _Reading:
    """The reading of one part."""

    def __init__(self, task: ReadTask) -> None:
        self._task = task
        self._turns = SessionTurns(task.path.thread, task.since or 0.0, task.until)
        self._lines: SessionLines | None = None
        self._bytes = 0
        self._is_whole = False

    def read(self, file: io.FileIO) -> None:
        """Read the file up to its end, or to the end of the part.

        Raises:
            OSError: The file cannot be read any further.
            zstandard.ZstdError: It is compressed and damaged.

        """
        is_compressed = self._task.path.is_compressed
        read_to = 0 if is_compressed else self._resume(file)
        counted = _CountedFile(file)
        source: Readable = counted
        if is_compressed:
            source = _Decompressed(counted)
        self._lines = SessionLines(source, read_to)
        try:
            self._feed(self._lines)
        finally:
            self._bytes = counted.number

    def _feed(self, lines: SessionLines) -> None:
        turns, task = self._turns, self._task
        # A compressed file is read from its beginning: what was read before is passed over.
        passed_over = task.known.read_to if task.known and task.path.is_compressed else 0
        most = float("inf") if task.path.is_compressed else PART_TURNS
        for line in lines:
            if line.begins_at >= passed_over or line.kind in _ABOUT:
                turns.feed(line)
            if self._is_foreign:
                break
            if len(turns.turns) >= most:
                return
        turns.note_input(lines.input_head)
        self._is_whole = True

    @property
    def _is_foreign(self) -> bool:
        return self._turns.info.provider not in {None, PROVIDER}

    def _resume(self, file: io.FileIO) -> int:
        """Go to where the file was read to, if it is still that file; return how far that is."""
        known = self._task.known
        if known is None or not 0 < known.read_to <= self._task.path.size:
            return 0
        state = coerce.json_object(known.state or "")
        first = next(iter(SessionLines(file)), None)
        if first is None or not _is_marked(file, state.get("mark")):
            file.seek(0)
            return 0
        self._turns.feed(first)
        self._turns.resume(state)
        file.seek(known.read_to)
        return known.read_to

    def part(self, error: str | None) -> ReadPart:
        """Return what was read."""
        task, turns, lines = self._task, self._turns, self._lines
        info = turns.info
        known = task.known
        read_to = lines.read_to if lines else known.read_to if known else 0
        found, limits = turns.take()
        since = task.since if turns.passed_over else known.since if known else None
        # Until its end is reached, a file counts as changed.
        size = task.path.size if self._is_whole else 0
        progress = imports.ImportedFile(imports.file_key(task.path.thread), size, read_to, since, turns.state)
        return ReadPart(
            imports.SessionPart(
                thread=info.thread,
                session=info.session,
                parent_thread=info.parent_thread,
                subagent=info.subagent,
                client=info.client,
                owner=info.owner,
                turns=found,
                limits=limits,
                progress=progress,
            ),
            self._bytes,
            is_last=self._is_whole or error is not None,
            damaged=turns.damaged + (lines.damaged + lines.too_long if lines else 0),
            is_unfinished=lines is not None and lines.unfinished,
            is_foreign=self._is_foreign,
            error=error,
        )


def _is_marked(file: io.FileIO, mark: object) -> bool:
    """Return True if the line of a mark stands where it stood; without a mark there is nothing to tell by."""
    if not isinstance(mark, list) or len(mark) != 2 or not is_number(mark[0], 0, _MAX_BYTES):
        return True
    file.seek(int(mark[0]))
    return written_time(file.read(MAX_TIME_BYTES)) == str(mark[1])
