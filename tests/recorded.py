"""Databases as the recorder writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.recorder import Recorder

if TYPE_CHECKING:
    from pathlib import Path

    from store.models import Snapshot


def record(path: Path, *snapshots: Snapshot) -> Path:
    """Bring snapshots to the database at `path`, in their order, and return the path."""
    recorder = Recorder(path)
    recorder.start()
    for each in snapshots:
        recorder.put(each)
    assert recorder.close()
    return path
