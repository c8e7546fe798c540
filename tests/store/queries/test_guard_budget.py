from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from store.analysis.guard_budget import BudgetWindow, GuardBudget
from store.database import open_reader
from store.queries.accounts import load_accounts
from store.queries.guard_budget import BudgetUser, load_budget_use
from tests.support.databases import record
from tests.support.factories import BOB, NOON, limit, snapshot, turn, windows
from tests.support.status_factories import HOUR, five, seven

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from store.documents import BudgetUse, WindowStatus

THREAD = BudgetUser("thread", ("t-1",))


def no_projects(ids: Collection[str]) -> Mapping[str, str]:
    """Fail: projects are looked up only where they are asked for."""
    raise AssertionError(ids)


def used(
    path: Path,
    budget: GuardBudget,
    user: BudgetUser = THREAD,
    *,
    window: tuple[str, WindowStatus] = ("7d", seven(26)["7d"]),
) -> BudgetUse | None:
    """Load what was used of a budget at noon."""
    with closing(open_reader(path)) as connection:
        alice, *_ = load_accounts(connection)
        window_now = BudgetWindow("codex", *window)
        return load_budget_use(
            connection, NOON, alice, budget=budget, window=window_now, user=user, projects_of=no_projects
        )


@pytest.fixture(name="week")
def _week(path: Path) -> Path:
    """Record 26 points of two threads in this period, 16 of them 50 hours ago and 10 within the last half hour."""
    for hours, thread, percent in ((51.0, "t-0", 0), (50.0, "t-1", 16), (0.4, "t-1", 20), (0.2, "t-2", 26)):
        at = NOON - hours * HOUR
        record(path, turn(thread, at=at - 60), snapshot(limit(windows(2, percent)), at=at))
    record(path, turn("t-1", at=NOON - 60, who=BOB), snapshot(limit(windows(2, 50)), at=NOON - 50, who=BOB))
    return path


@pytest.mark.parametrize(
    ("budget", "user", "points"),
    [
        (GuardBudget(20), THREAD, 20),
        (GuardBudget(20), BudgetUser("thread", ("t-root", "t-1")), 20),
        (GuardBudget(20), BudgetUser("account"), 26),
        (GuardBudget(20), BudgetUser("thread", ("t-9",)), 0),
    ],
    ids=["a thread", "a session without a turn", "an account", "an unknown thread"],
)
def test_what_was_used_in_the_period(week: Path, budget: GuardBudget, user: BudgetUser, points: float) -> None:
    """Points are those of the account's own window, in the period alone."""
    found = used(week, budget, user)
    assert found is not None
    assert (found["points"], found["used"]) == (budget.points, points)
    assert (found["window"], found["length"]) == ("7d", "7d")
    assert found["since"] <= NOON


def test_another_window(week: Path) -> None:
    """A slot that the server reports without a length has no beginning."""
    assert used(week, GuardBudget(20), window=("5h", five(2, window_minutes=None)["5h"])) is None
    found = used(week, GuardBudget(20), window=("5h", five(2)["5h"]))
    assert found is not None
    assert (found["used"], found["since"]) == (0, NOON + 2.5 * HOUR - 5 * HOUR)
