"""Kept token rates are those of the rows."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from store.analysis.attribution import DEFAULT_WEIGHTS
from store.database import open_reader
from store.kept.filling import Wish, fill
from store.queries.accounts import load_accounts
from store.queries.kept_rates import RATES, has_rates, kept_rates
from store.queries.usage import load_token_rates
from store.queries.usage_rows import Place, Rate
from tests.support.factories import AccountHistory, insert_history
from tests.support.kept_histories import without_kept
from tests.support.usage_factories import DAY, sample, simulate_use

if TYPE_CHECKING:
    from pathlib import Path

    from store.analysis.ranking import TokenRate


def rates(path: Path, now: float) -> dict[str, TokenRate]:
    with closing(open_reader(path)) as connection:
        return load_token_rates(connection, now, load_accounts(connection))


@pytest.fixture(name="used")
def _used(path: Path) -> Path:
    """An account with four days of use, and a new one."""
    found = simulate_use(1, {"m": DEFAULT_WEIGHTS}, count=2_000, elsewhere=0, at_end=True)
    return insert_history(
        path, AccountHistory(found.samples, found.turns), AccountHistory([sample(1, 0)], [], "b@example.com")
    )


@pytest.mark.parametrize("now", [0.5 * DAY, 1.5 * DAY, 3.5 * DAY, 30.5 * DAY])
def test_they_are_those_of_the_day(used: Path, monkeypatch: pytest.MonkeyPatch, now: float) -> None:
    """On the first day that of all history: until then there was none."""
    with without_kept(monkeypatch):
        expected = rates(used, now)
    assert rates(used, now) == expected
    assert fill(used, [Wish(RATES, now - DAY)], now)
    assert rates(used, now) == expected
    assert len(expected) == 1


def test_a_long_history_without_a_rate_is_not_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the next day; a short one is, as it may be long enough now."""
    long = simulate_use(1, {"m": DEFAULT_WEIGHTS}, count=1_200, elsewhere=0, at_end=True)
    insert_history(path, AccountHistory(long.samples[:1], long.turns), AccountHistory([sample(1, 0)], [], "b@x.com"))
    now = long.turns[-1].ended_at + 2 * DAY
    assert fill(path, [Wish(RATES, now - DAY)], now)
    with closing(open_reader(path)) as connection:
        kept = kept_rates(connection, now)
    asked: list[int] = []

    def noted(_: object, place: Place, __: float) -> Rate:
        asked.append(place.account)
        return Rate(None, is_settled=False)

    monkeypatch.setattr("store.queries.usage_rows.rate_at", noted)
    assert kept == {(1, "7d"): Rate(None, is_settled=True), (2, "7d"): Rate(None, is_settled=False)}
    assert rates(path, now) == {}
    assert asked == [2]


def test_whether_they_are_kept(used: Path) -> None:
    """They hold for a day."""
    fill(used, [Wish(RATES)], 3.5 * DAY)
    with closing(open_reader(used)) as connection:
        assert has_rates(connection, 3.9 * DAY)
        assert not has_rates(connection, 4.1 * DAY)
        assert set(kept_rates(connection, 3.5 * DAY)) == {(1, "7d"), (2, "7d")}
