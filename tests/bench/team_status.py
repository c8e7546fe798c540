"""A team's database with a great many accounts: how long ``status`` of all, and of one of them, takes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import sql

from store.team.address import read_address
from store.team.connection import open_team_reader
from tests.bench.figures import Spread
from tests.bench.table import Row
from tests.support.command_line import CLI
from tests.support.postgres import PostgresServer, find_programs
from tests.support.synthetic_history import Size as HistorySize
from tests.support.synthetic_history import generate
from tests.support.team import account_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from tests.bench.sizes import Size

_DAYS = 20
_ROUNDS = 9
_MACHINE = 1
_TABLES = ("accounts", "tokens", "snapshots", "limits", "requests")
_OWN: dict[str, dict[str, Any]] = {
    "tokens": {"machine": _MACHINE},
    "snapshots": {"machine": _MACHINE, "skew": 0},
    "requests": {"machine": _MACHINE, "skew": 0},
    "limits": {"told_at": 0.0},
}
"""Columns that the tables of a team's database have beside those of a file, and their values."""


def status(size: Size) -> list[Row]:
    """Ask for the overview of all accounts and for one account, as queries and as commands."""
    if find_programs() is None:
        return [Row("team-status", "", target="this measure needs PostgreSQL's programs")]
    with tempfile.TemporaryDirectory() as folder, PostgresServer() as server:
        file = Path(folder) / "many.sqlite3"
        shape = HistorySize(10 * size.team_accounts, 20 * size.team_accounts, size.team_accounts, _DAYS)
        generate(file, shape, time.time())
        database = server.create_team_database()
        with closing(server.connect(database)) as connection:
            _fill(connection, file)
        return list(_measured(server.url(database), f"{size.team_accounts:,} accounts"))


def _measured(url: str, what: str) -> Iterator[Row]:
    from store.queries.accounts import find_stored_account
    from store.queries.many_accounts import load_shown, load_shown_status
    from store.queries.status import load_status

    now = time.time()
    with closing(open_team_reader(read_address(url, is_argument=True, environment={}))) as connection:
        account = find_stored_account(connection, "person-77")
        overview = _timed(lambda: load_shown_status(connection, now, load_shown(connection, now)))
        yield Row(f"{what}: overview, query", "ms", overview)
        yield _row(f"{what}: status of one, query", _timed(lambda: load_status(connection, now, [account])), 5)
    for name, arguments, most in (("overview", [], 1_000), ("status of one", ["person-77"], 600)):
        command = [sys.executable, str(CLI), "status", *arguments, "--db", url]
        yield _row(
            f"{what}: {name}, command",
            _timed(lambda each=command: subprocess.run(each, check=True, capture_output=True)),  # type: ignore[misc]
            most,
        )


def _row(name: str, found: Spread, most: float) -> Row:
    return Row(name, "ms", found, target=f"at most {most:,} ms", met=found.median <= most)


def _timed(run: Callable[[], object]) -> Spread:
    found = []
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        run()
        found.append(1_000 * (time.perf_counter() - begin))
    return Spread.of(found)


def _fill(connection: psycopg.Connection[tuple[Any, ...]], file: Path) -> None:
    """Copy the rows of a file, as if one machine had shipped them."""
    connection.execute("SET search_path = codex_tap")
    with closing(sqlite3.connect(file)) as source:
        source.row_factory = sqlite3.Row
        numbers = {
            row["id"]: account_number(row["account_id"], row["user_id"])
            for row in source.execute("SELECT * FROM accounts")
        }
        begin, end = source.execute("SELECT min(first_seen_at), max(last_seen_at) FROM snapshots").fetchone()
        connection.execute("SELECT add_months(%s, %s)", [begin, end])
        for table in _TABLES:
            _copy(connection, source, table, numbers)
    connection.execute("ANALYZE")


def _copy(
    connection: psycopg.Connection[tuple[Any, ...]], source: sqlite3.Connection, table: str, numbers: dict[int, int]
) -> None:
    known = {
        row[0]
        for row in connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'codex_tap' AND table_name = %s",
            [table],
        )
    }
    rows = source.execute(f"SELECT * FROM {table}")  # noqa: S608 (a constant)
    names = [column[0] for column in rows.description if column[0] in known]
    own = _OWN.get(table, {})
    columns = [*names, *own, *(["row_id"] if "row_id" in known else [])]
    copy = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with connection.cursor() as cursor, cursor.copy(copy) as target:
        for row in rows:
            values = dict(row)
            row_id = [values["id"]] if "row_id" in known else []
            account = "id" if table == "accounts" else "account"
            values[account] = numbers[values[account]]
            target.write_row([*(values[name] for name in names), *own.values(), *row_id])
