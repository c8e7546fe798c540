from __future__ import annotations

import os
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from scripts.codex_files.state_database import read_state
from tests.support.codex_state import add_threads, codex_at_work, write_state

if TYPE_CHECKING:
    from pathlib import Path


def read_ids(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT id FROM threads ORDER BY id")]


def files(folder: Path) -> dict[str, tuple[int, int]]:
    return {each.name: (each.stat().st_size, each.stat().st_mtime_ns) for each in folder.iterdir()}


def test_nothing_is_created_or_changed(tmp_path: Path) -> None:
    write_state(tmp_path, {"id": "one"})
    before = files(tmp_path)

    assert read_state(tmp_path, read_ids) == ["one"]
    assert files(tmp_path) == before
    assert list(before) == ["state_5.sqlite"]


def test_a_codex_at_work_is_read_and_not_held_up(tmp_path: Path) -> None:
    with codex_at_work(tmp_path, {"id": "one"}) as codex:
        before = files(tmp_path)
        assert read_state(tmp_path, read_ids) == ["one"]
        assert files(tmp_path) == before

        codex.execute("BEGIN EXCLUSIVE")
        add_threads(codex, {"id": "two"})
        assert read_state(tmp_path, read_ids) == ["one"]
        codex.execute("COMMIT")

        assert read_state(tmp_path, read_ids) == ["one", "two"]
        assert codex.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    assert [each.name for each in tmp_path.iterdir()] == ["state_5.sqlite"]


def test_a_killed_codex(tmp_path: Path) -> None:
    """The companion files stay; with one of them missing, as in a copy, the file is read alone."""
    killed = tmp_path / "killed"
    killed.mkdir()
    write_state(tmp_path / "home", {"id": "one"})
    with sqlite3.connect(tmp_path / "home" / "state_5.sqlite", isolation_level=None) as codex:
        add_threads(codex, {"id": "two"})
        for suffix in ("", "-wal", "-shm"):
            shutil.copy(tmp_path / "home" / f"state_5.sqlite{suffix}", killed)
    codex.close()
    before = files(killed)
    assert read_state(killed, read_ids) == ["one", "two"]
    # The next connection of any kind renews the index of the log, which is shared memory.
    assert {**files(killed), "state_5.sqlite-shm": before["state_5.sqlite-shm"]} == before

    (killed / "state_5.sqlite-shm").unlink()
    assert read_state(killed, read_ids) == ["one"]
    assert set(files(killed)) == {"state_5.sqlite", "state_5.sqlite-wal"}


def test_a_codex_that_starts_meanwhile(tmp_path: Path) -> None:
    path = write_state(tmp_path, {"id": "one"})
    started: list[sqlite3.Connection] = []

    def read(connection: sqlite3.Connection) -> list[str]:
        found = read_ids(connection)
        if not started:
            started.append(sqlite3.connect(path, isolation_level=None))
            add_threads(started[0], {"id": "two"})
        return found

    assert read_state(tmp_path, read) == ["one", "two"]
    started[0].close()


def test_the_newest_version_counts(tmp_path: Path) -> None:
    for number in (4, 10, 9):
        write_state(tmp_path, {"id": f"of {number}"}, number=number)
    (tmp_path / "state_11.sqlite.backup").write_bytes(b"x")

    assert read_state(tmp_path, read_ids) == ["of 10"]


def test_a_name_that_is_an_address_to_sqlite(tmp_path: Path) -> None:
    folder = tmp_path / "100% mine?mode=rwc#x"
    write_state(folder, {"id": "one"})

    assert read_state(folder, read_ids) == ["one"]


@pytest.mark.parametrize(
    "content",
    [None, b"", b"not a database", b"SQLite format 3\0" + b"\xff" * 5000],
    ids=["missing", "empty", "another file", "damaged"],
)
def test_what_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "state_5.sqlite").write_bytes(content)

    assert read_state(tmp_path, read_ids) is None
    assert read_state(tmp_path / "missing", read_ids) is None


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "state_5.sqlite").mkdir()

    assert read_state(tmp_path, read_ids) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes of POSIX")
def test_a_pipe_in_its_place_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "state_5.sqlite")

    assert read_state(tmp_path, read_ids) is None


def test_an_endless_query_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.codex_files.state_database._MAX_STEPS", 1_000_000)
    path = write_state(tmp_path)
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "DROP TABLE threads; CREATE VIEW threads AS"
            " WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id FROM n;"
        )
    connection.close()

    assert read_state(tmp_path, read_ids) is None


def test_a_text_that_is_not_utf_8(tmp_path: Path) -> None:
    with codex_at_work(tmp_path) as codex:
        add_threads(codex, {"id": "one"})
        codex.execute("UPDATE threads SET id = CAST(x'6FFF6E' AS TEXT)")

    assert read_state(tmp_path, read_ids) == ["o\N{REPLACEMENT CHARACTER}n"]
