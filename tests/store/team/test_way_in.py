"""The two functions of a team's database that machines call, and what their errors become."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from store.errors import DatabaseError, OtherMachineError, RefusedBatchError
from tests.support.shipping import connector
from tests.support.team import team_account, team_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from store.team.way_in import WayIn
    from tests.support.postgres import PostgresServer

_FILE = str(uuid.UUID(int=1))


@pytest.fixture(name="way_in")
def _way_in(postgres_server: PostgresServer, team_database: str) -> Iterator[WayIn]:
    with contextlib.closing(connector(postgres_server.url(team_database))()) as way_in:
        yield way_in


def _head(number: int, previous: int | None = None, **more: Any) -> str:
    nonces = [None if each is None else str(uuid.UUID(int=each)) for each in (number, previous)]
    return json.dumps({"file": _FILE, "nonce": nonces[0], "previous": nonces[1], "accounts": [], **more})


def test_a_batch_is_taken_once_and_in_order(way_in: WayIn) -> None:
    nonce, nonces, now = way_in.where(_FILE)
    assert (nonce, list(nonces), abs(now - time.time()) < 60) == (None, [], True)
    assert way_in.ship(_head(5), "[]", "[]")
    assert way_in.ship(_head(5), "[]", "[]"), "it was taken before"
    assert not way_in.ship(_head(7, 6), "[]", "[]")
    assert way_in.ship(_head(6, 5), "[]", "[]")
    nonce, nonces, _ = way_in.where(_FILE)
    assert (nonce, list(nonces)) == (str(uuid.UUID(int=6)), [str(uuid.UUID(int=each)) for each in (6, 5)])


def test_a_row_that_cannot_be_stored_is_refused_without_its_values(way_in: WayIn) -> None:
    now = time.time()
    row = team_snapshot(1, now, used_7d_percent="a secret")
    with pytest.raises(RefusedBatchError, match="refuses a row") as raised:
        way_in.ship(_head(5, accounts=[team_account(now)]), json.dumps([row]), "[]")
    assert "secret" not in str(raised.value)
    assert way_in.where(_FILE)[0] is None


def test_the_file_of_another_role_is_told(way_in: WayIn, postgres_server: PostgresServer, team_database: str) -> None:
    assert way_in.ship(_head(5), "[]", "[]")
    role = f"other_{team_database}"
    postgres_server.execute(f"CREATE ROLE {role} LOGIN IN ROLE codex_tap_machines")
    with contextlib.closing(connector(postgres_server.url(team_database, role))()) as other:
        assert other.where(_FILE)[0] is None
        with pytest.raises(OtherMachineError, match="another role ships this file"):
            other.ship(_head(5), "[]", "[]")


def test_a_lost_connection_is_told(way_in: WayIn, postgres_server: PostgresServer, team_database: str) -> None:
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    with contextlib.suppress(Exception):
        postgres_server.execute(f"{others} AND pid <> pg_backend_pid()", team_database)
    with pytest.raises(DatabaseError, match=f"/{team_database}"):
        way_in.where(_FILE)
