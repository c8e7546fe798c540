"""The machines of a team's database, and which of them were not heard for a while."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import pytest

from store.database import open_reader
from store.queries.accounts import load_accounts
from store.queries.events import load_events
from store.queries.forecast import load_forecasts
from store.queries.history_points import PointRange, load_history_points
from store.queries.machines import GONE_SECONDS, SILENT_SECONDS, load_machines, load_silent_machines
from store.queries.speed import load_speed
from store.queries.status import load_status
from store.queries.usage import load_usage
from store.team.address import read_address
from store.team.connection import TeamConnection, open_team_reader
from tests.support.databases import record
from tests.support.factories import used
from tests.support.team import TeamMachine, account_number, team_account, team_snapshot, team_turn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.postgres import PostgresServer

NOW = time.time()
SILENCES = {"desk": 0, "laptop": SILENT_SECONDS + 600, "build": 2 * SILENT_SECONDS, "sold": GONE_SECONDS + 1}
"""Seconds since each machine was last heard."""


@pytest.fixture(name="team")
def _team(postgres_server: PostgresServer, team_database: str) -> Iterator[TeamConnection]:
    """Let four machines ship, of which one has seen another account; return a reader's connection."""
    with contextlib.closing(postgres_server.connect(team_database)) as connection:
        for name, silence in SILENCES.items():
            user = "user-2" if name == "build" else "user-1"
            account = account_number(user_id=user)
            told: dict[str, Any] = {"accounts": [team_account(NOW, user)], "name": name, "version": "1.0", "offset": 5}
            TeamMachine(connection).ship(
                [team_snapshot(1, NOW, account=account)], [team_turn(1, NOW, account=account)], remaining=3, **told
            )
            connection.execute("UPDATE codex_tap.machines SET last_seen_at = %s WHERE name = %s", (NOW - silence, name))
    with contextlib.closing(
        open_team_reader(read_address(postgres_server.url(team_database), is_argument=True))
    ) as reader:
        yield reader


def test_machines_are_listed_with_the_one_heard_last_first(team: TeamConnection) -> None:
    machines = load_machines(team, NOW)
    assert [each["machine"] for each in machines] == list(SILENCES)
    first = machines[0]
    assert first["first_heard_at"] == pytest.approx(time.time(), abs=60)
    assert {name: value for name, value in first.items() if not name.endswith("_at")} == {
        "machine": "desk", "role": "postgres", "version": "1.0", "silent_seconds": 0, "snapshots": 1, "turns": 1,
        "not_sent": 3, "left_out": 0, "accounts": 1, "clock_offset_seconds": 5,
    }  # fmt: skip


def test_a_machine_that_was_not_heard_is_silent_until_it_is_gone(team: TeamConnection) -> None:
    silent = load_silent_machines(team, NOW, load_accounts(team))
    assert [(each["machine"], each["silent_seconds"]) for each in silent] == [
        ("laptop", SILENCES["laptop"]),
        ("build", SILENCES["build"]),
    ]
    assert silent[0]["last_heard_at"] == NOW - SILENCES["laptop"]


def test_the_documents_of_a_team_s_database_name_them(team: TeamConnection) -> None:
    known = load_accounts(team)
    for document in (
        load_status(team, NOW, known),
        load_usage(team, NOW, accounts=known, since=NOW - 60),
        load_events(team, NOW, accounts=known),
        load_forecasts(team, NOW, known),
        load_speed(team, NOW, accounts=known, since=NOW - 60),
        load_history_points(team, PointRange(NOW - 60, NOW), accounts=known, most=10),
    ):
        silent = document["machines_silent"]
        assert [each["machine"] for each in silent] == ["laptop", "build"]


def test_use_by_machine(postgres_server: PostgresServer, team_database: str) -> None:
    """An increase belongs to the machines whose turns ended in it, whichever machine read it."""
    begin = NOW - 3_600
    with contextlib.closing(postgres_server.connect(team_database)) as connection:
        desk, laptop = TeamMachine(connection), TeamMachine(connection)
        desk.ship(
            [_reading(1, begin, 10), _reading(2, begin + 300, 16)],
            [_turn(1, begin + 200, 100), _turn(2, begin + 500, 300), _turn(3, begin + 800, 50)],
            name="desk",
        )
        laptop.ship(
            [_reading(1, begin + 600, 20), _reading(2, begin + 900, 30), _reading(3, begin + 901, 31)],
            [_turn(1, begin + 550, 100), _turn(2, begin + 850, 50)],
            name="laptop",
        )
    address = read_address(postgres_server.url(team_database), is_argument=True)
    with contextlib.closing(open_team_reader(address)) as reader:
        used = load_usage(reader, NOW, accounts=load_accounts(reader), by="machine", since=NOW - 86_400)
    shown = {row["key"]: (row["turns"], round(row["points"], 6)) for row in used["rows"] if not row["pending"]}
    assert shown == {"desk": (3, 6 + 3 + 5), "laptop": (2, 1 + 5)}
    assert sum(row["points"] for row in used["rows"]) == pytest.approx(used["total"]["points"]) == pytest.approx(21)


def _reading(row_id: int, at: float, used: float) -> dict[str, Any]:
    return team_snapshot(row_id, at, used_7d_percent=used, window_7d_minutes=10_080, resets_7d_at=int(NOW) + 86_400)


def _turn(row_id: int, ended_at: float, output: int) -> dict[str, Any]:
    return team_turn(row_id, ended_at, started_at=ended_at - 50, first_byte_at=ended_at - 40, output_tokens=output)


def test_of_an_account_those_that_have_seen_it(team: TeamConnection) -> None:
    known = {account.key: account for account in load_accounts(team)}
    for user, machines in (("user-1", ["laptop"]), ("user-2", ["build"])):
        silent = load_silent_machines(team, NOW, [known[f"acct-1/{user}"]])
        assert [each["machine"] for each in silent] == machines


def test_a_file_has_no_machines(path: Path) -> None:
    record(path, used(5))
    with contextlib.closing(open_reader(path)) as connection:
        status = load_status(connection, NOW, load_accounts(connection))
    assert "machines_silent" not in status
