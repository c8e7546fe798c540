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
    """What only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def later() -> Iterator[Later]:
    """What was asked to be called later; the collector runs only when it is told to."""
    gc.disable()
    yield []
    gc.enable()
    gc.unfreeze()


def test_what_a_connection_leaves_is_collected_soon(later: Later) -> None:
    """However many are closed, there is one collection, and another one for those that are closed after it."""
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


def test_what_was_there_before_is_left_out_once(later: Later) -> None:
    """What the program itself consists of is looked through no more; a second beginning leaves nothing else out."""
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
