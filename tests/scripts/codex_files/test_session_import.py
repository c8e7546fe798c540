"""Session files of a CODEX_HOME into the database."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from scripts.codex_files import session_import, session_parts
from scripts.codex_files.session_import import ImportQuery, ImportResult, import_sessions
from scripts.codex_files.session_turns import SessionTurns
from store import imports
from store.database import open_reader, open_writer
from store.edits import forget_account
from store.imports import file_key
from store.record.recorder import Recorder
from tests.support.factories import NOON, turn
from tests.support.recorded_rows import rows
from tests.support.session_files import PROMPT, RESPONSE, SessionText, limits, thread_id

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from scripts.codex_files.session_lines import Line


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "codex"


def session(number: int = 1, turns: int = 2, **fields: Any) -> SessionText:
    """A session with some turns, ten seconds apart."""
    text = SessionText(thread_id(number), **fields).begin(NOON)
    return take_turns(text, turns)


def take_turns(text: SessionText, turns: int, at: float = NOON) -> SessionText:
    for number in range(turns):
        begin = at + 10 * number
        used = 40 + number
        text.ask(begin).respond(begin + 5, (100, 80), response=f"{text.thread}-{begin}", limits=limits(used))
    return text


def run(path: Path, *homes: Path, on_bytes: Any = lambda _: None, **options: Any) -> ImportResult:
    query = ImportQuery(homes, NOON + 1_000, **options)
    with closing(open_writer(path)) as connection:
        return import_sessions(connection, query, on_start=lambda _: None, on_bytes=on_bytes)


def turns(path: Path) -> list[tuple[str, float]]:
    found = rows(path, "SELECT thread, ended_at FROM requests ORDER BY thread, ended_at")
    return [(row["thread"], row["ended_at"] - NOON) for row in found]


def test_nothing_of_a_prompt_is_kept(path: Path, home: Path) -> None:
    """Of a file there are counters, ids, the model and times in the database: no text, and no path."""
    session().write(home)
    result = run(path, home)
    assert (result.files, result.sessions, result.new_turns, result.known_turns) == (1, 1, 2, 0)
    assert (result.first_at, result.last_at) == (NOON + 5, NOON + 15)
    content = b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))
    assert b"gpt-6.1-sol" in content
    for private in (PROMPT, RESPONSE, "secret-project", "somebody", str(home), "rollout"):
        assert private.encode() not in content


def test_importing_again_changes_nothing(path: Path, home: Path) -> None:
    """Files that have not changed are not opened; read from the beginning, all of their turns are known."""
    session().write(home)
    run(path, home)
    before = turns(path)
    read = list[int]()
    assert run(path, home, on_bytes=read.append).new_turns == 0
    again = run(path, home, again=True)
    assert (again.new_turns, again.known_turns) == (0, 2)
    assert turns(path) == before
    assert sum(read) == session().write(home).stat().st_size


def test_a_session_that_goes_on(path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A longer file is read on where it ended: of what was read before only the first line is parsed."""
    text = session()
    text.write(home)
    run(path, home)
    take_turns(text, 2, NOON + 100).write(home)
    fed = list[float]()
    feed = SessionTurns.feed

    def note(self: SessionTurns, line: Line) -> None:
        fed.append(line.begins_at)
        feed(self, line)

    monkeypatch.setattr(SessionTurns, "feed", note)
    result = run(path, home)
    assert (result.new_turns, result.known_turns) == (2, 0)
    assert [at for _, at in turns(path)] == [5, 15, 105, 115]
    assert fed[0] == 0
    assert len(fed) == 1 + 2 * 3


def test_a_line_that_is_being_written(path: Path, home: Path) -> None:
    """It is read when it is complete."""
    text = session()
    whole = text.content
    cut = whole[: whole.rfind(b"token_usage_record") + 100]
    text.write(home).write_bytes(cut)
    first = run(path, home)
    assert (first.new_turns, first.unfinished) == (1, 1)
    text.write(home)
    second = run(path, home)
    assert (second.new_turns, second.known_turns, second.unfinished) == (1, 0, 0)


def test_a_file_that_is_moved_copied_or_compressed(path: Path, home: Path, tmp_path: Path) -> None:
    """Its turns count once: the archive, another home, and another form of the file change nothing."""
    text = session()
    plain = text.write(home)
    run(path, home)
    plain.unlink()
    text.write(home, folder="archived_sessions")
    assert run(path, home).new_turns == 0
    text.write(tmp_path / "copy")
    session(turns=1).write(tmp_path / "older")
    assert run(path, home, tmp_path / "copy", tmp_path / "older").new_turns == 0
    packed = text.write(tmp_path / "packed", end=".jsonl.zst")
    packed.write_bytes(zstandard.compress(text.content))
    assert run(path, tmp_path / "packed").new_turns == 0
    assert len(turns(path)) == 2
    packed.write_bytes(zstandard.compress(take_turns(text, 1, NOON + 100).content))
    assert run(path, tmp_path / "packed").new_turns == 1
    assert [at for _, at in turns(path)] == [5, 15, 105]
    models = rows(path, "SELECT DISTINCT model FROM requests")
    assert models == [{"model": "gpt-6.1-sol"}]


def test_two_homes_that_went_on_apart(path: Path, home: Path, tmp_path: Path) -> None:
    """One session that was resumed on two machines has the turns of both, each once, however often it is imported."""
    session().write(home)
    run(path, home)
    take_turns(session(), 1, NOON + 100).write(home)
    take_turns(session(), 2, NOON + 200).write(tmp_path / "other")
    for _ in range(2):
        run(path, home, tmp_path / "other")
        assert [at for _, at in turns(path)] == [5, 15, 105, 205, 215]


def test_a_file_that_was_written_anew(path: Path, home: Path) -> None:
    """It is read from its beginning where it is not the file that was read before, and its turns count once."""
    session().write(home)
    run(path, home)
    longer = SessionText().begin(NOON - 1, note="x" * 500)
    take_turns(take_turns(longer, 2), 1, NOON + 100).write(home)
    result = run(path, home)
    assert (result.new_turns, result.known_turns) == (1, 2)


def test_since(path: Path, home: Path) -> None:
    """Older turns and files are left out, until an import reaches further back."""
    text = take_turns(session(turns=1), 1, NOON + 100)
    os.utime(text.write(home), (NOON + 200, NOON + 200))
    os.utime(session(2).write(home), (NOON + 20, NOON + 20))
    run(path, home, since=NOON + 50)
    assert turns(path) == [(thread_id(1), 105)]
    assert run(path, home, since=NOON + 60).new_turns == 0
    run(path, home)
    assert turns(path) == [(thread_id(1), 5), (thread_id(1), 105), (thread_id(2), 5), (thread_id(2), 15)]


def test_a_dry_run_changes_nothing(path: Path, home: Path) -> None:
    """It counts what an import would store."""
    session().write(home)
    open_writer(path).close()
    before = path.read_bytes()
    with closing(open_reader(path)) as connection:
        query = ImportQuery([home], NOON + 1_000, dry_run=True)
        result = import_sessions(connection, query, on_start=lambda _: None, on_bytes=lambda _: None)
    assert (result.new_turns, result.known_turns) == (2, 0)
    assert path.read_bytes() == before


def test_what_was_forgotten_stays_so(path: Path, home: Path) -> None:
    """Only what a session adds later is imported, unless all is asked for again."""
    text = session()
    text.write(home)
    run(path, home)
    with closing(open_writer(path)) as connection:
        forget_account(connection, 1)
    assert run(path, home).new_turns == 0
    take_turns(text, 1, NOON + 100).write(home)
    run(path, home)
    assert [at for _, at in turns(path)] == [105]
    run(path, home, again=True)
    assert [at for _, at in turns(path)] == [5, 15, 105]


def test_a_session_of_another_provider(path: Path, home: Path) -> None:
    """It uses none of Codex's limits: it is counted and left out, also when it goes on."""
    text = SessionText().begin(NOON, model_provider="ollama")
    take_turns(text, 1).write(home)
    assert run(path, home).other_providers == 1
    take_turns(text, 1, NOON + 100).write(home)
    result = run(path, home)
    assert (result.other_providers, result.new_turns) == (0, 0)
    assert not rows(path, "SELECT * FROM requests")


def test_files_that_cannot_be_read_to_their_end(path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be read is stored, the others are named, and they are tried again."""
    packed = session(1, 300).write(home, end=".jsonl.zst")
    content = zstandard.compress(session(1, 300).content)
    packed.write_bytes(content[: len(content) - 40])
    broken = session(2).write(home, end=".jsonl.zst")
    broken.write_bytes(b"not compressed at all")
    denied = session(3).write(home)
    session(4).write(home)
    real = os.open

    def refuse(opened: str, *arguments: Any) -> int:
        if opened == str(denied):
            raise PermissionError(13, "Permission denied")
        return real(opened, *arguments)

    monkeypatch.setattr(os, "open", refuse)
    result = run(path, home)
    assert sorted(result.unreadable) == sorted([(str(broken), "damaged"), (str(denied), "Permission denied")])
    assert {thread for thread, _ in turns(path)} >= {thread_id(4)}
    monkeypatch.undo()
    assert run(path, home).unreadable == [(str(broken), "damaged")]
    assert {thread for thread, _ in turns(path)} >= {thread_id(3), thread_id(4)}


def test_damaged_lines_are_counted(path: Path, home: Path) -> None:
    """The lines around them are read."""
    text = session(turns=1)
    text.lines += [b"\x00" * 5_000 + b"\n", b'{"timestamp":"2026-11-21T12:00:00Z","type":"turn_context","payload":1}\n']
    take_turns(text, 1, NOON + 100).write(home)
    result = run(path, home)
    assert (result.new_turns, result.damaged) == (2, 2)


def test_ctrl_c_keeps_what_was_stored(path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next import goes on from there, and each turn counts once."""
    monkeypatch.setattr(session_import, "_BATCH_FILES", 1)
    for number in range(1, 5):
        session(number).write(home)
    reported = list[int]()

    def interrupt(number: int) -> None:
        reported.append(number)
        if len(reported) == 3:
            raise KeyboardInterrupt

    result = run(path, home, on_bytes=interrupt)
    assert result.interrupted
    stored = len(turns(path))
    assert 0 < stored < 8
    assert result.new_turns == stored
    assert run(path, home).new_turns == 8 - stored
    assert len(turns(path)) == 8


def test_a_long_session_is_stored_in_parts(path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How far it was read is stored with each part."""
    monkeypatch.setattr(session_parts, "PART_TURNS", 10)
    monkeypatch.setattr(session_import, "_BATCH_ROWS", 10)
    text = session(turns=95)
    text.write(home)
    ends = list[int]()
    write = imports.write_part

    def note(connection: sqlite3.Connection, part: Any) -> Any:
        ends.append(part.progress.read_to)
        return write(connection, part)

    monkeypatch.setattr(imports, "write_part", note)
    assert run(path, home).new_turns == 95
    assert len(ends) == 10
    assert ends == sorted(ends)
    (found,) = rows(path, "SELECT file, size, read_to FROM imported_files")
    assert found == {"file": file_key(thread_id(1)), "size": len(text.content), "read_to": len(text.content)}


def test_beside_a_recorder(path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy records meanwhile: nothing of either is lost, and a turn that both bring counts once."""
    monkeypatch.setattr(session_import, "_BATCH_FILES", 1)
    for number in range(1, 21):
        session(number).write(home)
    recorder = Recorder(path)
    recorder.start()

    def put(_: int) -> None:
        at = len(put_at) + 1
        put_at.append(at)
        response = f"{thread_id(at)}-{NOON}"
        recorder.put(turn(thread_id(at), at=NOON + 5, response_id=response))
        recorder.put(turn(f"another-{at}", at=NOON + 5))

    put_at = list[int]()
    query = ImportQuery([home], NOON + 1_000)
    with closing(open_writer(path)) as connection:
        connection.execute("PRAGMA busy_timeout = 5000")
        import_sessions(connection, query, on_start=lambda _: None, on_bytes=lambda size: put(size) if size else None)
    assert recorder.close()
    found = rows(path, "SELECT thread, imported FROM requests")
    assert len(found) == 2 * 20 + len(put_at)
    assert sum(1 for row in found if not row["imported"]) == 2 * len(put_at)


@pytest.mark.parametrize("size", [1, 1_000_000], ids=["one file at a time", "many files at a time"])
def test_several_processes(path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """They find what one finds, in sessions of several parts as well."""
    monkeypatch.setattr(session_import, "_MUCH_BYTES", 0)
    monkeypatch.setattr(session_import, "_HANDED_OVER_BYTES", size)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    for number in range(1, 8):
        session(number, turns=number).write(home)
    session(20, turns=session_parts.PART_TURNS + 5).write(home)
    session(1, turns=2, account=None).write(home, folder="archived_sessions")
    alone = path.with_name("alone.sqlite3")
    seen = list[int]()
    result = run(path, home, on_bytes=seen.append)
    monkeypatch.undo()
    expected = run(alone, home)
    assert result == expected
    assert sum(seen) == result.total_bytes
    assert turns(path) == turns(alone)
    assert run(path, home).new_turns == 0


def test_processes_that_are_killed(path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The import goes on in its own process."""
    monkeypatch.setattr(session_import, "_MUCH_BYTES", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    for number in range(1, 5):
        session(number).write(home)
    pools = list[ProcessPoolExecutor]()

    class Killed(ProcessPoolExecutor):
        def submit(self, *arguments: Any) -> Any:  # type: ignore[override]
            if not pools:
                pools.append(self)
                future = super().submit(os._exit, 9)
                with pytest.raises(BrokenProcessPool):
                    future.result()
            return super().submit(*arguments)

    monkeypatch.setattr(session_import, "ProcessPoolExecutor", Killed)
    assert run(path, home).new_turns == 8
    assert pools
