"""What threads used by their turns, with and without what is kept of them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.database import open_reader
from store.queries.accounts import load_accounts
from store.queries.kept_usage import usage_kind
from store.queries.thread_turns import ThreadUse, load_thread_origins, load_thread_uses
from store.queries.threads import load_newest_sessions
from tests.support.databases import record
from tests.support.factories import NOON, turn
from tests.support.kept_histories import (
    DAY,
    EXAMPLES,
    HISTORIES,
    History,
    Step,
    no_failures,
    pieces_of,
    play,
    without_kept,
)

if TYPE_CHECKING:
    from pathlib import Path


def threads(history: History, since: float, most: int | None = None) -> tuple[list[Any], int]:
    """The threads with sub-agents, with points that are compared to 1e-9, and the number of those left out."""
    with closing(open_reader(history.path)) as connection:
        accounts = load_accounts(connection)
        found, others = load_newest_sessions(connection, history.now, since, accounts, most, tree=True)
    entries: list[Any] = [part for each in found for part in ({**each, "tree": len(each["tree"])}, *each["tree"])]
    return [{**each, "points": pytest.approx(each["points"], rel=1e-9, abs=1e-9)} for each in entries], others


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=HISTORIES, days=st.sampled_from((0.5, 3, 30)), since=st.floats(0, 80))
def test_kept_turns_are_those_of_the_rows(
    path: Path, monkeypatch: pytest.MonkeyPatch, steps: list[Step], days: float, since: float
) -> None:
    """Whatever happens to the database, and in whatever pieces they were kept."""
    kind = usage_kind("7d")
    assert kind is not None
    with monkeypatch.context() as patch:
        pieces_of(patch, days)
        no_failures(patch)
        for history in play(path, [kind], steps):
            for begin in (0.0, history.now - since * DAY):
                found, first = threads(history, begin), threads(history, begin, 2)
                with without_kept(patch):
                    assert found == threads(history, begin)
                    assert first == threads(history, begin, 2)
                entries, others = first
                assert entries == found[0][: len(entries)]
                assert others == max(0, _sessions(found[0]) - 2)


def _sessions(entries: list[Any]) -> int:
    return sum(each["parent"] is None for each in entries)


def test_turns_of_threads(path: Path) -> None:
    """Refused turns and warm-ups count only by their tokens, and sub-agents say where they come from."""
    record(
        path,
        turn("t", at=NOON),
        turn("t", at=NOON + 60, status=429),
        turn("t", at=NOON + 70, warm_up=True),
        turn("r", at=NOON + 80, parent_thread="t", subagent="review"),
    )
    with closing(open_reader(path)) as connection:
        found = load_thread_uses(connection, [1], NOON - 60)
        later = load_thread_uses(connection, [1], NOON + 80)
        origins = load_thread_origins(connection, [1], NOON - 60)
    assert {thread: use.turns for (_, thread), use in found.items()} == {"t": 1, "r": 1}
    assert [(each.thread, each.parent_thread, each.subagent) for each in origins] == [("r", "t", "review")]
    assert list(later) == [(1, "r")]
    assert found[1, "t"].plus(ThreadUse(1, 2, 3, 4, 5)).turns == 2
