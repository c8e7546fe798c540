"""Sums of turns by cell."""

from __future__ import annotations

from typing import Any

import pytest

from store.analysis.usage_cells import QUARTER_SECONDS, STEPS, CellKey, TurnSums, thread_number, turn_cells
from tests.support.usage_factories import turn

AT = 1_000 * QUARTER_SECONDS


@pytest.mark.parametrize(
    ("fields", "sums"),
    [
        pytest.param(
            {"input_tokens": 100, "cached_tokens": 40, "reasoning_tokens": 3, "cache_write_tokens": 90},
            {
                "turns": 1,
                "valued": 1,
                "input_tokens": 100,
                "cached_tokens": 40,
                "output_tokens": 7,
                "reasoning_tokens": 3,
                "billed_cached": 40,
                "billed_written": 60,
            },
            id="answered",
        ),
        pytest.param(
            {"input_tokens": 10, "cached_tokens": 40},
            {"turns": 1, "valued": 1, "input_tokens": 10, "cached_tokens": 40, "output_tokens": 7, "billed_cached": 10},
            id="more cached than there is",
        ),
        pytest.param({"output": None}, {"turns": 1, "not_told": 1}, id="cut off"),
        pytest.param({"output": 0}, {"turns": 1}, id="no tokens"),
        pytest.param({"output": None, "status": 429}, {"refused": 1}, id="refused"),
        pytest.param({"output": None, "warm_up": 1}, {"warm_ups": 1}, id="a warm-up"),
        pytest.param(
            {"imported": 1}, {"turns": 1, "imported_turns": 1, "valued": 1, "output_tokens": 7}, id="imported"
        ),
    ],
)
def test_what_a_turn_adds(fields: dict[str, Any], sums: dict[str, int]) -> None:
    """Cached tokens and those written into the cache are billed up to the input; the others are as reported."""
    found = turn(AT - 5, AT, **{"output": 7, **fields})
    assert list(turn_cells([found]).values()) == [TurnSums(**sums, last_at=AT)]


def test_turns_that_are_alike_share_a_cell() -> None:
    """They ended in one quarter of an hour, and are on one side of each step."""
    above = STEPS[0]
    turns = [
        turn(AT - 9, AT, input_tokens=above),
        turn(AT - 9, AT + QUARTER_SECONDS - 1, input_tokens=5),
        turn(AT - 9, AT - 1),
        turn(AT - 9, AT, input_tokens=above + 1),
        turn(AT - 9, AT, thread="u"),
    ]
    cells = turn_cells(turns)
    assert [(key.quarter, key.thread, key.above, sums.turns) for key, sums in cells.items()] == [
        (1_000, "t", -1, 2),
        (999, "t", -1, 1),
        (1_000, "t", above, 1),
        (1_000, "u", -1, 1),
    ]


def test_steps_of_a_model() -> None:
    """Prices of the model that responded decide."""
    cells = turn_cells(
        [turn(0, 1, input_tokens=50, response_model="n")], lambda model: (10, 40) if model == "n" else ()
    )
    assert list(cells) == [CellKey(0, "t", model="m", response_model="n", above=40)]


def test_the_number_of_a_thread() -> None:
    """It is the same in each process, and has the 64 bits of the kept rows."""
    assert thread_number("t-1") == -4_464_303_150_155_611_709
    numbers = [thread_number(f"t-{number}\ud800") for number in range(100)]
    assert len(set(numbers)) == 100
    assert all(-(2**63) <= number < 2**63 for number in numbers)
