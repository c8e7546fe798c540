from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from scripts.codex_files.names import load_names, name_threads, name_turns, name_usage, projects_of
from store.queries.usage import empty_usage
from tests.support.codex_state import write_state

if TYPE_CHECKING:
    from store.constants import GroupBy
    from store.documents import ThreadEntry, ThreadWords, TurnEntry, UsageDocument, UsageRow

NOTHING = {"title": None, "folder": None, "project": None}
ONE = {"title": "fix the tests", "folder": "/work/shop/src", "project": "acme/shop"}
TWO = {"title": "say ok", "folder": "/work/old/shop", "project": "old/shop"}


@pytest.fixture(autouse=True)
def _state() -> None:
    remote = {"git_sha": "0", "git_origin_url": "git@git.example:acme/shop.git"}
    write_state(
        Path(os.environ["CODEX_HOME"]),
        {"id": "one", "title": "fix the tests", "cwd": "/work/shop/src", **remote},
        {"id": "two", "cwd": "/work/old/shop"},
        {"id": "three", "cwd": "/work/blog"},
    )


def words(entry: ThreadWords) -> dict[str, str | None]:
    return {"title": entry["title"], "folder": entry["folder"], "project": entry["project"]}


def usage(by: GroupBy, *keys: str | None) -> UsageDocument:
    """A document of ``usage`` with a row for each key; the row of thread one has thread two in its tree."""
    document = empty_usage(0, by=by, since=-1)
    document["rows"] = [
        cast("UsageRow", {"key": key, "name": None, "tree": [{"key": "two"}] if key == "one" else []}) for key in keys
    ]
    return document


def test_rows_by_thread_and_their_trees() -> None:
    one, other, nothing = name_usage(usage("thread", "one", "other", None))["rows"]
    assert (words(one), words(one["tree"][0])) == (ONE, TWO)
    assert words(other) == words(nothing) == NOTHING


def test_rows_by_project() -> None:
    """Their name is the short one, and null where it would repeat the key."""
    rows = name_usage(usage("project", "git.example/acme/shop", "/work/old/shop", "/", None))["rows"]
    assert [(row["name"], row["project"]) for row in rows] == [
        ("acme/shop", "acme/shop"),
        ("old/shop", "old/shop"),
        (None, "/"),
        (None, None),
    ]


def test_other_rows_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.codex_files.names.load_threads", None)
    assert name_usage(usage("model", "one")) == usage("model", "one")


def test_threads_and_turns() -> None:
    entries = [cast("ThreadEntry", {"thread": "one", "tree": [{"thread": "two"}]})]
    (entry,) = name_threads(entries)
    assert (words(entry), words(entry["tree"][0])) == (ONE, TWO)

    turns = name_turns([cast("TurnEntry", {"thread": thread}) for thread in ("two", None)])
    assert [words(turn) for turn in turns] == [{**TWO, "project": "shop"}, NOTHING]


def test_projects_of_threads() -> None:
    assert projects_of(["one", "three", "unknown"]) == {"one": "git.example/acme/shop", "three": "/work/blog"}


def test_without_a_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", no_home)
    assert load_names(["one"], {}).words("one") == NOTHING


def test_a_folder_of_codexs_databases(tmp_path: Path) -> None:
    write_state(tmp_path / "state", {"id": "one", "title": "elsewhere"})
    environ = {"CODEX_HOME": str(tmp_path), "CODEX_SQLITE_HOME": str(tmp_path / "state")}
    assert load_names(["one"], environ).words("one")["title"] == "elsewhere"
