"""Each question has one answer, whether a file is asked or the team's database that it was shipped to."""

from __future__ import annotations

import dataclasses
import re
import time
from contextlib import closing
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from scripts.web.legacy import load_legacy_usage
from store.analysis.alerting import EVENT_ALERTS, RUNS_DRY, Rule
from store.constants import GROUP_BY, MAIN_LIMIT
from store.database import open_reader, open_writer
from store.models import SightingKind
from store.queries.accounts import (
    find_stored_account,
    load_accounts,
    search_accounts,
    workspace_accounts,
)
from store.queries.alert_input import load_alert_input
from store.queries.cursors import read_transaction
from store.queries.events import load_events
from store.queries.forecast import load_forecasts
from store.queries.health import load_last_read, load_last_turns, load_losses, load_summary
from store.queries.history import count_history, load_history
from store.queries.history_points import PointRange, load_history_points
from store.queries.imported import imported_limit_ids, imported_samples, imported_windows
from store.queries.limits import load_limit_ids, newest_observation
from store.queries.many_accounts import load_uses
from store.queries.overview import load_overview
from store.queries.peaks import load_peaks
from store.queries.retention import account_counts
from store.queries.sightings import load_sightings
from store.queries.speed import load_speed
from store.queries.status import load_status
from store.queries.threads import load_sessions, thread_names
from store.queries.timeline import load_timelines
from store.queries.turns import count_turns, load_turns, newest_turn
from store.queries.usage import load_token_rates, load_usage
from store.team.connection import open_team_reader
from tests.support import pinned, pinned_story
from tests.support.shipping import ship_file
from tests.support.synthetic_history import Size, generate

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from store.connection import Connection
    from store.constants import GroupBy
    from store.queries.accounts import Account
    from store.team.address import TeamAddress
    from tests.support.postgres import PostgresServer

    Question = Callable[[Connection, "Asked"], Any]

DAY = 86_400

_NEVER_SHIPPED = {"id", "session", "raw", "machines_silent"}
"""Fields that a team's database lacks, or has its own of."""

_VISIBLE = re.compile(r"[^\s/~]+~(?=[0-9a-f]{10})")
"""The visible part of a token key, which is not shipped."""


class Asked(NamedTuple):
    """The moment of a question, and the accounts that it is about."""

    now: float
    known: list[Account]

    @property
    def some(self) -> list[Account]:
        """Two of the accounts, the later one first."""
        return self.known[2:0:-1]

    @property
    def week(self) -> float:
        """A week before."""
        return self.now - 7 * DAY


def _usage_by(by: GroupBy) -> Question:
    return lambda connection, asked: load_usage(
        connection, asked.now, accounts=asked.known, by=by, since=asked.week, projects_of=_projects
    )


def _usage_by_machine(connection: Connection, asked: Asked) -> Any:
    """Without the names of machines, which a file does not have."""
    document = load_usage(connection, asked.now, accounts=asked.known, by="machine", since=asked.week)
    return {**document, "rows": [{**row, "key": None} for row in document["rows"]]}


def _projects(ids: Collection[str]) -> dict[str, str]:
    return {each: f"/projects/{each[-1]}" for each in ids}


def _by_time(entries: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return entries in the order of time, which is that of a team's database; a file's is that of arrival."""
    return sorted(entries, key=itemgetter("first_seen_at"))


def _points(connection: Connection, span: PointRange, accounts: Sequence[Account]) -> Any:
    document = load_history_points(connection, span, accounts=accounts, most=5_000)
    return {**document, "entries": _by_time(document["entries"])}


QUESTIONS: dict[str, Question] = {
    "accounts": lambda connection, _: load_accounts(connection),
    "workspace": lambda connection, asked: workspace_accounts(connection, asked.known[0].key.split("/")[0]),
    "counts of an account": lambda connection, asked: [account_counts(connection, each) for each in asked.known],
    "limits": lambda connection, _: load_limit_ids(connection),
    "status": lambda connection, asked: load_status(connection, asked.now, asked.known),
    "uses": lambda connection, asked: [
        (each.plan_type, each.standing, each.pressure) for each in load_uses(connection, asked.now)
    ],
    "search": lambda connection, asked: len(search_accounts(connection, asked.known[-1].label[1:4])),
    "found": lambda connection, asked: [find_stored_account(connection, each.label) for each in asked.known],
    "newest": lambda connection, _: newest_observation(connection),
    "status of some": lambda connection, asked: load_status(connection, asked.now, asked.some),
    "older API": lambda connection, asked: {
        key: {
            name: value for name, value in record.items() if not name.startswith("pri") and not name.startswith("sec")
        }
        for key, record in load_legacy_usage(connection, asked.now, asked.known)["data"].items()
    },
    "overview": lambda connection, asked: load_overview(connection, asked.now, asked.known),
    "forecast": lambda connection, asked: load_forecasts(connection, asked.now, asked.known),
    "forecast in the middle": lambda connection, asked: load_forecasts(connection, asked.week, asked.known, MAIN_LIMIT),
    **{f"usage by {by}": _usage_by(by) for by in GROUP_BY if by != "machine"},
    "usage by machine": _usage_by_machine,
    "usage of one": lambda connection, asked: load_usage(
        connection, asked.now, accounts=asked.known[:1], since=asked.week, tree=True, window="5h"
    ),
    "usage of all time": lambda connection, asked: load_usage(connection, asked.now, accounts=asked.known, since=0),
    "token rates": lambda connection, asked: load_token_rates(connection, asked.now, asked.known),
    "events": lambda connection, asked: load_events(connection, asked.now, accounts=asked.known),
    "events of a week": lambda connection, asked: load_events(
        connection, asked.now, accounts=asked.some, since=asked.week
    ),
    "events of a limit": lambda connection, asked: load_events(
        connection, asked.now, accounts=asked.known, limit_id=MAIN_LIMIT, kinds=["window_reset", "used_elsewhere"]
    ),
    "history": lambda connection, asked: _by_time(load_history(connection, asked.known)),
    "history of some": lambda connection, asked: _by_time(
        load_history(connection, asked.some, since=asked.week, limit_id=MAIN_LIMIT)
    ),
    "number of changes": lambda connection, asked: [
        count_history(connection, asked.known),
        count_history(connection, asked.some, MAIN_LIMIT),
    ],
    "points": lambda connection, asked: _points(connection, PointRange(asked.week, asked.now, 600), asked.known),
    "every point": lambda connection, asked: _points(
        connection, PointRange(asked.week, asked.now - DAY, None, MAIN_LIMIT), asked.some
    ),
    "peaks": lambda connection, asked: load_peaks(connection, asked.now, accounts=asked.known, since=asked.week),
    "timelines": lambda connection, asked: load_timelines(connection, asked.now, 60, accounts=asked.known),
    "timelines of a week": lambda connection, asked: load_timelines(
        connection, asked.now, 33, accounts=asked.some, since=asked.week
    ),
    "turns": lambda connection, asked: load_turns(connection, asked.known, limit=200),
    "a page of turns": lambda connection, asked: load_turns(
        connection, asked.known, limit=50, before=load_turns(connection, asked.known, limit=20)[-1]["id"]
    ),
    "number of turns": lambda connection, _: sorted(
        each[1:] for each in count_turns(connection, 0, newest_turn(connection))
    ),
    "speed": lambda connection, asked: load_speed(connection, asked.now, accounts=asked.known, since=asked.week),
    "speed by hour": lambda connection, asked: load_speed(
        connection, asked.now, accounts=asked.some, since=asked.now - DAY, by="hour"
    ),
    "threads": lambda connection, asked: load_sessions(connection, asked.now, asked.week, asked.known, tree=True),
    "names of threads": lambda connection, _: thread_names(connection),
    "alerts": lambda connection, asked: load_alert_input(
        connection, asked.now, [Rule((80.0,), frozenset({*EVENT_ALERTS, RUNS_DRY}))], accounts=asked.known
    ),
    "summary": lambda connection, _: [load_summary(connection), load_last_read(connection), load_losses(connection)],
    "last turns": lambda connection, _: load_last_turns(
        connection, [thread for thread, _ in thread_names(connection)[:20]]
    ),
    "sightings": lambda connection, _: [load_sightings(connection, kind) for kind in SightingKind],
    "imported": lambda connection, asked: [
        imported_limit_ids(connection),
        *(imported_windows(connection, each.id, MAIN_LIMIT) for each in asked.known),
        *(imported_samples(connection, each.id, MAIN_LIMIT, "7d", since=0.0) for each in asked.known),
    ],
}


class Databases(NamedTuple):
    """A file, the team's database that it was shipped to, and the moment of the questions."""

    path: Path
    team: TeamAddress
    now: float


@pytest.fixture(scope="module")
def story(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Databases:
    """Ten days of five people, with all that can happen to windows."""
    path = tmp_path_factory.mktemp("story") / "codex-tap.sqlite3"
    pinned_story.tell(path)
    return Databases(path, ship_file(postgres_server, path), pinned.NOW)


@pytest.fixture(scope="module")
def month(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Databases:
    """A month of six people, made up at random."""
    path, now = tmp_path_factory.mktemp("month") / "codex-tap.sqlite3", time.time()
    generate(path, Size(snapshots=3_000, turns=6_000, accounts=6, days=30, seed=int(now)), now)
    with closing(open_writer(path)) as connection:
        # One after the other: among equals, their order would be that of the rows' own ids.
        connection.execute("UPDATE accounts SET first_seen_at = first_seen_at + id")
    return Databases(path, ship_file(postgres_server, path), now)


@pytest.mark.parametrize("databases", ["story", "month"])
@pytest.mark.parametrize("name", QUESTIONS)
def test_the_answers_are_the_same(databases: str, name: str, request: pytest.FixtureRequest) -> None:
    """But for the ids of rows and what is never shipped."""
    where: Databases = request.getfixturevalue(databases)
    with closing(open_reader(where.path)) as connection:
        of_file = _answer(connection, name, where.now)
    with closing(open_team_reader(where.team)) as connection:
        of_team = _answer(connection, name, where.now)
    assert of_team == of_file


def _answer(connection: Connection, name: str, now: float) -> Any:
    with read_transaction(connection):
        known = load_accounts(connection)
        found = QUESTIONS[name](connection, Asked(now, known))
        keys: dict[Any, str] = {account.id: account.key for account in known}
        return _comparable(found, keys)


def _comparable(value: Any, keys: dict[Any, str]) -> Any:
    if dataclasses.is_dataclass(value):
        value = vars(value)
    elif hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        kept = {name: each for name, each in value.items() if name not in _NEVER_SHIPPED}
        if isinstance(kept.get("account"), int):
            kept["account"] = keys[kept["account"]]
        return {str(_comparable(name, keys)): _comparable(each, keys) for name, each in kept.items()}
    if isinstance(value, str):
        return _VISIBLE.sub("", value)
    if value is None or isinstance(value, int | float):
        return value
    return [_comparable(each, keys) for each in value]
