"""The schema of the database, and the migration of older ones."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from store import schema
from store.database import open_reader, open_writer, transaction
from store.errors import DatabaseError
from store.files import backup_files, partial_files
from store.models import Window
from store.queries.accounts import load_accounts
from store.schema import SCHEMA_VERSION
from tests.support.databases import record
from tests.support.factories import ALICE, NOON, limit, snapshot, used
from tests.support.harness import REPOSITORY
from tests.support.recorded_rows import rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


SCHEMA = {
    "accounts": "id account_id user_id name email first_seen_at last_seen_at snapshot_id",
    "tokens": "token_key account first_seen_at last_seen_at expires_at",
    "snapshots": "id account token_key limit_id limit_name first_seen_at last_seen_at windows_seen_at"
    " observations late server_time"
    " used_5h_percent window_5h_minutes resets_5h_at used_7d_percent window_7d_minutes resets_7d_at other_windows"
    " allowed limit_reached reached_type reached_until plan_type has_credits credits_unlimited credits_balance"
    " overage_limit_reached spend_control_reached reset_credits promo source status model thread raw"
    " budget_limit budget_used budget_remaining budget_unit budget_source model_usage reset_credits_applicable"
    " reset_credits_expire refused_at reached_window_minutes",
    "limits": "account limit_id snapshot_id by_name",
    "losses": "id at count reason",
    "spills": "name taken_at",
    "requests": "id account token_key limit_id thread session model transport warm_up started_at first_byte_at ended_at"
    " status error_type input_tokens cached_tokens output_tokens reasoning_tokens"
    " response_model reasoning_effort tier subagent parent_thread client cache_write_tokens"
    " response_id imported session_key",
    "sightings": "kind name count first_seen_at last_seen_at",
    "limit_names": "name limit_id",
    "merged_accounts": "account_id user_id account",
    "threads": "account thread name first_seen_at last_seen_at is_session",
    "turns": "started ended seconds account thread model transport warm_up status error_type"
    " input_tokens cached_tokens output_tokens reasoning_tokens limit_id session"
    " response_model reasoning_effort tier subagent parent_thread client cache_write_tokens imported",
    "imported_limits": "account limit_id first_seen_at thread last_seen_at limit_name used_5h_percent window_5h_minutes"
    " resets_5h_at used_7d_percent window_7d_minutes resets_7d_at other_windows",
    "imported_files": "file account size read_to since state",
    "changes": "first_seen last_seen account limit_name used_5h_percent resets_5h used_7d_percent resets_7d"
    " other_windows plan_type limit_reached reached_type credits_balance late source status model thread",
    "account_labels": "account label",
    "latest": "account limit_name used_5h_percent resets_5h used_7d_percent resets_7d other_windows plan_type"
    " limit_reached reached_type last_seen source model token_key",
}


def used_5h(percent: float) -> Window:
    return Window(used_percent=percent, window_minutes=300, resets_at=NOON + 9_000)


def columns(connection: sqlite3.Connection, table: str) -> str:
    return " ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))


def test_schema(path: Path) -> None:
    """A new file has the whole schema, its version and codex-tap's application id."""
    connection = open_writer(path)

    assert {table: columns(connection, table) for table in SCHEMA} == SCHEMA
    assert connection.execute("PRAGMA user_version").fetchone()[0] == schema.SCHEMA_VERSION
    assert connection.execute("PRAGMA application_id").fetchone()[0] == schema.APPLICATION_ID
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    connection.close()


def test_the_latest_view_has_readable_times(path: Path) -> None:
    """People open the file with any SQLite tool, and read local times there."""
    record(path, used(13, plan_type="plus"))

    (row,) = rows(path, "SELECT * FROM latest")
    assert (row["account"], row["limit_name"], row["used_5h_percent"]) == ("alice@example.com", "codex", 13.0)
    (expected,) = rows(path, f"SELECT datetime({NOON + 9_000}, 'unixepoch', 'localtime') AS at")
    assert row["resets_5h"] == expected["at"]


ACCOUNTS = {
    "one e-mail": [("a", "u", None, "x@example.com"), ("b", "u", None, "x@example.com"), ("c", "u", None, "y@x.org")],
    "a name and no name": [("a", "u", "work", "x@example.com"), ("b", "u", None, "x@example.com")],
    "a name that is the e-mail of another": [("a", "u", "x@example.com", None), ("b", "u", None, "x@example.com")],
    "a name that is the key of another": [("a", "u", "b/u", "x@example.com"), ("b", "u", None, None)],
    "a name that is a token of another": [("a", "u", "t~2", "x@example.com"), ("b", "u", None, None)],
    "a name that is the former key of another": [("a", "u", "old/u2", None), ("b", "u", None, None)],
    "keys alone": [("a", "u", None, None), ("", "t~9", None, None), ("c", "", None, None)],
    "equal keys": [("a", "", None, None), ("", "a", None, None)],
    "an e-mail that is empty": [("a", "u", None, ""), ("b", "u", "", None)],
}


@pytest.mark.parametrize("accounts", ACCOUNTS.values(), ids=ACCOUNTS)
def test_the_views_name_accounts_as_commands_do(path: Path, accounts: list[tuple[str, str, str | None, str]]) -> None:
    """What the views show as an account names exactly one."""
    connection = open_writer(path)
    with transaction(connection):
        for number, (account_id, user_id, name, email) in enumerate(accounts, 1):
            connection.execute(
                "INSERT INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
                (number, account_id, user_id, name, email, NOON, NOON),
            )
            connection.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, NULL)", (f"t~{number}", number, NOON, NOON))
            row = connection.execute(
                "INSERT INTO snapshots (account, token_key, limit_id, first_seen_at, last_seen_at, source, raw)"
                " VALUES (?, ?, 'codex', ?, ?, 'usage', '{}')",
                (number, f"t~{number}", NOON, NOON),
            )
            connection.execute(
                "INSERT INTO limits (account, limit_id, snapshot_id) VALUES (?, 'codex', ?)", (number, row.lastrowid)
            )
            connection.execute(
                "INSERT INTO requests (account, token_key, limit_id, transport, warm_up, started_at, ended_at)"
                " VALUES (?, ?, 'codex', 'http', 0, ?, ?)",
                (number, f"t~{number}", NOON, NOON),
            )
        connection.execute("INSERT INTO merged_accounts VALUES ('old', 'u2', 2)")
    connection.close()
    with closing(open_reader(path)) as reader:
        expected = [account.label for account in load_accounts(reader)]
    assert len(set(expected)) == len(accounts)
    assert [row["account"] for row in rows(path, "SELECT account FROM turns")] == expected
    assert [row["account"] for row in rows(path, "SELECT account FROM changes")] == expected
    assert [row["account"] for row in rows(path, "SELECT account FROM latest")] == sorted(expected)


@pytest.mark.parametrize("question", ["SELECT * FROM turns LIMIT 5", "SELECT * FROM changes LIMIT 5"])
def test_the_views_read_rows_in_their_order(path: Path, question: str) -> None:
    """A view of a long history has its first rows at once: nothing is sorted."""
    open_writer(path).close()
    plan = [row["detail"] for row in rows(path, f"EXPLAIN QUERY PLAN {question}")]
    assert plan
    assert not [detail for detail in plan if "ORDER BY" in detail]


def older_schema(monkeypatch: pytest.MonkeyPatch, path: Path, *steps: Callable[[Any], None]) -> None:
    """Record two readings with this program, and then act as the next one, which has further migrations."""
    record(path, used(13), used(14))
    monkeypatch.setattr("store.schema.SCHEMA_VERSION", schema.SCHEMA_VERSION + 1)
    monkeypatch.setattr("store.schema._MIGRATIONS", [*schema._MIGRATIONS, *steps])


def add_a_column(made: Any) -> None:
    made.execute("ALTER TABLE accounts ADD COLUMN colour TEXT")
    made.execute("UPDATE accounts SET colour = 'green'")


def test_an_older_schema_is_migrated_and_backed_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are still there; the backup is the database as it was, as private, and it is made once."""
    older_schema(monkeypatch, path, add_a_column)
    with pytest.raises(DatabaseError, match="written by an older codex-tap"):
        open_reader(path)

    for _ in range(2):
        connection = open_writer(path)
        assert connection.execute("SELECT colour FROM accounts").fetchall() == [("green",)]
        assert connection.execute("SELECT used_5h_percent FROM snapshots").fetchall() == [(13.0,), (14.0,)]
        connection.close()

    assert backup_files(path) == [path.with_name(f"{path.name}.v{SCHEMA_VERSION}.bak")]
    (copy,) = backup_files(path)
    assert [found for found in path.parent.iterdir() if found.name.startswith(copy.name)] == [copy]
    assert os.name != "posix" or stat.S_IMODE(copy.stat().st_mode) == 0o600
    monkeypatch.undo()
    connection = open_reader(copy)
    assert "colour" not in columns(connection, "accounts")
    assert [row[0] for row in connection.execute("SELECT used_5h_percent FROM snapshots")] == [13.0, 14.0]
    connection.close()


def write_older_schema(path: Path, monkeypatch: pytest.MonkeyPatch, version: int, **limits: float) -> None:
    """Write a file of an older schema, with a row for each limit of Alice's by its used percent of 5 h."""
    with monkeypatch.context() as then:
        then.setattr("store.schema.SCHEMA_VERSION", version)
        then.setattr("store.schema._MIGRATIONS", schema._MIGRATIONS[:version])
        then.setattr("store.schema.PROBES", ())
        then.setattr("store.readable_rows.PROBES", ())
        connection = open_writer(path)
    with transaction(connection):
        connection.execute("INSERT INTO accounts VALUES (1, 'acct-a', 'user-a', NULL, NULL, ?, ?, NULL)", (NOON, NOON))
        connection.execute("INSERT INTO tokens VALUES (?, 1, ?, ?, NULL)", (ALICE.token_key, NOON, NOON))
        for limit_id, percent in limits.items():
            row = connection.execute(
                "INSERT INTO snapshots (account, token_key, limit_id, first_seen_at, last_seen_at, windows_seen_at,"
                " used_5h_percent, window_5h_minutes, resets_5h_at, source, raw)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, 300, ?, 'websocket', '{}')",
                (1, ALICE.token_key, limit_id, NOON, NOON, NOON, percent, NOON + 9_000),
            )
            connection.execute(
                "INSERT INTO limits (account, limit_id, snapshot_id) VALUES (?, ?, ?)", (1, limit_id, row.lastrowid)
            )
    connection.close()


@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_older_schema_of_this_program_is_migrated(path: Path, monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    """A file of an earlier schema keeps its rows and goes on; it then has all later tables and columns."""
    write_older_schema(path, monkeypatch, version, codex=13)

    record(path, snapshot(limit({"5h": used_5h(13)})), snapshot(limit({"5h": used_5h(14)})))

    connection = open_reader(path)
    assert [columns(connection, table) for table in SCHEMA] == list(SCHEMA.values())
    found = connection.execute("SELECT used_5h_percent, observations FROM snapshots").fetchall()
    assert [tuple(row) for row in found] == [(13.0, 2), (14.0, 1)]
    connection.close()
    assert backup_files(path) == [path.with_name(f"{path.name}.v{version}.bak")]


def test_rows_that_an_older_version_stored_under_a_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are found under the limit's id once its name is told; limits of known ids are left alone."""
    older = {"codex": 13, "codex_bengalfox": 60, "codex_other": 5, "gpt_5.3_codex_spark": 64}
    write_older_schema(path, monkeypatch, 2, **older)
    fox = limit({"5h": used_5h(65)}, limit_id="codex_bengalfox", limit_name="GPT-5.3-Codex-Spark")
    other = limit({"5h": used_5h(9)}, limit_id="codex_fox", limit_name="Codex Other")

    record(path, snapshot(fox, other))

    found = rows(path, "SELECT limit_id, used_5h_percent FROM snapshots ORDER BY id")
    assert [(row["limit_id"], row["used_5h_percent"]) for row in found] == [
        ("codex", 13),
        ("codex_bengalfox", 60),
        ("codex_other", 5),
        ("codex_bengalfox", 64),
        ("codex_bengalfox", 65),
        ("codex_fox", 9),
    ]
    assert {row["limit_id"] for row in rows(path, "SELECT limit_id FROM limits")} == {
        *("codex", "codex_bengalfox", "codex_fox", "codex_other")
    }


def test_a_backup_is_never_overwritten(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a return to an older program, and another update, there are two backups."""
    older_schema(monkeypatch, path, add_a_column)
    first = path.with_name(f"{path.name}.v{SCHEMA_VERSION}.bak")
    first.write_bytes(b"an earlier copy")

    open_writer(path).close()

    assert first.read_bytes() == b"an earlier copy"
    assert backup_files(path) == [first, first.with_name(f"{first.name}-1")]


_KILLED_IN_THE_BACKUP = """
import os, sys
from pathlib import Path
from store import schema
from store.database import open_writer

schema.SCHEMA_VERSION += 1
schema._MIGRATIONS.append(lambda database: None)
Path.rename = lambda *_: os._exit(9)
open_writer(Path(sys.argv[1]))
"""


def test_a_killed_migration_leaves_no_half_backup(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup appears under its name when it is complete; the next start makes it."""
    older_schema(monkeypatch, path, add_a_column)
    killed = subprocess.run([sys.executable, "-c", _KILLED_IN_THE_BACKUP, path], cwd=REPOSITORY, check=False)
    assert killed.returncode == 9
    assert backup_files(path) == []
    assert partial_files(path) == [path.with_name(f"{path.name}.v{SCHEMA_VERSION}.bak.part")]

    open_writer(path).close()

    assert backup_files(path) == [path.with_name(f"{path.name}.v{SCHEMA_VERSION}.bak")]
    assert partial_files(path) == []


_KILLED_IN_THE_MIGRATION = """
import os, signal, sys
from pathlib import Path
from store import schema
from store.database import open_writer

_, path, moment = sys.argv
migrate = schema.apply_migrations

def end_at_the_moment(statement):
    if moment in statement:
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

def apply_migrations(connection):
    connection.execute("PRAGMA cache_size = 1")  # changes are written before they are committed, as those of many rows
    connection.set_trace_callback(end_at_the_moment)
    migrate(connection)

schema.apply_migrations = apply_migrations
open_writer(Path(path))
"""


def content(path: Path) -> tuple[int, list[str]]:
    """Return the schema version of a database, and its schema and rows as statements."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0], list(connection.iterdump())


@pytest.mark.parametrize(
    ("version", "moment"),
    [
        *((2, "ADD COLUMN budget_used"), (2, "UPDATE limits SET by_name"), (2, "PRAGMA user_version ="), (2, "COMMIT")),
        *((3, "ADD COLUMN imported"), (3, "CREATE TABLE imported_files"), (3, "COMMIT")),
        *((4, "DROP VIEW"), (4, "PRAGMA user_version ="), (4, "COMMIT")),
    ],
)
def test_a_killed_migration_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, version: int, moment: str
) -> None:
    """The database is as before, kills leave no copies behind however many they are, and the next start migrates."""
    write_older_schema(path, monkeypatch, version, **{f"limit_{number}": number % 100 for number in range(300)})
    before = content(path)
    assert (before[0], sum(line.startswith('INSERT INTO "snapshots"') for line in before[1])) == (version, 300)

    for _ in range(2):
        killed = subprocess.run(
            [sys.executable, "-c", _KILLED_IN_THE_MIGRATION, path, moment], cwd=REPOSITORY, check=False
        )
        assert killed.returncode not in {0, 1}
        assert [content(copy) for copy in (path, *backup_files(path))] == [before] * (1 + len(backup_files(path)))
    assert len(backup_files(path)) == (2 if moment == "COMMIT" else 0)

    record(path, used(13))

    assert len(rows(path)) == 301
    with closing(open_reader(path)) as connection:
        assert [columns(connection, table) for table in SCHEMA] == list(SCHEMA.values())
    assert [content(copy) for copy in backup_files(path)] == [before] * (3 if moment == "COMMIT" else 1)
    assert partial_files(path) == []


def test_a_failed_migration_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is as before, and a failed try leaves no backup."""

    def fail(_: Any) -> None:
        raise sqlite3.OperationalError("out of luck")

    older_schema(monkeypatch, path, add_a_column, fail)

    with pytest.raises(DatabaseError, match="out of luck"):
        open_writer(path)

    assert backup_files(path) == []
    monkeypatch.undo()
    open_reader(path).close()
