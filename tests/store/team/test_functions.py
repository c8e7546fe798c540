"""The way into a team's database, ``ship_1`` and ``where_1``: each row once, in the order of one time axis."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.support.team import TeamMachine, account_number, team_account, team_snapshot, team_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.postgres import PostgresServer

NOW = time.time() - 86_400
WEEK = 7 * 86_400
ACCOUNT = account_number()
OTHER = account_number(user_id="user-2")
TABLES = ("accounts", "tokens", "snapshots", "limits", "requests", "threads", "losses", "imported_limits", "batches")


@pytest.fixture(name="machines")
def _machines(postgres_server: PostgresServer, team_database: str) -> Iterator[Callable[[], TeamMachine]]:
    """Return a function that makes a machine with a connection of its own."""
    with contextlib.ExitStack() as stack:
        yield lambda: TeamMachine(stack.enter_context(contextlib.closing(postgres_server.connect(team_database))))


@pytest.fixture(name="machine")
def _machine(machines: Callable[[], TeamMachine]) -> TeamMachine:
    return machines()


def rows(machine: TeamMachine, statement: str) -> list[tuple[Any, ...]]:
    machine.connection.execute("SET search_path = codex_tap")
    return machine.connection.execute(statement).fetchall()


def contents(machine: TeamMachine) -> dict[str, list[tuple[Any, ...]]]:
    return {table: rows(machine, f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in TABLES}  # noqa: S608 (constants)


def test_a_batch_is_taken_once(machine: TeamMachine) -> None:
    batch = machine.batch([team_snapshot(1, NOW)], [team_turn(1, NOW)])
    assert machine.send(*batch) == "taken"
    before = contents(machine)
    assert [len(before[table]) for table in ("snapshots", "requests", "accounts", "limits")] == [1, 1, 1, 1]
    assert machine.send(*batch) == "repeated"
    assert contents(machine) == before


def test_a_batch_that_does_not_follow_changes_nothing(machine: TeamMachine) -> None:
    assert machine.ship([team_snapshot(1, NOW)]) == "taken"
    last, machine.nonce = machine.nonce, str(uuid.uuid4())
    assert machine.ship([team_snapshot(2, NOW + 60)]) == "differs"
    assert rows(machine, "SELECT count(*) FROM snapshots") == [(1,)]
    nonce, nonces, at = rows(machine, f"SELECT * FROM where_1('{machine.file}')")[0]  # noqa: S608 (a UUID)
    assert (str(nonce), [str(each) for each in nonces]) == (last, [last])
    assert at == pytest.approx(time.time(), abs=60)


def test_a_file_that_is_unknown_begins_at_its_beginning(machine: TeamMachine) -> None:
    machine.nonce = str(uuid.uuid4())
    assert machine.ship([team_snapshot(1, NOW)]) == "unknown"
    assert rows(machine, f"SELECT nonce, nonces FROM where_1('{machine.file}')") == [(None, [])]  # noqa: S608 (a UUID)
    machine.nonce = None
    assert machine.ship([team_snapshot(1, NOW)]) == "taken"


def test_two_connections_that_make_one_file_known_at_once(machines: Callable[[], TeamMachine]) -> None:
    first = machines()
    second = TeamMachine(machines().connection, first.file)
    answers = []
    with first.connection.transaction():
        assert first.ship([team_snapshot(1, NOW)]) == "taken"
        waiting = threading.Thread(target=lambda: answers.append(second.ship([team_snapshot(1, NOW)])))
        waiting.start()
        while not rows(first, "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            time.sleep(0.01)
    waiting.join(30)
    assert answers == ["again"]
    assert second.ship([team_snapshot(1, NOW)]) == "differs"


def test_unknown_fields_are_ignored_and_missing_ones_are_null(machine: TeamMachine) -> None:
    snapshot = team_snapshot(1, NOW, of_a_newer_version={"x": 1})
    for name in ("skew", "late", "windows_seen_at", "observations"):
        if name != "late":  # the helper looks at it
            del snapshot[name]
    assert machine.ship([snapshot], of_a_newer_version=[1]) == "taken"
    assert rows(machine, "SELECT skew, late, observations, windows_seen_at, raw, plan_type FROM snapshots") == [
        (0, 0, 1, None, "{}", None)
    ]


def test_every_column_of_a_snapshot_and_of_a_turn_arrives(machine: TeamMachine) -> None:
    """One that is added to the tables needs no other place to be named in."""
    values: dict[str, Any] = {"words": "w", "json_text": "[1]", "moment": NOW, "whole_second": int(NOW), "flag": 1}
    values |= {"percent": 12.5, "minutes": 300, "amount": 7, "correction": 0}
    for table, make in (("snapshots", team_snapshot), ("requests", team_turn)):
        types = dict(
            rows(
                machine,
                "SELECT column_name, domain_name FROM information_schema.columns"  # noqa: S608 (constants)
                f" WHERE table_schema = 'codex_tap' AND table_name = '{table}' AND domain_name IS NOT NULL",
            )
        )
        full = {**make(1, NOW), **{column: values[domain] for column, domain in types.items()}}
        assert machine.ship(**{table: [full]}) == "taken"
        (stored,) = rows(machine, f"SELECT {', '.join(types)} FROM {table}")  # noqa: S608 (constants)
        assert dict(zip(types, stored, strict=True)) == {column: full[column] for column in types}


def test_a_row_that_was_seen_again_grows(machine: TeamMachine) -> None:
    machine.ship([team_snapshot(1, NOW, used_7d_percent=5)])
    grown = team_snapshot(
        1, NOW, observations=9, last_seen_at=NOW + 600, windows_seen_at=NOW + 600, resets_7d_at=int(NOW)
    )
    fewer = {**grown, "observations": 4, "last_seen_at": NOW + 1}
    assert machine.ship([grown], limits=[]) == "taken"
    assert machine.ship([fewer], limits=[]) == "taken"
    assert rows(machine, "SELECT used_7d_percent, observations, last_seen_at, resets_7d_at FROM snapshots") == [
        (5, 9, NOW + 600, int(NOW))
    ]
    assert rows(machine, "SELECT told_at FROM limits") == [(NOW + 600,)]


def test_a_limit_stands_as_its_newest_row_says_while_a_machine_catches_up(machine: TeamMachine) -> None:
    """The machine tells how its limits stand when it comes to their last rows."""
    machine.ship([team_snapshot(1, NOW), team_snapshot(2, NOW + 60), team_snapshot(3, NOW + 90, late=1)], limits=[])
    current = "SELECT row_id FROM limits l JOIN snapshots s ON s.account = l.account AND s.id = l.snapshot_id"
    assert rows(machine, current) == [(2,)]
    machine.ship([team_snapshot(4, NOW + 120)], limits=[])
    assert rows(machine, current) == [(4,)]


def test_rows_are_found_by_an_index_though_tables_have_grown_since_plans_were_made(machine: TeamMachine) -> None:
    """Else a batch of a machine that stays connected takes longer with each row that is there."""
    scans = (
        "SELECT pg_stat_force_next_flush(), (SELECT sum(seq_scan) FROM pg_stat_user_tables"
        " WHERE relname LIKE 'snapshots%' OR relname LIKE 'requests%' OR relname = 'accounts')"
    )
    before = None
    for batch in range(4):
        ids = range(10 * batch + 1, 10 * batch + 11)
        machine.ship([team_snapshot(each, NOW + each) for each in ids], [team_turn(each, NOW + each) for each in ids])
        rows(machine, scans)
        found = rows(machine, scans)[0][1]
        # The first batch has made a month, which looks at its rows.
        assert before is None or found == before
        before = found


def test_times_are_corrected_and_never_lie_ahead(machine: TeamMachine) -> None:
    """A clock in 2099 would otherwise hold a pointer for decades."""
    slow = team_snapshot(1, NOW - 3_600, skew=3_600)
    ahead = team_snapshot(2, 4_100_000_000, used_7d_percent=1)
    assert machine.ship([slow, ahead], [team_turn(1, 4_100_000_000)], accounts=[team_account(4_100_000_000)]) == "taken"
    limit = time.time() + 121
    first, second = rows(machine, "SELECT first_seen_at, last_seen_at, skew FROM snapshots ORDER BY row_id")
    assert first == (NOW, NOW, 3_600)
    assert max(second[:2]) < limit
    for statement in (
        "SELECT ended_at FROM requests",
        "SELECT last_seen_at FROM accounts",
        "SELECT told_at FROM limits",
    ):
        assert rows(machine, statement)[0][0] < limit
    assert machine.ship([{**ahead, "observations": 2}], limits=[]) == "taken"
    assert rows(machine, "SELECT count(*) FROM snapshots") == [(2,)]


def test_months_are_made_when_rows_of_theirs_come(machine: TeamMachine) -> None:
    november, march = 1_762_500_000, 1_772_800_000
    assert machine.ship([team_snapshot(1, november), team_snapshot(2, march)], [team_turn(1, march)]) == "taken"
    parts = rows(machine, "SELECT inhrelid::REGCLASS::TEXT FROM pg_inherits WHERE inhparent = 'snapshots'::REGCLASS")
    assert sorted(name for (name,) in parts) == [f"snapshots_{month}" for month in (
        "2025_11", "2025_12", "2026_01", "2026_02", "2026_03")]  # fmt: skip
    assert rows(machine, "SELECT count(*) FROM requests_2026_03") == [(1,)]


# Accounts


def test_a_small_table_of_each_kind_is_stored(machine: TeamMachine) -> None:
    seen = {"first_seen_at": NOW, "last_seen_at": NOW}
    head: dict[str, Any] = {
        "accounts": [team_account(NOW, email="ann@example.com", facts=1)],
        "renamed": [{"id": ACCOUNT, "name": "work"}],
        "tokens": [{"account": ACCOUNT, "token_key": "k", "expires_at": NOW + 60, **seen}],
        "threads": [{"account": ACCOUNT, "thread": "t", "name": "mine", "named": True, **seen}],
        "losses": [{"row_id": 1, "at": NOW, "count": 3, "reason": "full"}],
        "sightings": [{"kind": "host", "name": "us.chatgpt.com", "count": 2, **seen}],
        "limit_names": [{"name": "Bengalfox", "limit_id": "codex_bengalfox"}],
        "imported_limits": [{"account": ACCOUNT, "limit_id": "codex", "thread": "t", "used_7d_percent": 3, **seen}],
        "turns_known_since": NOW,
        "remaining": 17,
        "name": "ann's laptop",
        "version": "1.2",
        "offset": -3.5,
    }
    assert machine.ship([team_snapshot(1, NOW)], **head) == "taken"
    assert rows(machine, "SELECT name, email, snapshot_id IS NOT NULL FROM accounts") == [
        ("work", "ann@example.com", True)
    ]
    assert rows(machine, "SELECT token_key, expires_at FROM tokens") == [("k", NOW + 60)]
    assert rows(machine, "SELECT thread, name, is_session FROM threads") == [("t", "mine", 0)]
    assert rows(machine, "SELECT at, count, reason FROM losses") == [(NOW, 3, "full")]
    assert rows(machine, "SELECT kind, name, count FROM sightings") == [("host", "us.chatgpt.com", 2)]
    assert rows(machine, "SELECT * FROM limit_names") == [("Bengalfox", "codex_bengalfox")]
    assert rows(machine, "SELECT thread, used_7d_percent, machine FROM imported_limits") == [("t", 3, 1)]
    assert rows(machine, "SELECT name, version, remaining, turns_known_since, clock_offset FROM machines") == [
        ("ann's laptop", "1.2", 17, NOW, -3.5)
    ]
    # What is not told later stays; a name that a person removed goes.
    head |= {"accounts": [team_account(NOW + 1)], "renamed": [{"id": ACCOUNT, "name": None}]}
    assert (
        machine.ship([team_snapshot(2, NOW + 1)], **{**head, "threads": [{**head["threads"][0], "name": None}]})
        == "taken"
    )
    assert rows(machine, "SELECT name, email, last_seen_at FROM accounts") == [(None, "ann@example.com", NOW + 1)]
    assert rows(machine, "SELECT name FROM threads") == [(None,)]
    machine.ship(accounts=[team_account(NOW, email=None, email_replaced=True)])
    assert rows(machine, "SELECT email FROM accounts") == [(None,)]


def test_an_account_that_was_deleted_for_all_does_not_come_back(machines: Callable[[], TeamMachine]) -> None:
    one, other = machines(), machines()
    old = team_snapshot(1, NOW)
    one.ship([old], [team_turn(1, NOW)])
    other.ship([old])
    rows(one, f"SELECT forget_everywhere({ACCOUNT})")
    assert {table: found for table, found in contents(one).items() if found}.keys() == {"batches"}
    assert other.ship([team_snapshot(2, NOW + 60)], [team_turn(1, NOW)]) == "taken"
    # Small rows alone, of an account that is not told again: a machine does not know of the deletion.
    seen = {"first_seen_at": NOW, "last_seen_at": NOW}
    assert other.ship(tokens=[{"account": ACCOUNT, "token_key": "k", **seen}], threads=[
        {"account": ACCOUNT, "thread": "t", **seen}]) == "taken"  # fmt: skip
    assert {table: found for table, found in contents(one).items() if found}.keys() == {"batches"}
    assert rows(one, "SELECT sum(left_out) FROM machines") == [(2,)]
    seen_again = time.time() + 1
    assert other.ship([team_snapshot(3, seen_again)]) == "taken"
    assert rows(one, "SELECT row_id FROM snapshots") == [(3,)]
    assert rows(one, "SELECT id FROM accounts") == [(ACCOUNT,)]


# Edits of what was shipped


def forgotten(snapshots: int, requests: int) -> dict[str, Any]:
    return {"kind": "forgotten", "account": ACCOUNT, "snapshots_upto": snapshots, "requests_upto": requests}


def test_what_a_machine_forgot_goes_by_its_row_ids(machines: Callable[[], TeamMachine]) -> None:
    """An entry that waited in a queue has an earlier time and a later row id than the deletion: it stays."""
    one, other = machines(), machines()
    one.ship([team_snapshot(1, NOW), team_snapshot(2, NOW + 60)], [team_turn(1, NOW)])
    other.ship([team_snapshot(1, NOW + 30)])
    edit = forgotten(2, 1)
    assert one.ship([team_snapshot(3, NOW - 5)], edits=[edit]) == "taken"
    # The same word again, as after a restored backup, is no second deletion.
    assert one.ship([team_snapshot(4, NOW + 90)], edits=[edit]) == "taken"
    assert rows(one, "SELECT machine, row_id FROM snapshots ORDER BY 1, 2") == [(1, 3), (1, 4), (2, 1)]
    assert rows(one, "SELECT count(*) FROM requests") == [(0,)]
    assert one.ship(edits=[forgotten(4, 1)]) == "taken"
    assert rows(one, "SELECT machine FROM machine_accounts") == [(2,)]
    assert rows(one, "SELECT s.machine FROM limits l JOIN snapshots s ON s.id = l.snapshot_id") == [(2,)]
    assert other.ship(edits=[forgotten(1, 0)]) == "taken"
    assert {table: found for table, found in contents(one).items() if found}.keys() == {"batches"}


def test_rows_go_to_the_account_that_theirs_was_merged_into(machines: Callable[[], TeamMachine]) -> None:
    one, other = machines(), machines()
    both = [team_account(NOW), team_account(NOW, "user-2")]
    one.ship([team_snapshot(1, NOW)], [team_turn(1, NOW, thread="t")], accounts=both, threads=[
        {"account": ACCOUNT, "thread": "t", "first_seen_at": NOW, "last_seen_at": NOW}])  # fmt: skip
    other.ship([team_snapshot(1, NOW + 30)])
    moved = {"kind": "moved", "account": ACCOUNT, "target": OTHER, "snapshots_upto": 1, "requests_upto": 1}
    assert one.ship(edits=[moved]) == "taken"
    assert rows(one, "SELECT account, machine FROM snapshots ORDER BY 2") == [(OTHER, 1), (ACCOUNT, 2)]
    assert rows(one, "SELECT account FROM requests") == [(OTHER,)]
    assert rows(one, "SELECT account, thread FROM threads") == [(OTHER, "t")]
    assert sorted(rows(one, "SELECT account FROM limits")) == sorted([(ACCOUNT,), (OTHER,)])
    assert rows(one, "SELECT account FROM merged_accounts") == [], "another machine still knows it by its own ids"
    other.ship([team_snapshot(2, NOW + 60, account=OTHER)], accounts=[team_account(NOW, "user-2")], edits=[moved])
    assert rows(one, "SELECT id FROM accounts") == [(OTHER,)]
    assert rows(one, "SELECT account_id, user_id, account FROM merged_accounts") == [("acct-1", "user-1", OTHER)]
    assert rows(one, "SELECT account, limit_id FROM limits") == [(OTHER, "codex")]


def test_rows_go_to_the_limit_whose_id_became_known(machine: TeamMachine) -> None:
    machine.ship(
        [team_snapshot(1, NOW, limit_id="bengal"), team_snapshot(2, NOW + 1, limit_id="codex_bengalfox")],
        [team_turn(1, NOW, limit_id="bengal")],
        imported_limits=[
            {"account": ACCOUNT, "limit_id": "bengal", "thread": "t", "first_seen_at": NOW, "last_seen_at": NOW}
        ],
    )
    edit = {
        "kind": "limit", "account": ACCOUNT, "limit_id": "bengal", "target_limit_id": "codex_bengalfox",
        "snapshots_upto": 2, "requests_upto": 1,
    }  # fmt: skip
    assert machine.ship(edits=[edit, {"kind": "of a newer codex-tap"}]) == "taken"
    for table in ("snapshots", "requests", "imported_limits", "limits"):
        assert rows(machine, f"SELECT DISTINCT limit_id FROM {table}") == [("codex_bengalfox",)], table  # noqa: S608
    assert rows(machine, "SELECT s.row_id FROM limits l JOIN snapshots s ON s.id = l.snapshot_id") == [(2,)]


def test_an_imported_turn_gives_way(machine: TeamMachine) -> None:
    machine.ship(requests=[team_turn(1, NOW, imported=1), team_turn(2, NOW + 1)])
    assert machine.ship(edits=[{"kind": "turn", "account": ACCOUNT, "requests_upto": 1}]) == "taken"
    assert rows(machine, "SELECT row_id FROM requests") == [(2,)]


# Copies of one file


def test_rows_that_a_copy_has_in_common_are_stored_once(machines: Callable[[], TeamMachine]) -> None:
    first, copy = machines(), machines()
    common = [team_snapshot(row, NOW + row) for row in (1, 2)], [team_turn(row, NOW + row) for row in (1, 2)]
    first.ship(*common)
    own = [team_snapshot(3, NOW + 30)], [team_turn(3, NOW + 30)]
    assert copy.ship(common[0] + own[0], common[1] + own[1], parent=first.file) == "taken"
    # The ids go on in both: the same number is another row by its time.
    assert first.ship([team_snapshot(3, NOW + 40)], [team_turn(3, NOW + 40)]) == "taken"
    wanted = [(1, 1), (1, 2), (1, 3), (2, 3)]
    assert rows(first, "SELECT machine, row_id FROM snapshots ORDER BY 1, 2") == wanted
    assert rows(first, "SELECT machine, row_id FROM requests ORDER BY 1, 2") == wanted


# One truth of many machines


def reading(row: int, at: float, percent: float, until: float | None = None) -> dict[str, Any]:
    seen = until or at
    return team_snapshot(row, at, used_7d_percent=percent, resets_7d_at=int(NOW + WEEK), last_seen_at=seen,
                         windows_seen_at=seen, observations=1 if until is None else 2)  # fmt: skip


def late_rows(machine: TeamMachine) -> list[tuple[Any, ...]]:
    return rows(machine, "SELECT machine, row_id FROM snapshots WHERE late = 2 ORDER BY 1, 2")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["as-seen", "reversed"])
def test_what_another_machine_overtook_is_late(machines: Callable[[], TeamMachine], order: tuple[int, int]) -> None:
    pair = machines(), machines()
    readings = [[reading(1, NOW, 6.0)], [reading(1, NOW + 3, 5.0)]]
    for each in order:
        pair[each].ship(readings[each])
    machine = order.index(1) + 1
    assert late_rows(pair[0]) == [(machine, 1)]
    # The current one is the other, although it was told first.
    assert rows(pair[0], "SELECT s.used_7d_percent FROM limits l JOIN snapshots s ON s.id = l.snapshot_id") == [(6,)]
    # Seen again ten seconds later it was no mistake: the server itself says less now.
    pair[1].ship([reading(1, NOW + 3, 5.0, NOW + 20)], limits=[])
    assert late_rows(pair[0]) == []
    assert rows(pair[0], "SELECT s.used_7d_percent FROM limits l JOIN snapshots s ON s.id = l.snapshot_id") == [(5,)]


def test_an_earlier_row_is_the_current_one_where_the_newest_of_its_machine_is_late(
    machines: Callable[[], TeamMachine],
) -> None:
    """Both came in one batch, and the earlier one was told later than what was current before."""
    one, other = machines(), machines()
    one.ship([reading(1, NOW, 40.0), reading(2, NOW + 5, 60.0)])
    other.ship([reading(1, NOW + 6, 60.0), reading(2, NOW + 7, 50.0)])
    assert late_rows(one) == [(2, 2)]
    current = rows(one, "SELECT l.told_at, s.machine, s.row_id FROM limits l JOIN snapshots s ON s.id = l.snapshot_id")
    assert current == [(NOW + 6, 2, 1)]


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_arrival_does_not_matter(postgres_server: PostgresServer, seed: int) -> None:
    """Three machines see one account; whoever ships first, in batches of whatever size, the result is the same."""
    chance = random.Random(seed)  # noqa: S311 (no secret)
    streams: list[list[dict[str, Any]]] = [[], [], []]
    at, percent = NOW, 0.0
    for _ in range(60):
        at += chance.choice([0.5, 2.0, 8.0, 30.0])
        percent += chance.choice([0.0, 0.2, 0.5])
        stream = chance.choice(streams)
        shown = round(max(0.0, percent - chance.choice([0.0, 0.0, 0.5])), 1)
        if stream and stream[-1]["used_7d_percent"] == shown:
            stream[-1] = reading(stream[-1]["row_id"], stream[-1]["first_seen_at"], shown, at)
        else:
            stream.append(reading(len(stream) + 1, at, shown))
    results = []
    for _ in range(2):
        database = postgres_server.create_team_database()
        with contextlib.ExitStack() as stack:
            trio = [
                TeamMachine(stack.enter_context(contextlib.closing(postgres_server.connect(database)))) for _ in streams
            ]
            for number, machine in enumerate(trio):  # known in one order, so that they have the same numbers
                machine.file = str(uuid.UUID(int=number))
                machine.ship(requests=[team_turn(1, NOW)])
            left = [list(stream) for stream in streams]
            while any(left):
                number = chance.choice([each for each, stream in enumerate(left) if stream])
                size = chance.randint(1, 12)
                trio[number].ship(left[number][:size])
                del left[number][:size]
            results.append(
                rows(trio[0], "SELECT machine, row_id, first_seen_at, last_seen_at, late FROM snapshots ORDER BY 1, 2")
                + rows(trio[0], "SELECT s.machine, s.row_id FROM limits l JOIN snapshots s ON s.id = l.snapshot_id")
            )
            before = results[-1]
            rows(trio[0], f"SELECT point_again({ACCOUNT})")
            assert before[-1:] == rows(
                trio[0], "SELECT s.machine, s.row_id FROM limits l JOIN snapshots s ON s.id = l.snapshot_id"
            )
    assert results[0] == results[1]


def test_machines_that_ship_and_forget_at_once_all_get_through(machines: Callable[[], TeamMachine]) -> None:
    """Where an account vanishes meanwhile, PostgreSQL may end one of two batches, which is sent again."""
    users = [f"user-{number}" for number in range(6)]
    failures: list[BaseException] = []

    def work(machine: TeamMachine, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 (no secret)
        try:
            for row in range(1, 25):
                chosen = chance.sample(users, 4)
                snapshots = [
                    team_snapshot(row * 10 + place, NOW + row, account=account_number(user_id=user))
                    for place, user in enumerate(chosen)
                ]
                edits = [{**forgotten(row * 10 - 1, 0), "account": account_number(user_id=chance.choice(users))}]
                accounts = [team_account(NOW + row, user) for user in chosen]
                for last in (False, False, True):
                    try:
                        told = machine.ship(snapshots, accounts=accounts, edits=edits if row % 3 == 0 else [])
                        break
                    except psycopg.errors.DeadlockDetected:
                        if last:
                            raise
                assert told == "taken"
        except BaseException as error:  # noqa: BLE001 (raised below)
            failures.append(error)

    threads = [threading.Thread(target=work, args=(machines(), seed)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


# Retention


def test_months_are_dropped_and_what_still_holds_stays(machine: TeamMachine) -> None:
    old, kept = 1_762_500_000.0, 1_764_600_000.0  # in November and in December 2025
    december = 1_764_547_200
    machine.ship(
        [
            team_snapshot(1, old, account=OTHER),
            team_snapshot(2, old, limit_id="gone"),
            team_snapshot(3, old, last_seen_at=kept + 60, windows_seen_at=kept + 60),
            team_snapshot(4, kept, limit_id="new"),
        ],
        [team_turn(1, old), team_turn(2, kept)],
        accounts=[team_account(kept + 60), team_account(old, "user-2")],
        threads=[{"account": ACCOUNT, "thread": "t", "first_seen_at": old, "last_seen_at": old}],
    )
    assert rows(machine, f"SELECT drop_months({december + 86_400})") == [(december,)]
    assert rows(machine, "SELECT row_id, first_seen_at FROM snapshots ORDER BY 1") == [(3, december), (4, kept)]
    assert rows(machine, "SELECT row_id FROM requests") == [(2,)]
    assert rows(machine, "SELECT id FROM accounts") == [(ACCOUNT,)]
    assert rows(machine, "SELECT limit_id FROM limits ORDER BY 1") == [("codex",), ("new",)]
    assert rows(machine, "SELECT count(*) FROM threads") == [(0,)]
    parts = rows(machine, "SELECT inhrelid::REGCLASS::TEXT FROM pg_inherits WHERE inhparent = 'snapshots'::REGCLASS")
    assert parts == [("snapshots_2025_12",)]
    # What is older than that does not come back, and the row that went on can still grow.
    grown = team_snapshot(3, old, observations=5, last_seen_at=kept + 600)
    assert machine.ship([grown, team_snapshot(5, old)], [team_turn(3, old)], limits=[]) == "taken"
    assert rows(machine, "SELECT row_id, first_seen_at, last_seen_at FROM snapshots WHERE row_id <> 4") == [
        (3, december, kept + 600)
    ]
    assert rows(machine, "SELECT left_out FROM machines") == [(2,)]
    # It never goes back.
    assert rows(machine, f"SELECT drop_months({old})") == [(december,)]


# What is refused, all of it


def refuse(machine: TeamMachine, head: dict[str, Any], snapshots: list[Any]) -> None:
    """Ship a good turn beside it: not even that is stored, and the machine goes on where it was."""
    machine.ship([team_snapshot(1, NOW)])
    before = contents(machine)
    batch = machine.batch([], [team_turn(1, NOW)], **{"accounts": [team_account(NOW)], "limits": [], **head})
    with pytest.raises(psycopg.Error):
        machine.send(batch[0], snapshots, batch[2])
    assert contents(machine) == before
    assert machine.ship([team_snapshot(2, NOW + 1)]) == "taken"


@pytest.mark.parametrize(
    "head",
    [
        pytest.param({"accounts": [{**team_account(NOW), "id": 7}]}, id="number-of-another-account"),
        pytest.param({"accounts": [{**team_account(NOW), "user_id": None}]}, id="account-without-user"),
        pytest.param({"accounts": [{**team_account(NOW), "email": "x" * 20_000}]}, id="long-email"),
        pytest.param({"accounts": {"id": ACCOUNT}}, id="no-list-of-accounts"),
        pytest.param({"threads": "t"}, id="no-list-of-threads"),
        pytest.param({"nonce": "n"}, id="nonce-is-no-uuid"),
        pytest.param({"nonce": None}, id="no-nonce"),
        pytest.param({"file": None}, id="no-file"),
        pytest.param({"snapshots_upto": "all"}, id="row-id-is-text"),
        pytest.param({"turns_known_since": "NaN"}, id="time-is-nan"),
        pytest.param({"remaining": -1}, id="negative-count"),
    ],
)
def test_a_hostile_head_gets_nothing(machine: TeamMachine, head: dict[str, Any]) -> None:
    refuse(machine, head, [team_snapshot(2, NOW)])


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("account", OTHER),
        ("account", None),
        ("row_id", "a"),
        ("first_seen_at", "yesterday"),
        ("first_seen_at", "NaN"),
        ("first_seen_at", None),
        ("last_seen_at", -1),
        ("skew", "Infinity"),
        ("used_7d_percent", "NaN"),
        ("used_7d_percent", -1),
        ("window_7d_minutes", 0),
        ("resets_7d_at", 10**18),
        ("allowed", 2),
        ("token_key", None),
        ("promo", "x" * 20_000),
        ("raw", "x" * 2_000_000),
        ("source", None),
    ],
)
def test_a_hostile_row_gets_nothing(machine: TeamMachine, column: str, value: object) -> None:
    refuse(machine, {}, [{**team_snapshot(2, NOW), column: value}])


def test_a_huge_batch_gets_nothing(machine: TeamMachine) -> None:
    refuse(machine, {"filler": "x" * 70_000_000}, [])
    with pytest.raises(psycopg.errors.ProgramLimitExceeded):
        machine.connection.execute(
            "SELECT codex_tap.ship_1(%s, NULL, NULL)", [json.dumps({**machine.batch([], [])[0], "x": "x" * 70_000_000})]
        )


def test_a_batch_of_very_many_rows_gets_nothing(machine: TeamMachine) -> None:
    refuse(machine, {}, [team_snapshot(row, NOW) for row in range(2, 20_010)])
