from __future__ import annotations

import json
import os
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from scripts.codex_files.threads import MAX_TITLE, ThreadInfo, load_threads
from tests.support.codex_state import add_threads, codex_at_work, write_index, write_state

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"title": "fix the tests"}, ThreadInfo("fix the tests", "/home/ann", None, "/home/ann")),
        ({"title": "x", "name": "Refactor login"}, ThreadInfo("Refactor login", "/home/ann", None, "/home/ann")),
        ({"title": " two\n lines\t"}, ThreadInfo("two lines", "/home/ann", None, "/home/ann")),
        ({"title": "a\x1b[31mb\u202ec"}, ThreadInfo("a�[31mb�c", "/home/ann", None, "/home/ann")),
        ({"title": ""}, ThreadInfo(None, "/home/ann", None, "/home/ann")),
        (
            {"title": "", "agent_path": "/root/fix/check_tests", "parent": "root"},
            ThreadInfo("check tests", "/home/ann", "root", "/home/ann"),
        ),
        ({"parent": "root"}, ThreadInfo("say ok", "/home/ann", "root", "/home/ann")),
        ({"cwd": ""}, ThreadInfo("say ok", None, None, None)),
        ({"cwd": r"\\?\C:\work"}, ThreadInfo("say ok", r"C:\work", None, r"C:\work")),
        (
            {"cwd": "/work/shop/src", "git_sha": "00", "git_origin_url": "https://git.example/acme/shop.git"},
            ThreadInfo("say ok", "/work/shop/src", None, "git.example/acme/shop"),
        ),
        (
            {"cwd": "/gone/shop", "git_sha": "00", "git_branch": "main"},
            ThreadInfo("say ok", "/gone/shop", None, "/gone/shop"),
        ),
        ({"project_id": "p1"}, ThreadInfo("say ok", "/home/ann", None, "Web shop")),
        ({"project_id": "deleted"}, ThreadInfo("say ok", "/home/ann", None, "/home/ann")),
    ],
)
def test_a_thread(tmp_path: Path, row: dict[str, Any], expected: ThreadInfo) -> None:
    with codex_at_work(tmp_path, {"id": "one", **row}, {"id": "other", "title": "not asked for"}) as codex:
        codex.execute("INSERT INTO projects VALUES ('p1', 'Web shop', '{}', 0, 0, 0)")

        assert load_threads(tmp_path, ["one", "unknown", ""]) == {"one": expected}
    assert load_threads(tmp_path, iter(["one", "one"])) == {"one": expected}


def test_folders_of_a_repository_without_a_remote_are_one_project(tmp_path: Path) -> None:
    repository = tmp_path / "shop"
    (repository / ".git").mkdir(parents=True)
    (repository / "src").mkdir()
    folders = [repository, repository / "src", repository / "deleted"]
    write_state(tmp_path, *({"id": str(n), "cwd": str(each), "git_sha": "0"} for n, each in enumerate(folders)))

    found = load_threads(tmp_path, ["0", "1", "2"])

    assert [each.project for each in found.values()] == [str(repository)] * 3


def test_a_long_first_message_is_shortened(tmp_path: Path) -> None:
    write_state(tmp_path, {"id": "one", "title": "word " * 400_000}, {"id": "two", "name": "n" * 100_000})

    found = load_threads(tmp_path, ["one", "two"])

    title, name = found["one"].title, found["two"].title
    assert title is not None
    assert name is not None
    assert title.endswith("word…")
    assert len(title) <= MAX_TITLE
    assert len(name) < 5_000


def test_many_threads(tmp_path: Path) -> None:
    ids = [f"thread {n}" for n in range(2_000)]
    write_state(tmp_path, *({"id": each, "title": each} for each in ids))

    assert {key: each.title for key, each in load_threads(tmp_path, ids).items()} == {each: each for each in ids}


def test_names_of_the_session_index(tmp_path: Path) -> None:
    """The index has the name of a thread without one in the database; the last line of a thread counts."""
    write_state(tmp_path, {"id": "one", "title": "first"}, {"id": "two", "name": "in the database"})
    write_index(tmp_path, ("one", "old"), ("one", "new"), ("two", "in the index"), ("three", "without a row"))

    found = load_threads(tmp_path, ["one", "two", "three"])

    assert [found[each].title for each in ("one", "two", "three")] == ["new", "in the database", "without a row"]


def test_a_damaged_session_index(tmp_path: Path) -> None:
    lines = [
        b"\xff\xfe",
        b"[]",
        b'{"id": "one"}',
        b'{"id": ["one"], "thread_name": "x"}',
        b'{"id": "one", "thread_name": 7}',
        b'{"id": "one", "thread_name": " "}',
        b"[" * 100_000,
        json.dumps({"id": "one", "thread_name": "good"}).encode(),
        b'{"id": "one", "thread_na',
    ]
    (tmp_path / "session_index.jsonl").write_bytes(b"\n".join(lines))

    assert load_threads(tmp_path, ["one"]) == {"one": ThreadInfo("good", None, None)}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes of POSIX")
def test_a_pipe_as_session_index_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "session_index.jsonl")

    assert load_threads(tmp_path, ["one"]) == {}


def test_a_state_folder_of_its_own(tmp_path: Path) -> None:
    write_state(tmp_path / "state", {"id": "one", "title": "there"})

    assert load_threads(tmp_path, ["one"]) == {}
    assert load_threads(tmp_path, ["one"], tmp_path / "state")["one"].title == "there"


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ("CREATE TABLE other (id)", {}),
        ("CREATE TABLE threads (key, title)", {}),
        ("CREATE VIEW threads AS SELECT 'one' AS id, 'x' AS title", {}),
        (
            "CREATE TABLE threads (id, title); INSERT INTO threads VALUES ('one', 'x')",
            {"one": ThreadInfo("x", None, None)},
        ),
        ("CREATE TABLE threads (id, title); INSERT INTO threads VALUES ('one', x'00')", {}),
        ("CREATE TABLE threads (id, cwd); INSERT INTO threads VALUES ('one', NULL)", {}),
        (
            (
                "CREATE TABLE threads (id); CREATE TABLE thread_spawn_edges (child_thread_id, parent_thread_id); "
                "INSERT INTO thread_spawn_edges VALUES ('one', x'00'), ('one', 'root'), ('one', NULL)"
            ),
            {"one": ThreadInfo(None, None, "root")},
        ),
    ],
    ids=["no table", "no id", "a view", "few columns", "bytes", "nothing", "odd edges"],
)
def test_other_schemas(tmp_path: Path, schema: str, expected: dict[str, ThreadInfo]) -> None:
    connection = sqlite3.connect(tmp_path / "state_6.sqlite")
    connection.executescript(schema)
    connection.close()

    assert load_threads(tmp_path, ["one"]) == expected


def test_no_ids_open_nothing(tmp_path: Path) -> None:
    with codex_at_work(tmp_path) as codex:
        add_threads(codex, {"id": ""})

        assert load_threads(tmp_path, [""]) == {}
