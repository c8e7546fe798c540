"""`codex-tap import`."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from scripts.codex_files.import_hint import HINT
from scripts.commands import import_sessions as command
from store.documents import ImportDocument
from tests.support.command_line import in_terminal, invoke, needs_terminal
from tests.support.factories import NOON
from tests.support.session_files import SessionText, limits, thread_id

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home with two sessions of a turn each; the one names no account."""
    for number, account in enumerate(("acct-a", None), 1):
        text = SessionText(thread_id(number), account=account).begin(NOON - 60).ask(NOON - 60)
        text.respond(NOON - 50, response=f"resp_{number}", limits=limits()).write(tmp_path / "codex")
    return tmp_path / "codex"


def run(path: Path, *words: str | Path) -> tuple[int, str]:
    result = invoke("import", *words, "--db", path)
    assert result.stderr == ""
    return result.exit_code, result.stdout


def test_the_first_day(path: Path, home: Path) -> None:
    """Before the tap has seen anything, usage and threads know what the session files tell, and say so."""
    code, text = run(path, "--codex-home", home)
    assert (code, text.splitlines()[0][:37]) == (0, "Imported 2 turns of 2 sessions, from ")
    assert "accounts merge ACCOUNT session-files" in text
    threads = invoke("threads", "--since", "10000d", "--db", path).stdout
    assert "2 of 2 turns are from session files (codex-tap import)." in threads
    usage = json.loads(invoke("usage", "--since", "10000d", "--json", "--db", path).stdout)
    assert (usage["window"], usage["total"]["turns"], usage["total"]["imported_turns"]) == ("7d", 2, 2)
    assert usage["imported_readings"] == usage["readings"] == 2
    status = invoke("status", "--db", path)
    assert status.stdout.count("no limit seen through the tap yet") == 2


def test_importing_again(path: Path, home: Path) -> None:
    """Nothing is new."""
    run(path, "--codex-home", home)
    assert run(path, "--codex-home", home) == (0, "Nothing new: 2 session files.\n")
    assert run(path, "--codex-home", home, "--again")[1] == "Nothing new: 2 session files, 2 turns known.\n"


def test_the_document(path: Path, home: Path) -> None:
    """It has every documented field; with --quiet it is all there is."""
    code, text = run(path, "--codex-home", home, "--json", "--quiet")
    document = json.loads(text)
    assert (code, set(document)) == (0, set(ImportDocument.__annotations__) - {"machines_silent"})
    assert (document["new_turns"], document["turns_without_account"], document["codex_homes"]) == (2, 1, [str(home)])
    assert run(path, "--codex-home", home, "--again", "-q") == (0, "")


@pytest.mark.parametrize("exists", [False, True], ids=["no database", "a database"])
def test_a_dry_run(path: Path, home: Path, exists: bool) -> None:
    """It counts, and neither writes a database nor makes one."""
    if exists:
        run(path, "--codex-home", home)
        before = path.read_bytes()
    code, text = run(path, "--codex-home", home, "--dry-run", "--again")
    assert (code, text.startswith("Nothing new" if exists else "Would import 2 turns")) == (0, True)
    assert path.read_bytes() == before if exists else not path.exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--codex-home", "{home}/nowhere"], 2, "is not a folder; name the one that has Codex's sessions folder"),
        (["--codex-home", "{home}/.."], 3, "no session files in"),
        (["--since", "2100-01-01"], 2, "must be in the past"),
        (["--since", "soon"], 2, "soon"),
        (["--codex-home", "{home}", "--db", "{home}"], 4, "{home}"),
    ],
    ids=["no folder", "no files", "the future", "no time", "no database"],
)
def test_wrong_use(path: Path, home: Path, words: list[str], code: int, message: str) -> None:
    """One line says what is wrong."""
    given = [each.format(home=home) for each in words]
    result = invoke("import", *(given if "--db" in given else [*given, "--db", path]))
    assert (result.exit_code, result.stdout) == (code, "")
    assert message.format(home=home) in result.stderr


def test_the_default_home(path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is CODEX_HOME, and without that a folder of the user's home."""
    monkeypatch.setenv("CODEX_HOME", str(home))
    assert run(path)[1].startswith("Imported 2 turns")
    monkeypatch.delenv("CODEX_HOME")
    monkeypatch.setenv("HOME", str(home.parent))
    monkeypatch.setenv("USERPROFILE", str(home.parent))
    (home.parent / ".codex").mkdir()
    os.rename(home / "sessions", home.parent / ".codex" / "sessions")  # noqa: PTH104 (a plain move)
    assert run(path) == (0, "Nothing new: 2 session files.\n")


def test_ctrl_c(path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was stored is reported, and the exit code says that it is not all."""
    import scripts.codex_files.session_import as reader

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(reader, "read_part", interrupted)
    code, text = run(path, "--codex-home", home)
    assert (code, text.splitlines()[-1]) == (
        command._INTERRUPTED,
        "Stopped before the end. What was stored stays; codex-tap import goes on from there.",
    )


@needs_terminal
def test_in_a_terminal(path: Path, home: Path) -> None:
    """There is a progress bar while it reads."""
    code, screen = in_terminal("import", "--codex-home", str(home), "--db", str(path))
    assert code == 0
    assert "Reading" in screen
    assert "Imported 2 turns of 2 sessions" in screen


@needs_terminal
def test_status_mentions_it(path: Path, home: Path) -> None:
    """In a terminal, until there was an import."""
    words = ("status", "--db", str(path))
    assert HINT in in_terminal(*words, CODEX_HOME=str(home))[1]
    run(path, "--codex-home", home)
    assert HINT not in in_terminal(*words, CODEX_HOME=str(home))[1]


def test_install_mentions_it(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Once it is done."""
    monkeypatch.setenv("CODEX_HOME", str(home))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CODEX_TAP_DB", str(tmp_path / "tap.sqlite3"))
    result = invoke("install", "--shell", "bash", "--yes")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == HINT
