"""Databases as the recorder writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.record.recorder import Recorder

if TYPE_CHECKING:
    from pathlib import Path

    from store.record.writer import Entry


def record(path: Path, *entries: Entry) -> Path:
    """Record snapshots and turns in the database at `path`, in the given order, and return the path."""
    recorder = Recorder(path)
    recorder.start()
    for each in entries:
        recorder.put(each)
    assert recorder.close()
    return path


def damage(path: Path) -> None:
    """Overwrite every page of a database except the first, as a failing disk does."""
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(4_096)
        file.write(b"\xff" * (size - 4_096))
