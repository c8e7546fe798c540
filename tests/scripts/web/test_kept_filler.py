"""What the server keeps while it runs."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from typing import TYPE_CHECKING

from scripts.web.kept_filler import KeptFiller
from store.files import kept_path
from store.queries.kept_turns import TURNS
from tests.support.databases import record
from tests.support.factories import turn
from tests.support.harness import wait_until
from tests.support.kept import DAY, coverage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest


@contextlib.contextmanager
def running(path: Path) -> Iterator[None]:
    filler = KeptFiller(path)
    filler.start()
    try:
        yield
    finally:
        filler.stop()


def test_a_long_history_is_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By another process; short ones are not worth it."""
    record(path, turn(at=time.time() - 5 * DAY))
    monkeypatch.setattr("store.kept.filling.LONG_BYTES", 0)
    with running(path):
        wait_until(lambda: bool(coverage(path, TURNS)), lambda: "nothing is kept")


def test_a_filling_is_ended_with_the_server(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process does not outlive the server."""
    monkeypatch.setattr("store.kept.filling.LONG_BYTES", 0)
    with running(record(path, turn(at=time.time() - 5 * DAY))):
        wait_until(lambda: bool(multiprocessing.active_children()), lambda: "no process is started")
    assert multiprocessing.active_children() == []


def test_a_short_history_is_not_kept(path: Path) -> None:
    """It is read in a moment."""
    with running(record(path, turn(at=time.time() - 5 * DAY))):
        pass
    assert not kept_path(path).exists()
