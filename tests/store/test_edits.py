"""Names given by a person, and the deletion of an account."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from store.database import open_writer
from store.edits import forget_account
from tests.support.databases import record
from tests.support.factories import BOB, turn, used
from tests.support.recorded_rows import figures, rows

if TYPE_CHECKING:
    from pathlib import Path


def test_a_forgotten_account_is_gone_to_the_last_byte(path: Path) -> None:
    """Its rows are deleted, and nothing of it stays in free pages; the others' history does."""
    record(path, used(13), used(50, who=BOB), used(14))
    connection = open_writer(path)

    forget_account(connection, 1)
    connection.close()

    assert figures(path) == [(50.0, 1)]
    assert rows(path, "SELECT count(*) AS left FROM tokens") == [{"left": 1}]
    assert b"alice" not in path.read_bytes()
    assert b"bob@example.com" in path.read_bytes()


def test_turns_are_forgotten_with_their_account(path: Path) -> None:
    """Nothing of an account's turns and threads is left in the file."""
    record(path, used(13), turn("the-thread-of-alice"), turn("t-2", who=BOB))
    with contextlib.closing(open_writer(path)) as connection:
        forget_account(connection, 1)

    assert [row["thread"] for row in rows(path, "SELECT * FROM requests")] == ["t-2"]
    assert [row["thread"] for row in rows(path, "SELECT * FROM threads")] == ["t-2"]
    assert b"the-thread-of-alice" not in path.read_bytes()
