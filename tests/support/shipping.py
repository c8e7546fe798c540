"""Machines that ship to a team's database, and the comparison of what they have with what arrived."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

from scripts.ship.shipper import Shipper, ship_all
from store.constants import SKEW_SECONDS
from store.models import Limit, RateLimits, Snapshot, Source, Tokens, Transport, Turn, Window
from store.outbox.batch import IMPORTED_LIMIT_COLUMNS, REQUEST_COLUMNS, SNAPSHOT_COLUMNS
from store.outbox.ledger import Wishes
from store.outbox.privacy import Privacy, account_number, shipped_ids, token_digest
from store.team.address import read_address
from store.team.way_in import WayIn, connect_machine
from tests.support.databases import record
from tests.support.factories import ALICE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import psycopg

    from store.models import Identity
    from store.team.address import TeamAddress
    from tests.support.postgres import PostgresServer

_SHIFTED = ("first_seen_at", "last_seen_at", "windows_seen_at", "refused_at", "started_at", "first_byte_at", "ended_at")
_WEEK_MINUTES = 10_080


class Clock:
    """The true time, Unix seconds; it goes on by itself with each piece of work."""

    def __init__(self, now: float) -> None:
        self.now = now

    def advance(self, seconds: float) -> float:
        """Go on, and return the new time."""
        self.now += seconds
        return self.now


class Machine:
    """One database file and its shipper.

    url: of the team's database.
    ahead: seconds by which the machine's clock is ahead of the true time.
    """

    def __init__(self, path: Path, url: str, clock: Clock, *, ahead: float = 0.0, most: int = 50) -> None:
        self.path, self.url, self.clock, self.ahead, self.most = path, url, clock, ahead, most
        self.wishes = Wishes()

    def work(self, turns: int, who: Identity = ALICE, *, thread: str = "t-1") -> None:
        """Record turns, each with a reading that differs from the one before."""
        record(self.path, *self._entries(turns, who, thread))

    def _entries(self, turns: int, who: Identity, thread: str) -> Iterator[Snapshot | Turn]:
        for _ in range(turns):
            true = self.clock.advance(7)
            at = true + self.ahead
            yield snapshot_at(at, round(true % 5_000 / 50, 1), who, resets_at=int(true) // 5_000 * 5_000 + 604_800)
            yield Turn(
                identity=who,
                transport=Transport.HTTP,
                started_at=at - 3,
                ended_at=at,
                thread=thread,
                session="session-of-its-own",
                model="gpt-6-astra",
                status=200,
                response_id=f"resp-{at}",
                tokens=Tokens(input=int(true) % 997, cached=0, output=1, reasoning=0),
            )

    def ship(self, batches: int | None = None, *, connect: Callable[[], WayIn] | None = None) -> int:
        """Ship everything, or so many batches at most; return how many there were."""
        sent = 0
        with self.shipper(connect) as shipper:
            while (batches is None or sent < batches) and shipper.step():
                sent += 1
        return sent

    def shipper(self, connect: Callable[[], WayIn] | None = None) -> Shipper:
        """Return a shipper of the file."""
        return Shipper(self.path, self.wishes, connect or connector(self.url), most=self.most)

    def copy_to(self, path: Path) -> Machine:
        """Copy the file; return the machine with the copy."""
        with (
            contextlib.closing(sqlite3.connect(self.path)) as source,
            contextlib.closing(sqlite3.connect(path)) as target,
        ):
            source.backup(target)
        return Machine(path, self.url, self.clock, ahead=self.ahead, most=self.most)

    def ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a statement on the file; a change is committed."""
        with contextlib.closing(sqlite3.connect(self.path, timeout=20)) as connection, connection:
            connection.execute("PRAGMA foreign_keys = ON")
            return connection.execute(statement, values).fetchall()

    @property
    def ends(self) -> list[float]:
        """When the turns in the file ended."""
        return [row[0] for row in self.ask("SELECT ended_at FROM requests")]


def snapshot_at(at: float, used: float, who: Identity = ALICE, *, resets_at: int, **reading: Any) -> Snapshot:
    """One message about the main limit's 7 d window."""
    window = Window(used_percent=used, window_minutes=_WEEK_MINUTES, resets_at=resets_at)
    limits = (Limit(windows={"7d": window}),)
    return Snapshot(
        identity=who,
        observed_at=at,
        source=Source.WEBSOCKET,
        reading=RateLimits(limits=limits, raw={"used": used}, **reading),
        thread="t-1",
    )


def connector(url: str) -> Callable[[], WayIn]:
    """Return what connects to a team's database."""
    return lambda: connect_machine(read_address(url, is_argument=True, environment={}))


def ship_file(server: PostgresServer, path: Path, database: str | None = None) -> TeamAddress:
    """Ship a file to a team's database, by default to a new one; return its address."""
    url = server.url(database or server.create_team_database())
    with Shipper(path, Wishes(), connector(url)) as shipper:
        ship_all(shipper)
    return read_address(url, is_argument=True, environment={})


class Comparison:
    """What differs between files and a team's database, row by row."""

    def __init__(self, connection: psycopg.Connection[Any], paths: Iterable[Path]) -> None:
        self._connection = connection
        self.rows = 0
        self.faults: list[str] = []
        for path in paths:
            with contextlib.closing(sqlite3.connect(path)) as file:
                file.row_factory = sqlite3.Row
                self._compare(file, path.name)
        self._compare_pointers()

    def _compare(self, file: sqlite3.Connection, name: str) -> None:
        own = file.execute("SELECT * FROM ship_file").fetchone()
        privacy = Privacy(own["emails"], own["threads"], own["salt"])
        found = self._ask("SELECT machine, clock_offset FROM machines WHERE file_id = %s", own["file_id"])
        if not found:
            self.faults.append(f"{name}: not known")
            return
        ((machine, offset),) = found
        accounts = file.execute("SELECT * FROM accounts").fetchall()
        numbers = {
            row["id"]: account_number(*shipped_ids(row["account_id"], row["user_id"], own["salt"])) for row in accounts
        }
        for table, columns, begin in (
            ("snapshots", SNAPSHOT_COLUMNS, own["snapshots_from"]),
            ("requests", REQUEST_COLUMNS, own["requests_from"]),
        ):
            here = {
                row["id"]: _here(row, columns, numbers, privacy)
                for row in file.execute(f"SELECT * FROM {table} WHERE id > ?", (begin,))  # noqa: S608 (constants)
            }
            self._differ(f"{name} {table}", here, self._there(table, columns, machine))
        self._compare_tokens(file, name, machine, numbers, offset)
        self._compare_small(file, name, numbers, privacy)

    def _there(self, table: str, columns: Iterable[str], machine: int) -> dict[int, tuple[Any, ...]]:
        names = ["account", *columns]
        rows = self._ask(f"SELECT row_id, skew, {', '.join(names)} FROM {table} WHERE machine = %s", machine)  # noqa: S608 (constants)
        found: dict[int, tuple[Any, ...]] = {}
        for row_id, skew, *values in rows:
            if row_id in found:
                self.faults.append(f"{table} {row_id}: twice")
            found[row_id] = tuple(_unmoved(name, value, skew) for name, value in zip(names, values, strict=True))
        return found

    def _compare_tokens(
        self, file: sqlite3.Connection, name: str, machine: int, numbers: dict[int, int], offset: float
    ) -> None:
        tokens = {
            (numbers[row["account"]], token_digest(row["token_key"])): (row["last_seen_at"] + offset, row["expires_at"])
            for row in file.execute("SELECT * FROM tokens")
        }
        there = self._ask("SELECT account, token_key, last_seen_at, expires_at FROM tokens WHERE machine = %s", machine)
        self._differ(f"{name} tokens", tokens, {tuple(row[:2]): tuple(row[2:]) for row in there})

    def _compare_small(self, file: sqlite3.Connection, name: str, numbers: dict[int, int], privacy: Privacy) -> None:
        threads = {
            (numbers[row["account"]], privacy.thread(row["thread"])): (row["name"],)
            for row in file.execute("SELECT * FROM threads WHERE NOT is_session")
        }
        told = {tuple(row[:2]): tuple(row[2:]) for row in self._ask("SELECT account, thread, name FROM threads")}
        self._differ(f"{name} threads", threads, {key: told[key] for key in threads.keys() & told.keys()})
        imported = {
            (numbers[row["account"]], *(row[column] for column in IMPORTED_LIMIT_COLUMNS))
            for row in file.execute("SELECT * FROM imported_limits")
        }
        columns = ", ".join(("account", *IMPORTED_LIMIT_COLUMNS))
        missing = imported - set(self._ask(f"SELECT {columns} FROM imported_limits"))  # noqa: S608 (constants)
        self.faults += [f"{name} imported_limits: {each} is missing" for each in missing]
        for row in file.execute("SELECT id, name FROM accounts WHERE name IS NOT NULL"):
            if not self._ask("SELECT 1 FROM accounts WHERE (id, name) = (%s, %s)", numbers[row["id"]], row["name"]):
                self.faults.append(f"{name} accounts: {row['name']} is missing")

    def _compare_pointers(self) -> None:
        """The current row of a limit is the one that was told last, of the newest of each machine."""
        wrong = self._ask(
            "WITH newest AS (SELECT DISTINCT ON (account, limit_id, machine) account, limit_id,"
            " coalesce(windows_seen_at, last_seen_at) AS told FROM snapshots WHERE late = 0"
            " ORDER BY account, limit_id, machine, row_id DESC)"
            " SELECT account, limit_id, l.told_at, max(told) FROM newest LEFT JOIN limits l USING (account, limit_id)"
            " GROUP BY account, limit_id, l.told_at HAVING l.told_at IS DISTINCT FROM max(told)"
        )
        self.faults += [f"limits: {row}" for row in wrong]

    def _differ(self, what: str, here: dict[Any, tuple[Any, ...]], there: dict[Any, tuple[Any, ...]]) -> None:
        self.rows += len(here)
        self.faults += [f"{what} {key}: missing" for key in here.keys() - there.keys()]
        self.faults += [f"{what} {key}: too much" for key in there.keys() - here.keys()]
        self.faults += [
            f"{what} {key}: {here[key]} is not {there[key]}"
            for key in here.keys() & there.keys()
            if not _equal(here[key], there[key])
        ]

    def _ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        self._connection.execute("SET search_path = codex_tap")
        return self._connection.execute(statement.encode(), values).fetchall()


def _here(row: sqlite3.Row, columns: Iterable[str], numbers: dict[int, int], privacy: Privacy) -> tuple[Any, ...]:
    shown = {name: row[name] for name in columns} | {"token_key": token_digest(row["token_key"])}
    shown["thread"] = privacy.thread(row["thread"])
    if "parent_thread" in shown:
        shown["parent_thread"] = privacy.thread(row["parent_thread"])
    return numbers[row["account"]], *shown.values()


def _unmoved(name: str, value: Any, skew: float) -> Any:
    """Return a value as the file has it; whether a row is late depends on other machines as well."""
    if name == "late":
        return value % 2
    if name.startswith("resets_") and abs(skew) > SKEW_SECONDS and value is not None:
        return value - round(skew)  # it was worked out on the machine's clock
    return value - skew if name in _SHIFTED and value is not None else value


def _equal(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return all(
        a == b or (isinstance(a, float) and isinstance(b, float) and abs(a - b) < 1e-5)
        for a, b in zip(one, other, strict=True)
    )
