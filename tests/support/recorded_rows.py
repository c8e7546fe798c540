"""The rows that a recorder has written, a lock on its database, and a wait for an event."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest

from store.database import open_reader
from store.errors import MissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def rows(path: Path, query: str = "SELECT * FROM snapshots ORDER BY id") -> list[dict[str, Any]]:
    """Return the rows of a query, by default the snapshots in the order of their arrival."""
    connection = open_reader(path)
    found = [dict(row) for row in connection.execute(query)]
    connection.close()
    return found


def figures(path: Path) -> list[tuple[float, int]]:
    """Return the 5h figure of each snapshot, and the number of its observations."""
    return [(row["used_5h_percent"], row["observations"]) for row in rows(path)]


def figures_if_any(path: Path) -> list[tuple[float, int]]:
    """Return the figures; none while the file is missing or empty."""
    try:
        return figures(path)
    except MissingError:
        return []


def current(path: Path, limit_id: str = "codex") -> dict[str, Any]:
    """Return the current snapshot of a limit."""
    (row,) = rows(
        path,
        "SELECT s.* FROM limits l JOIN snapshots s ON s.id = l.snapshot_id"  # noqa: S608 (a constant of the test)
        f" WHERE l.limit_id = '{limit_id}'",
    )
    return row


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the database as another writer does."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until a condition is true, and fail the test after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it did not happen in time")
