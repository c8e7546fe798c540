"""The files with entries that could not be written into the database."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from store.files import spill_files
from store.models import Credits, Sighting, SightingKind, Snapshot, Source, Window
from store.record import spill
from store.record.statements import Loss
from tests.support.factories import NOON, limit, snapshot, turn, used, windows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from store.record.writer import Entry

posix_only = pytest.mark.skipif(os.name != "posix", reason="modes, owners and links are a POSIX matter here")
LOSS = Loss(NOON + 0.5, 7, "could not be written for too long")
SIGHTING = Sighting(kind=SightingKind.HOST, name="us.chatgpt.com", seen_at=NOON)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "tap.sqlite3"


def test_writing_and_reading(database: Path) -> None:
    """Every field of a snapshot, the order and the losses are read as they were written."""
    full = snapshot(
        limit({**windows(13, 41), "30d": Window(used_percent=2.5)}, limit_name="\u2028 Spark", allowed=True),
        source=Source.WEBSOCKET,
        status=None,
        credits=Credits(has_credits=True, balance="9.5"),
        server_time=NOON - 1.0,
        raw={"type": "codex.rate_limits", "list": [1, None]},
    ).model_copy(update={"model": "gpt-6.1-sol", "thread": "0198-7361"})
    entries: list[Entry] = [full, used(14), turn(status=200), snapshot(plan_type="plus"), used(13), SIGHTING]

    path = spill.write(database, entries, [LOSS])

    assert spill.read(path) == spill.Spill(entries, [LOSS], 0)


@posix_only
def test_a_file_is_private(database: Path) -> None:
    """A spill file is as private as the database."""
    before = os.umask(0)
    try:
        path = spill.write(database, [used(13)], [])
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_files_come_in_the_order_of_writing(database: Path) -> None:
    """The list leaves out files of other databases and files that are still being written."""
    written = [spill.write(database, [used(index)], []) for index in range(5)]
    spill.write(database.with_name("other.sqlite3"), [used(1)], [])
    written[0].with_name(f"{written[0].name}.part").touch()

    assert spill_files(database) == written


def test_no_folder_no_files(database: Path) -> None:
    """A missing folder has no spill files."""
    assert spill_files(database.parent / "none" / "tap.sqlite3") == []


def test_the_number_of_files_is_bounded(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is never writable again does not fill the disk with spill files."""
    monkeypatch.setattr(spill, "MAX_FILES", 2)
    for _ in range(2):
        spill.write(database, [used(13)], [])

    with pytest.raises(OSError, match="already"):
        spill.write(database, [used(13)], [])


def test_a_failed_write_leaves_no_file(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be completed is removed."""

    def fail(_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        spill.write(database, [used(13)], [])

    assert list(database.parent.iterdir()) == []


def test_unreadable_lines_are_counted(database: Path) -> None:
    """A line of a newer program or a broken line spoils no other line."""
    path = spill.write(database, [used(13), used(14)], [])
    first, second = path.read_text().splitlines()
    broken = ["", "{", "[]", "7", '{"reason": 1}', '{"identity": {}}', '{"another": "field"}']
    broken += ["[" * 100_000, "null", '"text"', '{"reason": "x", "at": 1e999, "number": 1e999}', '{"kind": "host"}']
    broken += ['{"transport": "http"}', '{"observed_at": %s}' % ("9" * 5_000)]
    path.write_text("\n".join([first, *broken, second[:-1], second]))

    found = spill.read(path)

    assert [each.reading.limits for each in found.entries if isinstance(each, Snapshot)] == [
        used(13).reading.limits,
        used(14).reading.limits,
    ]
    assert found.unreadable == len(broken) + 1


def test_a_long_file_is_not_read(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that codex-tap cannot have written is refused before it fills the memory."""
    path = spill.write(database, [used(13)], [])
    monkeypatch.setattr(spill, "MAX_LENGTH", path.stat().st_size)
    assert spill.read(path).entries
    monkeypatch.setattr(spill, "MAX_LENGTH", path.stat().st_size - 1)
    with pytest.raises(OSError, match="longer than any file that codex-tap writes"):
        spill.read(path)


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def give_away(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(path, 12345, 12345)


@posix_only
@pytest.mark.parametrize("change", [link, give_away])
def test_a_foreign_file_is_not_read(database: Path, change: Callable[[Path], None]) -> None:
    """A user who can write into the folder can neither lead the reader to another file nor add one."""
    path = spill.write(database, [used(13)], [])
    change(path)

    with pytest.raises(OSError, match=r"is a link|belongs to another user"):
        spill.read(path)


def test_removing_twice_is_harmless(database: Path) -> None:
    """Two recorders that have imported the same file both remove it."""
    path = spill.write(database, [used(13)], [])
    spill.remove(path)
    spill.remove(path)

    assert spill_files(database) == []
