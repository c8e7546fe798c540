"""Results that are used again for a while."""

from __future__ import annotations

import itertools
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from store.database import open_reader, open_writer
from store.edits import forget_account
from store.queries.accounts import load_accounts
from store.queries.events import load_event_page
from store.queries.forecast import load_forecasts
from store.queries.overview import load_overview
from store.queries.recent import LEAST_SECONDS, MOST_SECONDS, Recent, computed
from tests.support.databases import record
from tests.support.factories import BOB, NOON, used
from tests.support.speed_factories import recorded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from store.models import Snapshot, Turn

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
    numbers, recent = itertools.count(), Recent(most=2)
    found = [recent.result(key, 1, AT, lambda: next(numbers)) for key in "abbcba"]
    assert found == [0, 1, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "load",
    [
        pytest.param(load_forecasts, id="forecast"),
        pytest.param(load_overview, id="overview"),
        pytest.param(
            lambda *asked, **recent: load_event_page(
                *asked[:2], accounts=asked[2], since=NOON - 100, most=100, **recent
            ),
            id="events",
        ),
    ],
)
def test_documents_change_at_once_with_the_database(path: Path, load: Callable[..., Any]) -> None:
    recent = Recent()
    entries: list[Snapshot | Turn] = [
        used(10),
        used(40, at=NOON + 60),
        recorded(NOON + 65, 2),
        used(90, at=NOON + 70, who=BOB),
    ]
    for number, entry in enumerate(entries):
        record(path, entry)
        with closing(open_reader(path)) as connection:
            asked = connection, NOON + 100 + number, load_accounts(connection)
            assert load(*asked, recent=recent) == load(*asked)
            assert load(*asked, recent=recent) == load(*asked)
    with closing(open_writer(path)) as connection:
        forget_account(connection, 1)
    with closing(open_reader(path)) as connection:
        asked = connection, NOON + 110, load_accounts(connection)
        assert load(*asked, recent=recent) == load(*asked)
