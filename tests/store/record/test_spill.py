from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from store.files import spill_files
from store.models import Credits, Snapshot, Source, Window
from store.record import spill
from store.record.statements import Loss
from tests.support.factories import NOON, limit, snapshot, turn, used, windows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from store.record.writer import Entry

posix_only = pytest.mark.skipif(os.name != "posix", reason="modes, owners and links are a POSIX matter here")
LOSS = Loss(NOON + 0.5, 7, "could not be written for too long")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "tap.sqlite3"


def test_what_is_written_is_read(database: Path) -> None:
    """Every field of a snapshot, the order, and what was lost."""
    full = snapshot(
        limit({**windows(13, 41), "30d": Window(used_percent=2.5)}, limit_name="\u2028 Spark", allowed=True),
        source=Source.WEBSOCKET,
        status=None,
        credits=Credits(has_credits=True, balance="9.5"),
        server_time=NOON - 1.0,
        raw={"type": "codex.rate_limits", "list": [1, None]},
    ).model_copy(update={"model": "gpt-6.1-sol", "thread": "0198-7361"})
    told: list[Entry] = [full, used(14), turn(status=200), snapshot(plan_type="plus"), used(13)]

    path = spill.write(database, told, [LOSS])

    assert spill.read(path) == spill.Spill(told, [LOSS], 0)


@posix_only
def test_it_is_private(database: Path) -> None:
    """It is as private as the database."""
    before = os.umask(0)
    try:
        path = spill.write(database, [used(13)], [])
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_files_come_in_the_order_of_writing(database: Path) -> None:
    """Those of other databases in the folder, and what is still being written, are not among them."""
    written = [spill.write(database, [used(index)], []) for index in range(5)]
    spill.write(database.with_name("other.sqlite3"), [used(1)], [])
    written[0].with_name(f"{written[0].name}.part").touch()

    assert spill_files(database) == written


def test_no_folder_no_files(database: Path) -> None:
    """Where nothing is, nothing waits."""
    assert spill_files(database.parent / "none" / "tap.sqlite3") == []


def test_they_are_bounded(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is never written again does not fill the disk with them."""
    monkeypatch.setattr(spill, "MAX_FILES", 2)
    for _ in range(2):
        spill.write(database, [used(13)], [])

    with pytest.raises(OSError, match="already"):
        spill.write(database, [used(13)], [])


def test_one_that_cannot_be_finished_leaves_nothing(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a file is no file."""

    def fail(_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        spill.write(database, [used(13)], [])

    assert list(database.parent.iterdir()) == []


def test_lines_that_say_nothing_are_counted(database: Path) -> None:
    """A line that a newer program wrote, or a disk has broken, takes no other with it."""
    path = spill.write(database, [used(13), used(14)], [])
    first, second = path.read_text().splitlines()
    broken = ["", "{", "[]", "7", '{"reason": 1}', '{"identity": {}}', '{"another": "field"}']
    path.write_text("\n".join([first, *broken, second[:-1], second]))

    found = spill.read(path)

    assert [each.reading.limits for each in found.entries if isinstance(each, Snapshot)] == [
        used(13).reading.limits,
        used(14).reading.limits,
    ]
    assert found.unreadable == len(broken) + 1


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def give_away(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(path, 12345, 12345)


@posix_only
@pytest.mark.parametrize("change", [link, give_away])
def test_a_strangers_file_is_not_taken_up(database: Path, change: Callable[[Path], None]) -> None:
    """Somebody who may write into the folder must not lead us into another file, or have us believe theirs."""
    path = spill.write(database, [used(13)], [])
    change(path)

    with pytest.raises(OSError, match=r"is a link|belongs to another user"):
        spill.read(path)


def test_removing_twice_is_harmless(database: Path) -> None:
    """Two that have taken up the same file both remove it."""
    path = spill.write(database, [used(13)], [])
    spill.remove(path)
    spill.remove(path)

    assert spill_files(database) == []
