"""Each row reaches the team's database once: whoever crashed when, and whatever happened to the two databases."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from store import edits, retention
from store.database import open_writer, transaction
from store.errors import DatabaseError, MissingError
from store.imports import ImportedFile, ImportedLimit, ImportedTurn, Owner, SessionPart, write_part
from store.models import Tokens
from store.outbox.ledger import Wishes
from store.team.way_in import WayIn
from tests.support.databases import record
from tests.support.factories import BOB, limit, snapshot, turn, used, windows
from tests.support.shipping import Clock, Comparison, Machine, connector, snapshot_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import psycopg

    from tests.support.postgres import PostgresServer

_AGO = 100_000.0


@pytest.fixture(name="team")
def _team(postgres_server: PostgresServer, team_database: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection of the administrator to an empty team's database."""
    with contextlib.closing(postgres_server.connect(team_database)) as connection:
        connection.execute("SET search_path = codex_tap")
        yield connection


@pytest.fixture(name="machine")
def _machine(path: Path, postgres_server: PostgresServer, team_database: str) -> Machine:
    return Machine(path, postgres_server.url(team_database), Clock(time.time() - _AGO))


def _faults(team: psycopg.Connection[Any], *machines: Machine) -> list[str]:
    return Comparison(team, [each.path for each in machines]).faults


def _ends(team: psycopg.Connection[Any]) -> list[float]:
    return sorted(round(row[0], 3) for row in team.execute("SELECT ended_at - skew FROM requests").fetchall())


def _wanted(*ends: list[float]) -> list[float]:
    return sorted({round(end, 3) for each in ends for end in each})


def _count(team: psycopg.Connection[Any], table: str) -> int:
    row = team.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()  # noqa: S608 (constants)
    assert row is not None
    return int(row[0])


class _DiedError(BaseException):
    """The shipper was killed here."""


class _Dying(WayIn):
    """A connection of a shipper that is killed before or after its n-th batch is sent."""

    def __init__(self, usual: WayIn, *, before: int = -1, after: int = -1) -> None:
        super().__init__(usual._connection, usual._address)
        self._before, self._after, self._sent = before, after, 0

    def ship(self, head: str, snapshots: str, requests: str) -> bool:
        if self._sent == self._before:
            raise _DiedError
        is_taken = super().ship(head, snapshots, requests)
        if self._sent == self._after:
            raise _DiedError
        self._sent += 1
        return is_taken


def _dying(machine: Machine, **when: int) -> Callable[[], WayIn]:
    return lambda: _Dying(connector(machine.url)(), **when)


def test_everything_arrives_once(team: psycopg.Connection[Any], machine: Machine) -> None:
    machine.work(120)
    machine.work(30, BOB, thread="t-2")
    assert machine.ship() > 2
    assert machine.ship() == 0
    assert _faults(team, machine) == []
    assert (_count(team, "requests"), _count(team, "accounts"), _count(team, "threads")) == (150, 2, 2)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("batch", [0, 1])
def test_a_kill_around_the_sending_loses_and_doubles_nothing(
    team: psycopg.Connection[Any], machine: Machine, when: str, batch: int
) -> None:
    """Before it the batch was noted and never sent; after it the word that it was taken was lost."""
    machine.work(120)
    with pytest.raises(_DiedError):
        machine.ship(connect=_dying(machine, **{when: batch}))
    machine.ask("UPDATE threads SET name = 'named meanwhile'")
    machine.work(20)
    machine.ship()
    assert _faults(team, machine) == []
    assert _count(team, "requests") == 140


def test_a_batch_that_is_sent_again_is_refused(team: psycopg.Connection[Any], machine: Machine) -> None:
    machine.work(10)
    sent: list[tuple[str, str, str]] = []

    class Listening(WayIn):
        def ship(self, *batch: str) -> bool:
            sent.append((batch[0], batch[1], batch[2]))
            return super().ship(*batch)

    def connect() -> WayIn:
        usual = connector(machine.url)()
        return Listening(usual._connection, usual._address)

    machine.ship(connect=connect)
    machine.work(10)
    machine.ship(connect=connect)
    way_in = connector(machine.url)()
    assert [way_in.ship(*batch) for batch in sent] == [False, True]
    way_in.close()
    assert _faults(team, machine) == []


def test_a_row_that_grows_is_sent_again_until_its_end(team: psycopg.Connection[Any], machine: Machine) -> None:
    """Also one that grew after its last sending and was replaced since."""
    at = time.time() - 5_000
    record(machine.path, *(used(30, at=at + 5 * step) for step in range(4)))
    machine.ship()
    record(machine.path, *(used(30, at=at + 100 + 5 * step) for step in range(3)))
    machine.ship()
    assert team.execute("SELECT observations FROM snapshots").fetchall() == [(7,)]
    record(machine.path, used(30, at=at + 200), used(31, at=at + 205), used(31, at=at + 210))
    machine.ship()
    assert team.execute("SELECT observations FROM snapshots ORDER BY row_id").fetchall() == [(8,), (2,)]
    assert _faults(team, machine) == []
    assert machine.ask("SELECT key FROM ship_sent WHERE kind = 'row' AND key = '1'") in ([], [("1",)])


def test_names_are_sent_when_they_change(team: psycopg.Connection[Any], machine: Machine) -> None:
    """The last one wins, and the removal of one is a change."""
    machine.work(3)
    machine.ship()
    for name in ("work", "home", None):
        machine.ask("UPDATE accounts SET name = ?", name)
        machine.ask("UPDATE threads SET name = ?", name)
        machine.ship()
        assert team.execute("SELECT name FROM accounts UNION ALL SELECT name FROM threads").fetchall() == [(name,)] * 2
    team.execute("UPDATE accounts SET name = 'of another machine'")
    machine.work(3)
    machine.ship()
    assert team.execute("SELECT name FROM accounts").fetchall() == [("of another machine",)]


def test_a_forgotten_account_goes_at_the_team_too(team: psycopg.Connection[Any], machine: Machine) -> None:
    """What was recorded of it later stays, and so does what another machine saw."""
    other = Machine(machine.path.with_name("other.sqlite3"), machine.url, machine.clock)
    machine.work(40)
    machine.work(40, BOB)
    other.work(5)
    machine.ship()
    other.ship()
    _forget(machine, "acct-a")
    machine.work(7)
    machine.ship()
    assert _faults(team, machine, other) == []
    assert _count(team, "requests") == 40 + 5 + 7
    _forget(machine, "acct-b")
    machine.ship()
    assert team.execute("SELECT account_id FROM accounts").fetchall() == [("acct-a",)]
    assert _faults(team, machine, other) == []


def test_an_account_that_is_forgotten_between_reading_and_sending_goes(
    team: psycopg.Connection[Any], machine: Machine
) -> None:
    machine.work(10)
    machine.work(10, BOB)

    class Slow(WayIn):
        def ship(self, *batch: str) -> bool:
            if machine.ask("SELECT 1 FROM accounts WHERE account_id = 'acct-a'"):
                _forget(machine, "acct-a")
            return super().ship(*batch)

    def connect() -> WayIn:
        usual = connector(machine.url)()
        return Slow(usual._connection, usual._address)

    machine.ship(connect=connect)
    assert team.execute("SELECT account_id FROM accounts").fetchall() == [("acct-b",)]
    assert _faults(team, machine) == []


def _forget(machine: Machine, account_id: str) -> None:
    with contextlib.closing(open_writer(machine.path)) as connection:
        (account,) = connection.execute("SELECT id FROM accounts WHERE account_id = ?", (account_id,)).fetchone()
        edits.forget_account(connection, account)


@pytest.mark.parametrize("shipped", [True, False], ids=["shipped before", "not shipped yet"])
def test_merged_accounts_are_merged_at_the_team(team: psycopg.Connection[Any], machine: Machine, shipped: bool) -> None:
    machine.work(40)
    machine.work(40, BOB, thread="t-2")
    machine.ship(None if shipped else 1)
    _merge(machine, "acct-a", "acct-b")
    machine.work(5)
    machine.work(5, BOB, thread="t-2")
    machine.ship()
    assert _faults(team, machine) == []
    assert _count(team, "requests") == 90
    assert team.execute(
        "SELECT DISTINCT account_id FROM accounts a JOIN requests r ON r.account = a.id"
    ).fetchall() == [("acct-a",)]


def test_an_account_that_is_merged_and_then_forgotten_goes_with_both(
    team: psycopg.Connection[Any], machine: Machine
) -> None:
    """The account that the rows were moved to is known by its number alone by then."""
    machine.work(20)
    machine.work(20, BOB)
    machine.ship()
    _merge(machine, "acct-a", "acct-b")
    _forget(machine, "acct-a")
    machine.ship()
    assert (_count(team, "requests"), _count(team, "accounts")) == (0, 0)


def test_a_limit_whose_id_becomes_known_moves_at_the_team_too(team: psycopg.Connection[Any], machine: Machine) -> None:
    """Its rows were shipped under an id that was made from its display name."""
    at = time.time() - 500
    named = limit(windows(5), limit_id="spark", limit_name="Spark", by_name=True)
    record(machine.path, snapshot(named, at=at), turn(at=at, limit_id="spark"))
    machine.ship()
    assert team.execute("SELECT limit_id FROM limits").fetchall() == [("spark",)]
    known = limit(windows(6), limit_id="codex_bengalfox", limit_name="Spark")
    record(machine.path, snapshot(known, at=at + 5))
    machine.ship()
    for table in ("limits", "snapshots", "requests"):
        limits = team.execute(f"SELECT DISTINCT limit_id FROM {table}".encode()).fetchall()  # noqa: S608 (constants)
        assert limits == [("codex_bengalfox",)]
    assert _faults(team, machine) == []


def test_an_imported_turn_gives_way_at_the_team_too(team: psycopg.Connection[Any], machine: Machine) -> None:
    """The tap recorded the same turn, and stored it later: it was held for a locked database, say."""
    at = time.time() - 500
    record(machine.path, used(5, at=at))
    counts = {"input": 100, "cached": 10, "output": 5, "reasoning": 0}
    session = ImportedTurn("gpt-6-astra", None, None, at, at + 9, None, 100, 10, None, 5, 0)
    owner, progress = Owner("acct-a", "user-a"), ImportedFile("file", 1, 1, None, None)
    told = ImportedLimit("codex", None, at, at + 60, windows(7))
    part = SessionPart("t-1", None, None, None, None, owner, [session], [told], progress)
    with contextlib.closing(open_writer(machine.path)) as connection, transaction(connection):
        write_part(connection, part)
    machine.ship()
    assert team.execute("SELECT imported FROM requests").fetchall() == [(1,)]
    assert _faults(team, machine) == []
    record(machine.path, turn("t-1", at=at + 10, tokens=Tokens(**counts)))
    machine.ship()
    assert team.execute("SELECT imported FROM requests").fetchall() == [(0,)]
    assert _faults(team, machine) == []


def _merge(machine: Machine, into: str, other: str) -> None:
    with contextlib.closing(open_writer(machine.path)) as connection, transaction(connection):
        ids = dict(connection.execute("SELECT account_id, id FROM accounts").fetchall())
        edits.merge_accounts(connection, ids[into], ids[other])


class TestCopies:
    """A file that was copied, or restored from a backup, becomes another machine."""

    @pytest.mark.parametrize("first", ["copy", "original"])
    @pytest.mark.parametrize("before", [0, 1, None], ids=["nothing shipped", "partly shipped", "all shipped"])
    def test_a_copy_on_another_machine(
        self,
        team: psycopg.Connection[Any],
        machine: Machine,
        postgres_server: PostgresServer,
        first: str,
        before: int | None,
    ) -> None:
        """Each has a role of its own; what both have arrives once."""
        machine.work(120)
        if before != 0:
            machine.ship(before)
        machine.work(20)
        copy = machine.copy_to(machine.path.with_name("copy.sqlite3"))
        if team.execute("SELECT 1 FROM pg_roles WHERE rolname = 'of_the_copy'").fetchone() is None:
            team.execute("CREATE ROLE of_the_copy LOGIN IN ROLE codex_tap_machines")
        copy.url = postgres_server.url(team.info.dbname, "of_the_copy")
        machine.work(60)
        copy.work(70)
        order = [copy, machine] if first == "copy" else [machine, copy]
        order[0].ship(2)
        for each in (*reversed(order), *order):
            each.ship(1)
        machine.work(5)
        copy.work(6)
        for each in (machine, copy, machine):
            each.ship()
        assert _ends(team) == _wanted(machine.ends, copy.ends)
        assert _count(team, "machines") == 2
        assert _moments(team) == _moments_of(machine, copy)

    def test_a_file_restored_from_its_backup_uses_ids_again(
        self, team: psycopg.Connection[Any], machine: Machine
    ) -> None:
        """The rows that they stood for before stay as well."""
        machine.work(80)
        machine.ship()
        backup = machine.copy_to(machine.path.with_name("backup.sqlite3"))
        machine.work(50)
        machine.ship()
        lost = machine.ends
        for suffix in ("", "-wal", "-shm"):
            machine.path.with_name(machine.path.name + suffix).unlink(missing_ok=True)
        backup.copy_to(machine.path)
        machine.work(60)
        machine.ship()
        assert _ends(team) == _wanted(lost, machine.ends)
        assert _count(team, "machines") == 2

    def test_a_file_that_is_deleted_and_begun_anew_is_another_machine(
        self, team: psycopg.Connection[Any], machine: Machine
    ) -> None:
        """Also while the shipper runs."""
        machine.work(30)
        before = machine.ends
        with machine.shipper() as shipper:
            while shipper.step():
                pass
            for suffix in ("", "-wal", "-shm"):
                machine.path.with_name(machine.path.name + suffix).unlink(missing_ok=True)
            with pytest.raises(MissingError):
                shipper.step()
            machine.work(20)
            while shipper.step():
                pass
        assert _ends(team) == _wanted(before, machine.ends)
        assert _count(team, "machines") == 2


def _moments(team: psycopg.Connection[Any]) -> list[float]:
    return sorted(round(row[0], 3) for row in team.execute("SELECT first_seen_at - skew FROM snapshots").fetchall())


def _moments_of(*machines: Machine) -> list[float]:
    found = [row[0] for each in machines for row in each.ask("SELECT first_seen_at FROM snapshots")]
    return sorted({round(each, 3) for each in found})


class TestTeamRestored:
    """A team's database that lost rows is sent again what it lacks."""

    def test_from_a_backup(
        self, team: psycopg.Connection[Any], machine: Machine, postgres_server: PostgresServer, team_database: str
    ) -> None:
        """Rows that grew and were replaced since, names, removals of names, and deletions as well."""
        machine.work(60)
        machine.work(30, BOB)
        machine.ask("UPDATE accounts SET name = 'first' WHERE account_id = 'acct-a'")
        at = machine.clock.advance(10)
        record(machine.path, snapshot_at(at, 50.0, resets_at=int(at) + 9_000))
        machine.ship()
        team.close()
        backup = postgres_server.create_database(team_database)
        record(machine.path, *(snapshot_at(at + step, 50.0, resets_at=int(at) + 9_000) for step in (1, 2, 3)))
        machine.work(40)
        machine.ship()
        machine.ask("UPDATE accounts SET name = NULL WHERE account_id = 'acct-a'")
        machine.ask("UPDATE threads SET name = 'second'")
        _forget(machine, "acct-b")
        machine.work(40)
        machine.ship()
        machine.url = postgres_server.url(backup)
        machine.ship()
        with contextlib.closing(postgres_server.connect(backup)) as restored:
            assert _faults(restored, machine) == []
            restored.execute("SET search_path = codex_tap")
            assert restored.execute("SELECT account_id, name FROM accounts").fetchall() == [("acct-a", None)]
            assert _ends(restored) == _wanted(machine.ends)

    @pytest.mark.usefixtures("team")
    def test_emptied(self, machine: Machine, postgres_server: PostgresServer) -> None:
        """All of the file is sent again, as it is now."""
        machine.work(60)
        machine.work(30, BOB)
        machine.ship()
        _merge(machine, "acct-a", "acct-b")
        machine.work(30)
        machine.ship()
        machine.url = postgres_server.url(postgres_server.create_team_database())
        machine.ship()
        with contextlib.closing(connector(machine.url)()) as emptied:
            assert _faults(emptied._connection, machine) == []


@pytest.mark.parametrize("ahead", [-40.0, 0.4, 90.0, -3_600.0])
def test_a_wrong_clock_is_set_right(team: psycopg.Connection[Any], machine: Machine, ahead: float) -> None:
    """By the team's clock; a difference of less than a second is none."""
    machine.ahead = ahead
    machine.clock.now = time.time() - 1_000
    machine.work(20)

    def connect() -> WayIn:
        usual = connector(machine.url)()
        usual.where = lambda file_id: _later(WayIn.where(usual, file_id), -ahead)  # type: ignore[method-assign]
        return usual

    machine.ship(connect=connect)
    wrong_by = 0.0 if abs(ahead) < 1 else ahead
    (error,) = team.execute("SELECT max(abs(skew + %s)) FROM snapshots", (wrong_by,)).fetchall()[0]
    assert error < 0.5
    (told,) = team.execute("SELECT max(ended_at) FROM requests").fetchall()[0]
    assert abs(told - machine.clock.now) < 0.5
    assert _faults(team, machine) == []


def _later(told: tuple[str | None, Any, float], seconds: float) -> tuple[str | None, Any, float]:
    return told[0], told[1], told[2] + seconds


def test_a_row_that_grows_keeps_its_shift(team: psycopg.Connection[Any], machine: Machine) -> None:
    """The clock was set right between two sendings of it."""
    at = time.time() - 1_000
    record(machine.path, used(30, at=at), used(30, at=at + 5))
    offsets = iter((50.0, 0.0))

    def connect() -> WayIn:
        usual, offset = connector(machine.url)(), next(offsets)
        usual.where = lambda file_id: _later(WayIn.where(usual, file_id), offset)  # type: ignore[method-assign]
        return usual

    machine.ship(connect=connect)
    record(machine.path, used(30, at=at + 10))
    machine.ship(connect=connect)
    ((skew, observations),) = team.execute("SELECT skew, observations FROM snapshots").fetchall()
    assert (round(skew), observations) == (50, 3)


def test_weeks_offline_are_caught_up_while_others_go_on(team: psycopg.Connection[Any], machine: Machine) -> None:
    other = Machine(machine.path.with_name("other.sqlite3"), machine.url, machine.clock, most=2_000)
    machine.most = 2_000
    machine.work(10)
    machine.ship()
    machine.work(6_000)
    other.work(100)
    other.ship()
    assert machine.ship() == 3
    assert _faults(team, machine, other) == []
    assert team.execute("SELECT remaining FROM machines ORDER BY machine").fetchall() == [(0,), (0,)]


def test_two_shippers_of_one_file_are_harmless(team: psycopg.Connection[Any], machine: Machine) -> None:
    machine.most = 10
    machine.work(200)
    problems: list[BaseException] = []

    def run() -> None:
        try:
            machine.ship()
        except BaseException as error:  # noqa: BLE001 (told by the test)
            problems.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for each in threads:
        each.start()
    for number in range(10):
        machine.ask("UPDATE threads SET name = ?", f"name {number}")
        time.sleep(0.01)
    for each in threads:
        each.join()
    machine.ship()
    assert problems == []
    assert _faults(team, machine) == []
    assert _count(team, "machines") == 1


def test_rows_are_kept_until_they_are_sent(team: psycopg.Connection[Any], machine: Machine) -> None:
    """Retention spares what the team's database does not have, until shipping is ended."""
    machine.work(50)
    machine.ship()
    machine.work(30)
    assert _pruned(machine) == 50
    machine.ship()
    assert _count(team, "requests") == 80
    assert _pruned(machine) == 80
    machine.work(20)
    machine.ask("UPDATE ship_file SET is_off = 1")
    assert _pruned(machine) == 100


def _pruned(machine: Machine) -> int:
    """Delete all that is old, and return how many turns are gone."""
    with contextlib.closing(open_writer(machine.path)) as connection:
        while retention.prune(connection, time.time()):
            pass
        (last,) = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'requests'").fetchone()
        (left,) = connection.execute("SELECT count(*) FROM requests").fetchone()
    return int(last - left)


@pytest.mark.parametrize("choice", ["keep", "hash", "drop"])
def test_what_is_sent_is_chosen(team: psycopg.Connection[Any], machine: Machine, choice: Any) -> None:
    machine.wishes = Wishes(emails=choice, threads=choice)
    machine.work(3)
    machine.ask("UPDATE threads SET name = 'a title'")
    machine.ship()
    ((email,),) = team.execute("SELECT email FROM accounts").fetchall()
    threads = team.execute("SELECT thread, name FROM threads").fetchall()
    of_turns = {row[0] for row in team.execute("SELECT thread FROM requests").fetchall()}
    if choice == "keep":
        assert (email, threads, of_turns) == ("alice@example.com", [("t-1", "a title")], {"t-1"})
    elif choice == "drop":
        assert (email, threads, of_turns) == (None, [], {None})
    else:
        ((thread, name),) = threads
        assert (len(email), len(thread), name, of_turns) == (24, 24, None, {thread})
    machine.work(3)
    machine.wishes = Wishes()
    machine.ship()
    assert team.execute("SELECT DISTINCT email FROM accounts").fetchall() == [(email,)]


def test_another_choice_for_emails_is_sent_anew(team: psycopg.Connection[Any], machine: Machine) -> None:
    machine.work(3)
    for choice in ("keep", "drop", "hash", "keep"):
        machine.wishes = Wishes(emails=choice)
        machine.ship()
        ((email,),) = team.execute("SELECT email FROM accounts").fetchall()
        assert {"keep": email == "alice@example.com", "drop": email is None, "hash": len(email or "") == 24}[choice]


def test_nothing_of_the_raw_message_and_no_session_leaves(team: psycopg.Connection[Any], machine: Machine) -> None:
    """Nor does the visible part of a token key; a client without threads has its session in the place of one."""
    machine.work(3)
    record(machine.path, turn(None, session="session-as-thread", at=time.time() - 5))
    batches: list[str] = []

    class Listening(WayIn):
        def ship(self, *batch: str) -> bool:
            batches.extend(batch)
            return super().ship(*batch)

    def connect() -> WayIn:
        usual = connector(machine.url)()
        return Listening(usual._connection, usual._address)

    machine.ship(connect=connect)
    everything = "".join(batches)
    assert "gpt-6-astra" in everything
    for secret in ('"raw"', "session", "resp-", "alice~"):
        assert secret not in everything
    assert team.execute("SELECT DISTINCT raw FROM snapshots").fetchall() == [("{}",)]


def test_a_row_that_cannot_be_stored_does_not_hold_up_the_others(
    team: psycopg.Connection[Any], machine: Machine
) -> None:
    machine.work(40)
    team.execute("ALTER TABLE requests ADD CHECK (row_id <> 17)")
    with machine.shipper() as shipper:
        while shipper.step():
            pass
        assert shipper.left_out == 2
    assert _count(team, "requests") == 39


def test_what_cannot_be_reached_is_said_in_one_line(machine: Machine, postgres_server: PostgresServer) -> None:
    machine.work(1)
    machine.url = postgres_server.url("nowhere")
    with pytest.raises(DatabaseError, match=r"nowhere.* does not exist") as raised:
        machine.ship()
    assert "\n" not in str(raised.value)


def test_the_tables_are_made_by_the_first_shipping(team: psycopg.Connection[Any], machine: Machine) -> None:
    machine.work(1)
    tables = "SELECT count(*) FROM sqlite_master WHERE name LIKE 'ship_%'"
    assert machine.ask(tables) == [(0,)]
    _forget(machine, "acct-a")
    machine.work(1)
    machine.ship()
    assert machine.ask(f"{tables} AND type = 'table'") == [(4,)]
    assert machine.ask("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'") == [(0,)]
    assert _faults(team, machine) == []


def test_a_recorder_that_writes_meanwhile_waits_for_nothing(team: psycopg.Connection[Any], machine: Machine) -> None:
    """A batch is read in a read transaction; only its note takes the write lock."""
    machine.work(50)

    class Watching(WayIn):
        def ship(self, *batch: str) -> bool:
            with contextlib.closing(sqlite3.connect(machine.path, timeout=0)) as connection, connection:
                connection.execute("UPDATE accounts SET last_seen_at = last_seen_at + 100")
            return super().ship(*batch)

    def connect() -> WayIn:
        usual = connector(machine.url)()
        return Watching(usual._connection, usual._address)

    machine.ship(3, connect=connect)
    machine.ship()
    assert _faults(team, machine) == []
