"""Title, folder, parent and project of threads, from what Codex itself has written about them.

Threads are looked up by their ids when they are shown. Nothing of it is stored: a title is what a person wrote.
"""

from __future__ import annotations

import functools
import json
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from scripts.codex_files.projects import remote_project, repository_root
from scripts.codex_files.state_database import read_state
from scripts.support.sanitize import sanitize

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

MAX_TITLE = 80
"""Characters of a title that was made from the first message of a thread."""

_MAX_READ = 4096
"""Characters of a value that are read at most."""

_COLUMNS = ("name", "title", "cwd", "git_origin_url", "git_sha", "git_branch", "project_id", "agent_path")
INDEX = "session_index.jsonl"
"""The file of names that people gave threads, in CODEX_HOME."""

_IDS_AT_ONCE = 500
_MAX_INDEX_BYTES = 8_000_000
_VERBATIM = "\\\\?\\"  # before a path of Windows that is not to be interpreted


class ThreadInfo(NamedTuple):
    """What Codex knows of a thread: one line each, without control characters; None where it does not say.

    `title` is the name of the thread, else the beginning of its first message, else the task of a sub-agent. `parent`
    is the thread that started it as a sub-agent, and `project` the key of a project (`scripts.codex_files.projects`).
    """

    title: str | None
    folder: str | None
    parent: str | None
    project: str | None = None


def load_threads(home: Path, ids: Iterable[str], state_folder: Path | None = None) -> dict[str, ThreadInfo]:
    """Return what Codex knows of threads, by their ids; others and what cannot be read are left out.

    Args:
        home: CODEX_HOME.
        ids: Ids of threads, as they are on the wire.
        state_folder: The folder of the state database, where it is not that of CODEX_HOME.
    """
    # Of a year there are tens of thousands, and what Codex knows of them may be little.
    wanted = set(ids) - {""}
    if not wanted:
        return {}
    rows = read_state(state_folder or home, lambda connection: _read_rows(connection, sorted(wanted))) or {}
    unnamed = wanted - {thread for thread, row in rows.items() if row.get("name")}
    names = _indexed_names(home / INDEX, unnamed) if unnamed else {}
    root_of = functools.cache(repository_root)
    known = sorted(rows.keys() | names.keys())
    found = {thread: _info(rows.get(thread, {}), names.get(thread), root_of) for thread in known}
    return {thread: info for thread, info in found.items() if any(info)}


def _info(row: dict[str, str], indexed_name: str | None, root_of: Callable[[str], str | None]) -> ThreadInfo:
    name = row.get("name") or indexed_name
    folder = _one_line(row.get("cwd", "").removeprefix(_VERBATIM))
    return ThreadInfo(
        _one_line(name) if name else _shortened(_one_line(row.get("title")) or _task(row)),
        folder,
        _one_line(row.get("parent")),
        _one_line(row.get("project_name")) or _project(row, folder, root_of),
    )


def _task(row: dict[str, str]) -> str | None:
    """Return the name of a sub-agent's task, the end of its path: ``/root/check_tests``."""
    return _one_line(row.get("agent_path", "").rpartition("/")[2].replace("_", " "))


def _project(row: dict[str, str], folder: str | None, root_of: Callable[[str], str | None]) -> str | None:
    remote = remote_project(row.get("git_origin_url", ""))
    if remote:
        return _one_line(remote)
    if folder and (row.get("git_sha") or row.get("git_branch")):
        return root_of(folder) or folder
    return folder


def _one_line(text: str | None) -> str | None:
    """Return a text on one line, without control characters; None for an empty one."""
    return sanitize(" ".join(text[:_MAX_READ].split())) or None if text else None


def _shortened(text: str | None) -> str | None:
    return text if text is None or len(text) <= MAX_TITLE else f"{text[: MAX_TITLE - 1].rstrip()}…"


# The state database


def _read_rows(connection: sqlite3.Connection, ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the texts of each thread by column, with those of other tables as ``parent`` and ``project_name``."""
    columns = _columns(connection, "threads")
    if "id" not in columns:
        return {}
    read = ["id", *(each for each in _COLUMNS if each in columns)]
    rows = {row["id"]: row for row in _select(connection, "threads", read, "id", ids) if "id" in row}
    if {"child_thread_id", "parent_thread_id"} <= _columns(connection, "thread_spawn_edges"):
        edge = ["child_thread_id", "parent_thread_id"]
        for row in _select(connection, "thread_spawn_edges", edge, "child_thread_id", ids):
            if len(row) == len(edge):
                rows.setdefault(row["child_thread_id"], {})["parent"] = row["parent_thread_id"]
    projects = sorted({row["project_id"] for row in rows.values() if row.get("project_id")})
    if projects and {"id", "name"} <= _columns(connection, "projects"):
        names = {
            row.get("id"): row.get("name", "")
            for row in _select(connection, "projects", ["id", "name"], "id", projects)
        }
        for row in rows.values():
            row["project_name"] = names.get(row.get("project_id"), "")
    return rows


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    """Return the columns of a table; none if there is no such table: a view may be a query of any kind."""
    is_table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    if connection.execute(is_table, (table,)).fetchone() is None:
        return set()
    return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


def _select(
    connection: sqlite3.Connection, table: str, columns: Sequence[str], key: str, values: Sequence[str]
) -> Iterator[dict[str, str]]:
    """Yield the texts of each row with one of the values as its key, shortened by SQLite; other values are left out."""
    shortened = ", ".join(f"substr({each}, 1, {_MAX_READ})" for each in columns)
    for start in range(0, len(values), _IDS_AT_ONCE):
        some = values[start : start + _IDS_AT_ONCE]
        marks = ", ".join("?" * len(some))
        query = f"SELECT {shortened} FROM {table} WHERE {key} IN ({marks})"  # noqa: S608 (our own names)
        for row in connection.execute(query, some):
            yield {name: value for name, value in zip(columns, row, strict=True) if isinstance(value, str) and value}


# The session index


def _indexed_names(path: Path, ids: set[str]) -> dict[str, str]:
    """Return the names that the session index has for threads; of several lines of a thread, the last one counts."""
    found = {}
    for line in _last_lines(path):
        try:
            entry = json.loads(line)
            thread, name = entry["id"], entry["thread_name"]
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
        if isinstance(name, str) and name.strip() and isinstance(thread, str) and thread in ids:
            found[thread] = name
    return found


def _last_lines(path: Path) -> list[bytes]:
    """Return the lines of a regular file, or the last ones of a long file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return []
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _MAX_INDEX_BYTES))
            return file.read(_MAX_INDEX_BYTES).splitlines()
    except OSError:
        return []
