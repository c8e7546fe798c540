"""The kept counts of turns are those of the rows."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.database import open_reader
from store.queries.cursors import read_transaction
from store.queries.kept_turns import TURNS, count_all_turns
from store.queries.turns import count_turns, newest_turn
from tests.support.kept_histories import HISTORIES, Step, pieces_of, play

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=HISTORIES, days=st.sampled_from((0.5, 3, 30)))
def test_kept_counts_are_those_of_the_rows(
    path: Path, monkeypatch: pytest.MonkeyPatch, steps: list[Step], days: float
) -> None:
    """Whatever happens to the database, and in whatever pieces they were kept."""
    with monkeypatch.context() as patch:
        pieces_of(patch, days)
        for _ in play(path, [TURNS], steps):
            with closing(open_reader(path)) as connection, read_transaction(connection):
                kept = count_all_turns(connection)
                counted = count_turns(connection, 0, newest_turn(connection))
            assert kept is None or sorted(kept) == sorted(counted)


def test_without_kept_counts_there_is_no_sum(path: Path) -> None:
    """Then all turns are counted, some thousands at a time."""
    for _ in play(path, [TURNS], [("turn", 1)]):
        with closing(open_reader(path)) as connection:
            assert count_all_turns(connection) is None
