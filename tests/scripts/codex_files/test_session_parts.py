"""A session file, part by part; what comes of the parts is tested with the import."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import zstandard

from scripts.codex_files import session_parts
from scripts.codex_files.session_files import SessionPath
from scripts.codex_files.session_parts import ReadPart, ReadTask, read_part
from tests.support.factories import NOON
from tests.support.session_files import SessionText, thread_id

if TYPE_CHECKING:
    from pathlib import Path


def session(turns: int) -> SessionText:
    text = SessionText().begin(NOON)
    for number in range(turns):
        text.ask(NOON + 10 * number).respond(NOON + 10 * number + 5, (100 + number,), response=f"r{number}")
    return text


def parts(path: Path, since: float | None = None) -> list[ReadPart]:
    """Read all parts of a file."""
    found = []
    task = ReadTask(SessionPath(str(path), thread_id(1), path.stat().st_size, NOON), None, since, NOON + 10**6)
    while True:
        found.append(read_part(task))
        if found[-1].is_last:
            return found
        task = task._replace(known=found[-1].part.progress)


def test_parts_follow_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has the turns from where the one before ended, and the file is done with the last one only."""
    monkeypatch.setattr(session_parts, "PART_TURNS", 3)
    text = session(7)
    found = parts(text.write(tmp_path))
    assert [[turn.response_id for turn in each.part.turns] for each in found] == [
        ["r0", "r1", "r2"],
        ["r3", "r4", "r5"],
        ["r6"],
    ]
    assert [each.part.progress.size for each in found] == [0, 0, len(text.content)]
    assert found[-1].part.progress.read_to == len(text.content)
    assert {each.part.owner for each in found} == {found[0].part.owner}


def test_a_compressed_file_is_one_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can only be read from its beginning."""
    monkeypatch.setattr(session_parts, "PART_TURNS", 3)
    path = session(7).write(tmp_path, end=".jsonl.zst")
    path.write_bytes(zstandard.compress(session(7).content))
    (found,) = parts(path)
    assert len(found.part.turns) == 7


def test_a_compressed_file_that_is_cut_off(tmp_path: Path) -> None:
    """It is read as far as it goes."""
    path = session(1).write(tmp_path, end=".jsonl.zst")
    # Frames that end where a line ends, so that something of the file can be read.
    frames = [zstandard.compress(line) for line in session(3).lines]
    path.write_bytes(b"".join(frames[:8]) + b"\x28\xb5\x2f\xfd garbage")
    (found,) = parts(path)
    assert (len(found.part.turns), found.error, found.part.progress.size) == (1, "damaged", 0)


@pytest.mark.parametrize("kind", ["nothing", "a folder", "a pipe", "a link"])
def test_what_is_no_file_any_more(tmp_path: Path, kind: str) -> None:
    """It is not waited for, and not followed."""
    if kind in {"a pipe", "a link"} and os.name != "posix":
        kind = "nothing"
    path = session(1).write(tmp_path)
    task = ReadTask(SessionPath(str(path), thread_id(1), 1_000, NOON), None, None, NOON + 10**6)
    path.rename(tmp_path / "elsewhere")
    if kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a link":
        path.symlink_to(tmp_path / "elsewhere")
    found = read_part(task)
    assert (found.part.turns, found.is_last, found.part.progress.size) == ([], True, 0)
    assert found.error


def test_an_empty_file(tmp_path: Path) -> None:
    """There is nothing in it, and it has an end."""
    (found,) = parts(SessionText().write(tmp_path))
    assert (found.part.turns, found.part.limits, found.error, found.is_last) == ([], [], None, True)
