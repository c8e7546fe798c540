"""Turns of one kind as columns, and samples of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from store.analysis.speed_cells import (
    TURN_BYTES,
    UNKNOWN,
    Tally,
    add_each,
    cells,
    columns_from,
    columns_of,
    counted,
    kind_of,
    level,
    sample_level,
    samples,
    total,
)
from tests.support.speed_factories import timing

if TYPE_CHECKING:
    from store.analysis.speed import TurnTiming
    from store.analysis.speed_cells import TurnColumns


def test_turns_of_a_kind_are_one_cell() -> None:
    """Its columns are in the order of the turns."""
    found = dict(cells([timing(2, 10), timing(3, 10, at=1_000), timing(4, 10, model="n")]))
    assert [kind.model for kind in found] == ["m", "n"]
    (columns, _) = found.values()
    assert [list(column) for column in columns] == [[0, 900], [12, 13], [2, 3], [50, 50], [30_000, 30_000]]


def test_columns_are_read_again_in_part() -> None:
    """The first turns of what was written, and none of nothing."""
    turns = columns(*(timing(waited, 10) for waited in range(5)))
    written = turns.to_bytes()
    assert columns_from([]) == turns.chosen([])
    assert columns_from([written[: 2 * TURN_BYTES], b"", written]) == turns.chosen([0, 1, 0, 1, 2, 3, 4])


def test_the_columns_of_others_are_added() -> None:
    turns = columns(timing(1, 10))
    turns.extend(columns(timing(2, 10)))
    assert list(turns.first_byte_seconds) == [1, 2]


def test_turns_without_their_inputs() -> None:
    """A row has none of them then, and the other figures as before."""
    row = Tally()
    row.extend(columns(timing(1, 10), timing(2, 10)).without_inputs())
    assert (row.first_byte_seconds, row.input_tokens) == ([1, 2], [])


def test_turns_are_counted_by_the_quarter_hour_in_which_they_started() -> None:
    (cell,) = cells([timing(at=at) for at in (899, 900, 0, 1_799)])
    assert sorted(counted(cell)) == [(cell[0], 0, [2]), (cell[0], 900, [2])]


@pytest.mark.parametrize(("row_id", "expected"), [(1, 0), (2, 1), (3, 0), (8, 3), (24, 3), (1 << 40, 40)])
def test_level(row_id: int, expected: int) -> None:
    """How often 2 divides an id."""
    assert level(row_id) == expected


@pytest.mark.parametrize(
    ("number", "most", "expected"), [(0, 10, 0), (10, 10, 0), (11, 10, 1), (20, 10, 1), (21, 10, 2), (100, 10, 4)]
)
def test_sample_level(number: int, most: int, expected: int) -> None:
    """The least power of 2 whose multiples are few enough."""
    assert sample_level(number, most) == expected


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        pytest.param(timing(2, 10), ("m", False, 2, 50), id="answered"),
        pytest.param(timing(2, 10, response_model="n-2026-11-20"), ("n", False, 2, 50), id="rerouted"),
        pytest.param(timing(2, 10, model=None), (None, False, 2, 50), id="no model"),
        pytest.param(timing(2, 10, status=500), ("m", True, None, None), id="failed"),
        pytest.param(timing(2, 10, status=429), None, id="refused"),
        pytest.param(timing(2, 10, error_type="interrupted"), None, id="interrupted"),
    ],
)
def test_samples(turn: TurnTiming, expected: tuple[Any, ...] | None) -> None:
    """A turn of the model that responded; one that was refused or interrupted says nothing of Codex."""
    (cell,) = cells([turn])
    found = samples(cell, str)
    figures = found and (
        found.model,
        found.failed,
        *(None if math.isnan(each) else each for each in (*found.first_byte_seconds, *found.tokens_per_second)),
    )
    assert figures == expected


def test_the_size_of_a_failed_turn_is_known() -> None:
    """It says whether the user's own turns have changed; the size of an unknown one is unknown."""
    for turn, tokens in ((timing(status=500), 30_000), (timing(input_tokens=None), UNKNOWN)):
        (cell,) = cells([turn])
        found = samples(cell, str)
        assert found is not None
        assert list(found.input_tokens) == [pytest.approx(tokens, nan_ok=True)]


def columns(*turns: TurnTiming) -> TurnColumns:
    """Return the figures of turns, of whatever kind each is."""
    found = columns_of(kind_of(timing()), [])
    for _, each in cells(turns):
        found.extend(each)
    return found


def test_turns_are_added_to_the_rows_of_their_times() -> None:
    """Each row has what `Tally.extend` would add of its turns."""
    turns = [
        timing(2, 10),
        timing(3, 10, at=900),
        timing(4, 10, at=950, output=None),
        timing(5, 10, at=1_000, output=9),
    ]
    rows: dict[str | None, Tally] = {"0.0": Tally(), "900.0": Tally()}
    add_each(columns(*turns), str, rows.__getitem__)
    for row, own in zip(rows.values(), (turns[:1], turns[1:]), strict=True):
        alone = Tally()
        alone.extend(columns(*own))
        assert row == alone
    assert [row.first_byte_seconds for row in rows.values()] == [[2], [3, 5]]


def test_tally() -> None:
    """Counts have every turn; figures are those of answered ones."""
    one, other = Tally(), Tally()
    one.count("answered", "200", 2, rerouted=True)
    one.count("failed", "server_error", 1, rerouted=False)
    one.extend(columns(timing(2, 10, 500), timing(2, 10, 500, status=500)))
    other.count("refused", "429", 3, rerouted=False)
    other.extend(columns(timing(4, 10, 500, input_tokens=None)))
    both = total([other, one])
    assert (both.turns, both.rerouted) == (6, 2)
    assert both.outcomes == {"answered": 2, "failed": 1, "refused": 3}
    assert both.errors == {"server_error": 1}
    assert both.first_byte_seconds == [2, 4]
    assert both.seconds == [12, 14]
    assert both.tokens_per_second == [50, 50]
    assert both.input_tokens == [30_000]
