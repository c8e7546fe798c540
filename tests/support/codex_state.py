"""State databases like those that Codex 0.169.0 writes, with made-up threads."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SCHEMA = """
CREATE TABLE threads (
    id TEXT PRIMARY KEY,
    rollout_path TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    source TEXT NOT NULL,
    model_provider TEXT NOT NULL,
    cwd TEXT NOT NULL,
    title TEXT NOT NULL,
    sandbox_policy TEXT NOT NULL,
    approval_mode TEXT NOT NULL,
    tokens_used INTEGER NOT NULL DEFAULT 0,
    archived INTEGER NOT NULL DEFAULT 0,
    git_sha TEXT,
    git_branch TEXT,
    git_origin_url TEXT,
    first_user_message TEXT NOT NULL DEFAULT '',
    name TEXT,
    agent_path TEXT,
    project_id TEXT REFERENCES projects(id) ON DELETE SET NULL
);
CREATE TABLE thread_spawn_edges (
    parent_thread_id TEXT NOT NULL,
    child_thread_id TEXT NOT NULL PRIMARY KEY,
    status TEXT NOT NULL
);
CREATE TABLE projects (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    metadata TEXT NOT NULL DEFAULT '{}',
    position INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL
);
"""
_REQUIRED = {
    "rollout_path": "/rollout.jsonl",
    "created_at": 0,
    "updated_at": 0,
    "source": "cli",
    "model_provider": "openai",
    "sandbox_policy": "{}",
    "approval_mode": "never",
    "title": "say ok",
    "cwd": "/home/ann",
}


@contextlib.contextmanager
def codex_at_work(home: Path, *threads: dict[str, Any], number: int = 5) -> Iterator[sqlite3.Connection]:
    """Hold the state database open as Codex does, with threads given as rows; ``parent`` is a spawn edge."""
    home.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(home / f"state_{number}.sqlite", isolation_level=None)
    with contextlib.closing(connection):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_SCHEMA)
        add_threads(connection, *threads)
        yield connection


def add_threads(connection: sqlite3.Connection, *threads: dict[str, Any]) -> None:
    """Insert threads into an open state database."""
    for thread in threads:
        row = {**_REQUIRED, **thread}
        parent = row.pop("parent", None)
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO threads ({', '.join(row)}) VALUES ({marks})", list(row.values()))  # noqa: S608
        if parent:
            connection.execute("INSERT INTO thread_spawn_edges VALUES (?, ?, 'open')", (parent, row["id"]))


def write_state(home: Path, *threads: dict[str, Any], number: int = 5) -> Path:
    """Write a state database and close it, as at the end of the last Codex; return its path."""
    with codex_at_work(home, *threads, number=number):
        pass
    return home / f"state_{number}.sqlite"


def write_index(home: Path, *names: tuple[str, str]) -> None:
    """Write a session index with a name for each thread."""
    home.mkdir(parents=True, exist_ok=True)
    entries = [{"id": thread, "thread_name": name, "updated_at": "2026-11-26T18:30:40Z"} for thread, name in names]
    lines = "".join(f"{json.dumps(entry)}\n" for entry in entries)
    (home / "session_index.jsonl").write_text(lines, encoding="utf-8")
