"""Results that are used again for a while."""

from __future__ import annotations

import itertools

import pytest

from store.queries.recent import LEAST_SECONDS, MOST_SECONDS, Recent, computed

AT = 1_795_000_000.0


@pytest.mark.parametrize(
    ("later", "idle", "is_same"),
    [
        pytest.param(0.0, 0.0, True, id="at once"),
        pytest.param(LEAST_SECONDS - 1, 0.0, True, id="within a minute"),
        pytest.param(LEAST_SECONDS, 0.0, False, id="a minute later"),
        pytest.param(LEAST_SECONDS, 86_400.0, True, id="idle for a day"),
        pytest.param(MOST_SECONDS, 365 * 86_400.0, False, id="idle for a year"),
        pytest.param(-1.0, 0.0, False, id="a clock that was set back"),
    ],
)
def test_a_result_is_used_again_for_a_while(later: float, idle: float, *, is_same: bool) -> None:
    numbers, recent = itertools.count(), Recent()
    first, second = (
        recent.result("forecast", 1, at, lambda: next(numbers), changed_at=AT - idle) for at in (AT, AT + later)
    )
    assert (first == second) is is_same


def test_another_state_has_another_result() -> None:
    numbers, recent = itertools.count(), Recent()
    found = [recent.result("forecast", state, AT, lambda: next(numbers)) for state in ("a", "a", "b", "a")]
    assert found == [0, 0, 1, 2]


def test_results_have_keys() -> None:
    recent = Recent()
    assert [recent.result(key, 1, AT, lambda key=key: key) for key in "abab"] == list("abab")  # type: ignore[misc]


def test_without_it_all_is_computed() -> None:
    numbers = itertools.count()
    assert [computed(None, "a", 1, AT, lambda: next(numbers)) for _ in range(2)] == [0, 1]
    recent = Recent()
    assert [computed(recent, "a", 1, AT, lambda: next(numbers)) for _ in range(2)] == [2, 2]


def test_its_size_is_bounded() -> None:
    numbers, recent = itertools.count(), Recent()
    for key in range(10_000):
        recent.result(key, 1, AT, lambda: next(numbers))
    assert recent.result(0, 1, AT, lambda: "anew") == "anew"
