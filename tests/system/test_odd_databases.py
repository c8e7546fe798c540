"""Every command that reads ends as it should, whatever is in the file: each column of each table gets odd values."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import sqlite3
import time
from contextlib import closing, contextmanager
from itertools import product
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from scripts.support.errors import WRONG_USE
from store.models import Budget, Credits, Sighting, SightingKind, Window
from store.outbox import tables as outbox
from store.readable_rows import TABLES
from store.record.recorder import Recorder
from tests.support.command_line import invoke, started
from tests.support.factories import BOB, limit, snapshot, turn, used, windows
from tests.support.harness import LONG
from tests.support.web_server import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.postgres import PostgresServer

_UNLIMITED = pytest.mark.timeout(0 if LONG else 300)  # all cases take hours

_VALUES: list[Any] = [
    None,
    0,
    -1,
    2**63 - 1,
    -(2**63),
    1.5,
    1e300,
    float("inf"),
    float("-inf"),
    3.2e10,
    "",
    "x",
    "1e999",
    "\x1b[31mred\x1b]0;title\x07",
    "a\x00b",
    "\ud7ff\u202e\U0010ffff",
    "[" * 5_000,
    "{",
    "[]",
    '{"30d": [NaN, 1, 2]}',
    '{"30d": [1e999, Infinity, -1]}',
    '{"": [5, 5, 5], "\\u001b[31m": [50, 300, 3e10]}',
    '{"m": [false, 1e12, "yes"]}',
    "[1e999, null, -5, 9e15]",
    "9" * 5_000,
    "y" * 3_000_000,
    b"",
    b"\xff\xfe",
    b"\x00" * 100,
]
_CASES = list(
    product([(table, column.split(":")[0]) for table, text in TABLES.items() for column in text.split()], _VALUES)
)

_ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT i"

_JSON_COMMANDS = [
    ["status", "--json"],
    ["forecast", "--json"],
    ["usage", "--json"],
    ["usage", "--by", "day", "--json"],
    ["next", "--json"],
    ["events", "--json"],
    ["history", "--json"],
    ["accounts", "--json"],
    ["threads", "--json"],
    ["guard", "--json"],
    ["statusline", "--format", "json"],
]
_TEXT_COMMANDS = [
    ["status"],
    ["forecast"],
    ["usage"],
    ["next"],
    ["events"],
    ["history"],
    ["history", "--plot"],
    ["history", "--csv"],
    ["accounts"],
    ["threads"],
    ["guard"],
    ["statusline"],
    ["prune", "--older-than", "1d"],
]
_OTHER_COMMANDS = [
    ["alerts", "check", "--config", "alerts.toml", "--json"],
    ["accounts", "name", "acct-b", "Bob"],
    ["threads", "name", "t-1", "Thread"],
    ["prune", "--older-than", "1d", "--yes"],
    ["accounts", "merge", "acct-a", "acct-b", "--yes"],
    ["accounts", "forget", "acct-a", "--yes"],
]
"""Commands that change the file, in an order in which each has something to do; an account may not be there any more,
which is exit code 2."""

_ALERTS = (
    '[targets]\nlog = ["true"]\n[[rules]]\nat = [5]\nruns_dry = true\nlimit_reached = true\nused_elsewhere = true\n'
)
_EXPECTED = {0, 1, 3, 4}
_SECONDS = 30
"""A command that takes as long does not end."""


@pytest.fixture(scope="module", name="recorded")
def _recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record a row in every table that is read."""
    path = tmp_path_factory.mktemp("odd") / "codex-tap.sqlite3"
    now = time.time()
    third = {"30d": Window(used_percent=5, window_minutes=43_200, resets_at=int(now) + 90_000)}
    recorder = Recorder(path)
    recorder.start()
    for number in range(6):
        at = now - 600 * (6 - number)
        recorder.put(turn(f"t-{number % 2}", at=at - 1, model="gpt-6-astra", status=200))
        recorder.put(
            snapshot(
                limit({**windows(10 + number, 40, at=at), **third}),
                limit(windows(5), limit_id="codex_bengalfox", limit_name="Spark"),
                limit({}, limit_id="budget", budget=Budget(limit="10", used="5", remaining="5")),
                at=at,
                plan_type="plus",
                credits=Credits(has_credits=True, balance="5"),
                reset_credits=2,
                reset_credits_expire=(int(now) + 500,),
                raw={"a": 1},
            )
        )
        recorder.put(used(20 + number, at=at, who=BOB))
    recorder.put(Sighting(kind=SightingKind.UNKNOWN_FIELD, name="x-codex-odd", seen_at=now))
    assert recorder.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO losses (at, count, reason) VALUES (?, 1, 'test')", (now,))
        connection.execute("INSERT INTO merged_accounts VALUES ('acct-c', 'user-c', 1)")
    return path


@contextmanager
def _ends() -> Iterator[None]:
    """Raise an error where a command does not end."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def expired(*_: object) -> NoReturn:
        raise AssertionError("the command does not end")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _not_json(text: str) -> NoReturn:
    raise AssertionError(f"{text} is no JSON")


def _check_commands(path: Path) -> None:
    alerts = path.with_name("alerts.toml")
    alerts.write_text(_ALERTS)
    alerts.chmod(0o600)
    for command in (*_JSON_COMMANDS, *_TEXT_COMMANDS, *_OTHER_COMMANDS):
        words = [str(alerts) if word == alerts.name else word for word in command]
        with _ends():
            ended = invoke(*words, "--db", path)
        expected = _EXPECTED | ({WRONG_USE} if command in _OTHER_COMMANDS else set())
        assert ended.exit_code in expected, (command, ended.output)
        assert not {"\x1b", "\x07", "\x00"} & set(ended.output), command
        if "--json" in command and ended.exit_code in {0, 1} and ended.stdout:
            json.loads(ended.stdout, parse_constant=_not_json)


def _changed(recorded: Path, folder: Path, table: str, column: str, value: Any, number: int) -> Path:
    path = folder / f"{number}.sqlite3"
    shutil.copyfile(recorded, path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        try:
            connection.execute(f"UPDATE OR IGNORE {table} SET {column} = ?", (value,))  # noqa: S608 (names of the schema)
        except sqlite3.IntegrityError:  # a row number is a number, and a required value is there
            path.unlink()
    return path


def _altered(recorded: Path, folder: Path, script: str) -> Path:
    """Return a copy in which statements of a stranger were executed."""
    path = folder / "odd.sqlite3"
    shutil.copyfile(recorded, path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.executescript(script)
    return path


def test_commands_end_as_on_a_good_file(recorded: Path) -> None:
    """The file of these tests has something for each command."""
    for command in (*_JSON_COMMANDS, *_TEXT_COMMANDS):
        ended = invoke(*command, "--db", recorded)
        assert ended.exit_code in {0, 1}, (command, ended.output)


def test_commands_that_change_a_good_file(recorded: Path, tmp_path: Path) -> None:
    """As those that read: each has something to do."""
    path = tmp_path / "good.sqlite3"
    shutil.copyfile(recorded, path)
    (tmp_path / "alerts.toml").write_text(_ALERTS)
    for command in _OTHER_COMMANDS:
        words = [str(tmp_path / word) if word == "alerts.toml" else word for word in command]
        ended = invoke(*words, "--db", path)
        assert ended.exit_code in {0, 1}, (command, ended.output)


@_UNLIMITED
def test_odd_values(recorded: Path, tmp_path: Path) -> None:
    """A sample of all pairs of a column and a value; all of them with CODEX_TAP_LONG."""
    sample = _CASES if LONG else random.Random(5).sample(_CASES, 25)  # noqa: S311 (a sample of cases)
    for number, ((table, column), value) in enumerate(sample):
        path = _changed(recorded, tmp_path, table, column, value, number)
        if path.exists():
            try:
                _check_commands(path)
            except Exception as error:
                raise AssertionError(
                    f"{table}.{column} = {str(value)[:60]!r}: {type(error).__name__} {error}"
                ) from error
            path.unlink()


_PAGES = [
    *("/api/usage", "/api/forecast", "/api/history?since=24h", "/api/next", "/api/requests", "/api/accounts"),
    *("/api/breakdown", "/api/events", "/metrics", "/codex/usage"),
]


def _check_pages(path: Path) -> None:
    with Site(path) as site:
        for page in _PAGES:
            answer = site.get(page)
            assert answer.status in {200, 503}, (page, answer.status, answer.body[:200])
            if answer.headers["content-type"].startswith("application/json"):
                json.loads(answer.body, parse_constant=_not_json)


@_UNLIMITED
def test_odd_values_over_the_api(recorded: Path, tmp_path: Path) -> None:
    """A sample, as for the commands."""
    found_before = [(("snapshots", "budget_remaining"), "{"), (("snapshots", "raw"), b"")]
    sample = _CASES if LONG else [*found_before, *random.Random(6).sample(_CASES, 10)]  # noqa: S311 (a sample of cases)
    for number, ((table, column), value) in enumerate(sample):
        path = _changed(recorded, tmp_path, table, column, value, number)
        if path.exists():
            try:
                _check_pages(path)
            except Exception as error:
                raise AssertionError(
                    f"{table}.{column} = {str(value)[:60]!r}: {type(error).__name__} {error}"
                ) from error
            path.unlink()


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TRIGGER t AFTER UPDATE ON snapshots BEGIN DELETE FROM snapshots; END",
        f"DROP VIEW latest; CREATE VIEW latest AS {_ENDLESS} FROM n",
        f"DROP TABLE limits; CREATE VIEW limits AS {_ENDLESS} account, i limit_id, i snapshot_id, 0 by_name FROM n",
        "DROP TABLE threads; CREATE TABLE threads (account, thread)",
        "UPDATE _sqlite_migrations SET applied_at = 'noon'",
        "DROP TABLE _sqlite_migrations",
        "DROP INDEX snapshots_first_seen",
        "DELETE FROM sqlite_sequence",
        "UPDATE limits SET snapshot_id = 999",
        "UPDATE accounts SET snapshot_id = 999",
        "UPDATE limits SET snapshot_id = 1",
        "DELETE FROM snapshots",
    ],
)
def test_odd_schemas(recorded: Path, tmp_path: Path, script: str) -> None:
    """Views and triggers of a stranger's file do nothing; what is missing is named in one line."""
    path = _altered(recorded, tmp_path, script)
    _check_commands(path)
    assert "Traceback" not in started("doctor", "--db", path).stderr


@pytest.mark.parametrize(
    "computed",
    [
        "zeroblob(90000000)",
        "hex(zeroblob(40000000))",
        "printf('%.*c', 90000000, 'x')",
        "printf('%.*c', 40000, 'a') LIKE '%a%a%a%a%a%a%a%a%a%a%a%a%a%a%a%a%a%a%a%a%a%b'",
    ],
)
def test_a_column_that_is_computed(recorded: Path, tmp_path: Path, computed: str) -> None:
    """Nothing of the file's is computed: it could take any time and memory."""
    script = f"""
        ALTER TABLE losses RENAME TO old;
        CREATE TABLE losses (id INTEGER PRIMARY KEY, at REAL, count INTEGER, reason AS ({computed}));
        INSERT INTO losses (at, count) VALUES (1e9, 1)
    """  # noqa: S608 (constants)
    path = _altered(recorded, tmp_path, script)
    _check_commands(path)
    found = started("status", "--db", path)
    assert (found.returncode, found.stdout) == (4, "")
    assert found.stderr.rstrip().endswith("has no table losses: it is damaged, or another program changed it")


def test_a_value_of_any_length(recorded: Path, tmp_path: Path) -> None:
    """It is not held in memory."""
    path = tmp_path / "long.sqlite3"
    shutil.copyfile(recorded, path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE accounts SET name = CAST(zeroblob(200000000) AS TEXT) WHERE id = 1")
    found = invoke("status", "--db", path)
    assert (found.exit_code, found.stderr) == (4, "Error: the database cannot be used: string or blob too big\n")


def _endless(recorded: Path, path: Path, table: str) -> None:
    """Make the pages of a table refer to one another, so that its few rows are there 100 ** 12 times."""
    with closing(sqlite3.connect(recorded)) as connection:
        connection.execute("VACUUM INTO ?", (str(path),))
    with closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    content = bytearray(path.read_bytes())
    pages = [bytes(content[at : at + size]) for at in range(0, len(content), size)]
    first_new = len(pages) + 1

    def interior(child: int) -> bytes:
        cells = [child.to_bytes(4) + bytes([number + 1]) for number in range(100)]
        start = size - 5 * len(cells)
        head = b"\x05\0\0" + len(cells).to_bytes(2) + start.to_bytes(2) + b"\0" + child.to_bytes(4)
        places = b"".join((start + 5 * number).to_bytes(2) for number in range(len(cells)))
        return bytes((head + places).ljust(start, b"\0") + b"".join(cells))

    leaf = pages[root - 1]
    pages[root - 1] = interior(first_new)
    pages += [interior(first_new + number + 1) for number in range(11)]
    pages.append(leaf)
    content = bytearray(b"".join(pages))
    content[28:32] = len(pages).to_bytes(4)
    path.write_bytes(content)


@pytest.mark.parametrize("table", ["snapshots", "requests", "accounts", "threads", "losses", "tokens"])
def test_pages_that_refer_to_one_another(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    """A question is given up when it takes longer than the size of the file explains."""
    monkeypatch.setattr("store.database.MAX_STEPS", 3_000_000)
    path = tmp_path / "endless.sqlite3"
    _endless(recorded, path, table)
    _check_commands(path)


def test_the_reason_is_told(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line."""
    monkeypatch.setattr("store.database.MAX_STEPS", 3_000_000)
    path = tmp_path / "endless.sqlite3"
    _endless(recorded, path, "snapshots")
    found = invoke("history", "--db", path)
    reason = "a question takes longer than the size of the file explains; it is damaged"
    assert (found.exit_code, found.stderr) == (4, f"Error: the database cannot be used: {reason}\n")


_SHIP_COLUMNS = [
    (name, column)
    for name, columns in re.findall(r"CREATE TABLE (ship_\w+) \((.*?)\n\)", outbox.SCHEMA, re.DOTALL)
    for column in re.findall(r"^    ([a-z_]+) ", columns, re.MULTILINE)
]
_SHIP_CASES = list(product(_SHIP_COLUMNS, [*_VALUES, "{}", "[1]", '["a", "b"]', "[1e999, 2]"]))


@_UNLIMITED
def test_odd_values_of_shipping(
    recorded: Path, tmp_path: Path, postgres_server: PostgresServer, team_database: str
) -> None:
    """Shipping goes on or says in one line why not, and everything else is as on a good file."""
    url = postgres_server.url(team_database)
    shipped = tmp_path / "shipped.sqlite3"
    shutil.copyfile(recorded, shipped)
    with closing(sqlite3.connect(shipped)) as connection, connection:
        assert invoke("ship", url, "--db", shipped).exit_code == 0
        connection.execute(
            "INSERT INTO ship_edits VALUES (1, 'moved', 5, 6, NULL, NULL, 1, 1), (2, 'limit', 5, NULL, 'a', 'b', 1, 1)"
        )
    sample = _SHIP_CASES if LONG else random.Random(7).sample(_SHIP_CASES, 40)  # noqa: S311 (a sample of cases)
    for number, ((table, column), value) in enumerate(sample):
        path = _changed(shipped, tmp_path, table, column, value, number)
        if not path.exists():
            continue
        for command in (["ship", url], ["ship", "--status"], *_CHANGES_AFTER_SHIPPING, ["ship", url]):
            with _ends():
                ended = invoke(*command, "--db", path)
            assert ended.exit_code in _EXPECTED | {WRONG_USE}, (table, column, value, command, ended.output)
            assert ended.exit_code != 4 or ended.stderr.count("\n") == 1, (table, column, value, ended.stderr)
        path.unlink()


_CHANGES_AFTER_SHIPPING = [
    ["prune", "--older-than", "1d", "--yes"],
    ["accounts", "merge", "acct-a", "acct-b", "--yes"],
    ["accounts", "forget", "acct-a", "--yes"],
]
