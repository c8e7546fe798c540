"""Reads Codex's session files into the database: new ones whole, known ones from where they were read to.

What was read is stored some thousand turns at a time, together with how far that is. So memory does not grow with the
files, an import that is interrupted goes on at the next one, and a proxy can write in between. Where there is much to
read, processes of their own read the files, and this one stores what they find.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from scripts.codex_files.session_files import SessionPath, all_sessions
from scripts.codex_files.session_parts import ReadPart, ReadTask, read_part, read_parts
from store import imports
from store.database import transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

_AHEAD_SECONDS = 86_400
"""A time further ahead than this is not believed."""

_BATCH_ROWS, _BATCH_FILES = 2_000, 100
"""What is stored in one transaction: some ten milliseconds, which is less than a proxy waits for."""

_HANDED_OVER_BYTES = 1_000_000
"""So much is handed over to a process at a time."""

_MUCH_BYTES, _MAX_WORKERS = 64_000_000, 4
"""From so much on several processes read; each takes a third of a second to start."""


class ImportQuery(NamedTuple):
    """What is imported: the homes, and of them what is from `since` on (Unix seconds; None: all).

    With `again` files are read from their beginning, however far they were read before. With `dry_run` nothing is
    stored.
    """

    homes: Sequence[Path]
    now: float
    since: float | None = None
    again: bool = False
    dry_run: bool = False


@dataclass
class ImportResult:
    """What was read and stored so far.

    ``files`` and ``total_bytes`` are all that there is. ``unreadable`` has the path and the reason of files and folders
    that could not be read to their end. ``unfinished`` counts files whose last line is being written, ``damaged`` lines
    that were passed over, ``without_account`` new turns of sessions that name no account, ``other_providers`` sessions
    with models of another provider, which are left out.
    """

    files: int = 0
    total_bytes: int = 0
    sessions: int = 0
    new_turns: int = 0
    known_turns: int = 0
    without_account: int = 0
    limits: int = 0
    first_at: float | None = None
    last_at: float | None = None
    unfinished: int = 0
    damaged: int = 0
    other_providers: int = 0
    interrupted: bool = False
    unreadable: list[tuple[str, str]] = field(default_factory=list)


def import_sessions(
    connection: sqlite3.Connection,
    query: ImportQuery,
    *,
    on_start: Callable[[int], None],
    on_bytes: Callable[[int], None],
) -> ImportResult:
    """Read all session files of the homes, and store what is new in them.

    Ctrl-C ends it between two parts; what has been stored stays.

    Args:
        connection: the database; one for reading is enough with `dry_run`.
        query: what is imported.
        on_start: called once with the size of all files, in bytes.
        on_bytes: called with the number of bytes that have been dealt with since the last call.

    Raises:
        sqlite3.Error: The database cannot be written.

    """
    result = ImportResult()
    firsts, copies = _sessions(query, result)
    result.files = len(firsts) + len(copies)
    result.total_bytes = sum(path.size for path in (*firsts, *copies))
    on_start(result.total_bytes)
    store = _Store(connection, result, on_bytes, dry_run=query.dry_run)
    try:
        with _reader(result.total_bytes) as read_all:
            read_all(_tasks(firsts, query, store), store.take)
        # What a copy adds to a session is known once its longest copy is stored.
        _read_in_turn(_tasks(copies, query, store), store.take)
        store.flush()
    except KeyboardInterrupt:
        result.interrupted = True
    return result


def _sessions(query: ImportQuery, result: ImportResult) -> tuple[list[SessionPath], list[SessionPath]]:
    """Return the files of all homes, the longest one of each session, and further copies."""
    longest: dict[str, SessionPath] = {}
    copies = []
    for home in dict.fromkeys(each.resolve() for each in query.homes):
        sessions = all_sessions(home)
        result.unreadable += sessions.unreadable
        for path in sessions.found:
            known = longest.get(path.thread)
            if known is None or path.size > known.size:
                longest[path.thread] = path
            shorter = known if known and longest[path.thread] is path else path if known else None
            if shorter is not None:
                copies.append(shorter)
    return list(longest.values()), copies


def _tasks(paths: Iterable[SessionPath], query: ImportQuery, store: _Store) -> Iterator[ReadTask]:
    """Yield the files that have to be read."""
    for path in paths:
        task = _task(path, query, store)
        if task is None:
            store.on_bytes(path.size)
        else:
            yield task


def _task(path: SessionPath, query: ImportQuery, store: _Store) -> ReadTask | None:
    since, until = query.since, query.now + _AHEAD_SECONDS
    if since is not None and path.written_at < since:
        return None
    known = None if query.again else store.known_file(path.thread)
    if known and known.since is not None and (since is None or since < known.since):
        known = None  # it was not read so far back
    if known and known.size == path.size:
        return None
    if known and known.read_to > path.size and not path.is_compressed:
        return ReadTask(path, None, since, until, keeps=known)  # an older copy
    return ReadTask(path, known, since, until)


# In this process, or in several

Take: TypeAlias = Callable[[ReadTask, ReadPart], ReadTask | None]
"""Takes a part that was read, and returns the task of reading on; None if the file is dealt with."""

ReadAll: TypeAlias = Callable[[Iterable[ReadTask], Take], None]


@contextlib.contextmanager
def _reader(total_bytes: int) -> Iterator[ReadAll]:
    """Yield what reads files and hands on each part: in processes of their own where there is much to read."""
    number = min(os.cpu_count() or 1, _MAX_WORKERS)
    if total_bytes < _MUCH_BYTES or number == 1:
        yield _read_in_turn
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(number, context, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN))
    try:
        yield partial(_read_at_once, pool, 2 * number)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _read_in_turn(tasks: Iterable[ReadTask], take: Take) -> None:
    for first in tasks:
        task: ReadTask | None = first
        while task is not None:
            task = take(task, read_part(task))


def _read_at_once(
    pool: ProcessPoolExecutor,
    most: int,
    tasks: Iterable[ReadTask],
    take: Take,
) -> None:
    """Read several files at once, at most so many batches waiting; if the processes are killed, go on in this one."""
    waiting: dict[Future[list[ReadPart]], Sequence[ReadTask]] = {}

    def take_some(number: int) -> None:
        while len(waiting) > number:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                batch = waiting.pop(future)
                try:
                    parts = future.result()
                except BrokenProcessPool:
                    _read_in_turn(batch, take)
                    continue
                following = [take(task, part) for task, part in zip(batch, parts, strict=True)]
                submit([task for task in following if task is not None])

    def submit(batch: Sequence[ReadTask]) -> None:
        if not batch:
            return
        try:
            waiting[pool.submit(read_parts, batch)] = batch
        except BrokenProcessPool:
            _read_in_turn(batch, take)

    for batch in _batches(tasks):
        take_some(most - 1)
        submit(batch)
    take_some(0)


def _batches(tasks: Iterable[ReadTask]) -> Iterator[list[ReadTask]]:
    """Yield many small files, or one large one, at a time: to hand over each by itself costs more than to read it."""
    batch: list[ReadTask] = []
    size = 0
    for task in tasks:
        batch.append(task)
        size += task.path.size
        if size >= _HANDED_OVER_BYTES or len(batch) >= _BATCH_FILES:
            yield batch
            batch, size = [], 0
    yield batch


class _Store:
    """Collects parts of session files and stores many in one transaction."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        result: ImportResult,
        on_bytes: Callable[[int], None],
        *,
        dry_run: bool,
    ) -> None:
        self.result = result
        self.on_bytes = on_bytes
        self._connection = connection
        self._dry_run = dry_run
        self._parts: list[imports.SessionPart] = []
        self._rows = 0
        self._counted = set[str]()

    def take(self, task: ReadTask, read: ReadPart) -> ReadTask | None:
        """Store a part, and return the task of reading on; None if the file is dealt with."""
        result = self.result
        result.damaged += read.damaged
        result.unfinished += read.is_unfinished
        result.other_providers += read.is_foreign and task.known is None
        if read.error is not None:
            result.unreadable.append((task.path.path, read.error))
        self._add(read.part if task.keeps is None else read.part._replace(progress=task.keeps))
        goes_on = not read.is_last
        self.on_bytes(read.bytes_read if goes_on else task.path.size - task.done)
        return task._replace(known=read.part.progress, done=task.done + read.bytes_read) if goes_on else None

    def known_file(self, thread: str) -> imports.ImportedFile | None:
        """Return how far the file of a thread was read, what waits to be stored included."""
        key = imports.file_key(thread)
        waiting = (part.progress for part in reversed(self._parts) if part.progress.file == key)
        return next(waiting, None) or imports.find_file(self._connection, key)

    def _add(self, part: imports.SessionPart) -> None:
        self._parts.append(part)
        self._rows += len(part.turns) + len(part.limits)
        if self._rows >= _BATCH_ROWS or len(self._parts) >= _BATCH_FILES:
            self.flush()

    def flush(self) -> None:
        parts, self._parts, self._rows = self._parts, [], 0
        if self._dry_run:
            for part in parts:
                self._count(part, imports.compare_part(self._connection, part))
        elif parts:
            with transaction(self._connection):
                counts = [imports.write_part(self._connection, part) for part in parts]
            for part, counted in zip(parts, counts, strict=True):
                self._count(part, counted)

    def _count(self, part: imports.SessionPart, counts: imports.ImportCounts) -> None:
        result = self.result
        result.new_turns += counts.new
        result.known_turns += counts.known
        result.limits += len(part.limits)
        if part.owner is None:
            result.without_account += counts.new
        if counts.new:
            if part.thread not in self._counted:
                self._counted.add(part.thread)
                result.sessions += 1
            first, last = part.turns[0].ended_at, part.turns[-1].ended_at
            result.first_at = first if result.first_at is None else min(first, result.first_at)
            result.last_at = last if result.last_at is None else max(last, result.last_at)
