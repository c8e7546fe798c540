"""The times of garbage collections."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from addon.gc_schedule import DELAY_SECONDS, GcSchedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Later = list[tuple[float, "Callable[[], None]"]]


class Circle:
    """An object that only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def later() -> Iterator[Later]:
    """Return the scheduled calls; the collector runs only when the test calls it."""
    gc.disable()
    yield []
    gc.enable()
    gc.unfreeze()


def test_closed_connections_are_collected_soon(later: Later) -> None:
    """Connections that close together have one collection, later ones another."""
    garbage = GcSchedule(lambda seconds, collect: later.append((seconds, collect)))
    garbage.begin()
    for number in range(1, 3):
        left = weakref.ref(Circle())
        for _ in range(50):
            garbage.connection_closed()
        assert [seconds for seconds, _ in later] == [DELAY_SECONDS] * number
        assert left() is not None
        later[-1][1]()
        assert left() is None


def test_objects_of_the_start_are_left_out(later: Later) -> None:
    """Collections skip the objects of the program itself; a second start leaves out no others."""
    garbage = GcSchedule(lambda seconds, collect: later.append((seconds, collect)))
    before = weakref.ref(Circle())
    garbage.begin()
    assert before() is None
    frozen = gc.get_freeze_count()
    assert frozen > 0
    kept = [Circle() for _ in range(100)]
    garbage.begin()
    assert gc.get_freeze_count() <= frozen
    assert len(kept) == 100
