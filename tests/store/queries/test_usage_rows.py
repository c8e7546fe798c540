"""The use of windows from the rows, and the weights that it is made with."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from store.analysis.attribution import DEFAULT_WEIGHTS, Weights
from store.database import open_reader, open_writer, transaction
from store.queries.accounts import load_accounts
from store.queries.usage import load_usage
from tests.support.factories import AccountHistory, insert_history
from tests.support.usage_factories import DAY, sample, turn

if TYPE_CHECKING:
    from pathlib import Path

    from store.documents import UsageDocument

DEAR = Weights(1.0, 0.1, 40.0)
"""Output costs much more than public prices say."""


def asked(path: Path, now: float, **options: Any) -> UsageDocument:
    with closing(open_reader(path)) as connection:
        return load_usage(connection, now, accounts=load_accounts(connection), **options)


COST = {"cached": 40_000 * DEAR.cached / 2e5, "output": 300 * DEAR.output / 2e5}
"""Points of a turn of a thread whose input is cached, and of one that writes."""


def simulated(path: Path) -> None:
    """Two days of pairs of turns that end before one reading, so that weights divide each increase."""
    samples, turns, used, dice = [sample(0, 0)], [], 0.0, random.Random(1)  # noqa: S311 (a simulation)
    for number in range(1, 1_500):
        at = number * 115.0
        size = dice.lognormvariate(0, 0.5), dice.lognormvariate(0, 0.5)
        used += size[0] * COST["cached"] + size[1] * COST["output"]
        given = int(40_000 * size[0])
        turns.append(turn(at - 50, at - 20, 0, thread="cached", input_tokens=given, cached_tokens=given))
        turns.append(turn(at - 50, at - 10, int(300 * size[1]), thread="output"))
        samples.append(sample(used, at))
    insert_history(path, AccountHistory(samples, turns))


def points(document: UsageDocument) -> dict[str | None, float]:
    return {row["key"]: row["points"] for row in document["rows"]}


def test_newer_history_changes_nothing_of_earlier_days(path: Path) -> None:
    """A day has the weights of what was before it, the first one those of public prices."""
    simulated(path)
    first = asked(path, DAY - 1, since=0)
    assert [each["fitted"] for each in first["weights"]] == [False]
    earlier = points(asked(path, DAY - 1, since=0))
    later = points(asked(path, 2 * DAY, since=0))
    since = points(asked(path, 2 * DAY, since=DAY - 1))
    for thread in COST:
        assert later[thread] - since[thread] == pytest.approx(earlier[thread], abs=1e-9)


def test_weights_are_those_of_the_present(path: Path) -> None:
    """They say when the history that they are from ends: a day, and with much history a week, which is a Monday."""
    simulated(path)
    for now, fitted_at in ((1.5 * DAY, DAY), (3.5 * DAY, 3 * DAY), (4.5 * DAY, 4 * DAY), (6.5 * DAY, 4 * DAY)):
        (found,) = asked(path, now, since=0)["weights"]
        assert (found["fitted"], found["fitted_at"]) == (True, fitted_at)
        assert found["output"] > 1.1 * DEFAULT_WEIGHTS.output


def test_weights_of_now_for_any_time(path: Path) -> None:
    """With them the first day is divided as the last one is: nearer to what it cost."""
    simulated(path)
    usual, refitted = (points(asked(path, 2 * DAY, since=0, refit=refit)) for refit in (False, True))
    shares = [each["output"] / sum(each.values()) for each in (usual, refitted)]
    assert 0.3 < shares[0] < shares[1] - 0.02


def test_a_turn_that_lasts_for_more_than_a_day_explains_nothing(path: Path) -> None:
    """What is kept is final long before."""
    insert_history(path, AccountHistory([sample(40, 0), sample(45, 100)], [turn(10, 100 + 26 * 3_600)]))
    assert (
        points(asked(path, 3 * DAY, since=-1)) == {None: 5, "t": 0} or points(asked(path, 3 * DAY, since=-1))[None] == 5
    )


def test_a_window_that_was_last_seen_long_ago(path: Path) -> None:
    """It has its length, however many snapshots of other windows followed."""
    insert_history(path, AccountHistory([sample(1, 0), sample(3, DAY)], [turn(10, DAY - 10)]))
    with closing(open_writer(path)) as connection, transaction(connection):
        connection.executemany(
            "INSERT INTO snapshots (account, token_key, limit_id, first_seen_at, last_seen_at, windows_seen_at,"
            " used_5h_percent, window_5h_minutes, source, raw)"
            " VALUES (1, 'k~0', 'codex', ?, ?, ?, 1, 300, 'headers', '{}')",
            [(at, at, at) for at in range(2 * DAY, 2 * DAY + 300)],
        )
    for since in (-1.0, 1.5 * DAY):
        document = asked(path, 3 * DAY, since=since, window="7d")
        assert [each["length"] for each in document["windows"]] == ["7d"]
