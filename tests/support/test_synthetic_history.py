from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from store.database import open_reader
from store.queries.accounts import load_accounts
from store.queries.status import load_status
from tests.support.synthetic_history import Size, generate, main

if TYPE_CHECKING:
    from pathlib import Path

SIZE = Size(snapshots=600, turns=1_200, days=20)


def content(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [line for line in connection.iterdump() if "_sqlite_migrations" not in line]


def test_a_seed_is_a_history(tmp_path: Path) -> None:
    """The same seed makes the same rows, another one others."""
    now = time.time()
    for name, size in (("a", SIZE), ("b", SIZE), ("c", SIZE._replace(seed=2))):
        generate(tmp_path / name, size, now)
    assert content(tmp_path / "a") == content(tmp_path / "b") != content(tmp_path / "c")


def test_it_is_what_a_recorder_would_have_left(tmp_path: Path) -> None:
    """As many rows as asked for, up to now, every pointer at the newest, and nothing that points nowhere."""
    now = time.time()
    path = tmp_path / "made.sqlite3"
    generate(path, SIZE, now)
    with closing(open_reader(path)) as connection:

        def ask(query: str) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in connection.execute(query)]

        assert ask("SELECT count(*) FROM requests") == [(SIZE.turns,)]
        assert SIZE.snapshots <= ask("SELECT count(*) FROM snapshots")[0][0] <= SIZE.snapshots * 1.3
        assert ask("PRAGMA foreign_key_check") == []
        assert ask("SELECT max(id) FROM snapshots GROUP BY account, limit_id ORDER BY 1") == ask(
            "SELECT snapshot_id FROM limits ORDER BY 1"
        )
        assert ask("SELECT count(*) FROM snapshots WHERE last_seen_at < first_seen_at OR used_5h_percent > 100") == [
            (0,)
        ]
        assert ask("SELECT count(*) FROM threads") == ask("SELECT count(DISTINCT thread) FROM requests")
        (last,) = ask("SELECT max(ended_at) FROM requests")[0]
        assert now - 60 < last <= now
        accounts = load_status(connection, now, load_accounts(connection))["accounts"]
    assert len(accounts) == SIZE.accounts
    assert [len(account["limits"]) for account in accounts] == [1, 2, 1, 1, 1]
    assert "30d" in accounts[3]["limits"][0]["windows"]


def test_it_never_writes_over_a_file(tmp_path: Path) -> None:
    """What is there may be somebody's."""
    path = tmp_path / "mine.sqlite3"
    path.write_text("mine")
    assert CliRunner().invoke(main, [str(path)]).exit_code == 1
    with pytest.raises(FileExistsError):
        generate(path, SIZE, 0)
    assert path.read_text() == "mine"


def test_raw_is_json(tmp_path: Path) -> None:
    """Whoever looks into what was told finds it as the recorder writes it."""
    path = tmp_path / "made.sqlite3"
    generate(path, SIZE, time.time())
    with closing(sqlite3.connect(path)) as connection:
        told = [json.loads(raw) for (raw,) in connection.execute("SELECT raw FROM snapshots")]
    assert {each["type"] for each in told} == {"codex.rate_limits"}
