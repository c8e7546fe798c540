"""The command line: status, accounts, history, options common to all commands, help and completion."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from scripts.cli import cli
from scripts.support.errors import NOTHING_YET
from scripts.support.timespec import parse_since
from scripts.support.version import version
from store.database import open_reader
from store.models import Identity
from tests.support.command_line import invoke
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, limit, snapshot, windows

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from store.models import Snapshot

CLI = Path(__file__).resolve().parents[2] / "scripts" / "cli.py"
WINDOWS = sys.platform == "win32"


def started(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command line as a program."""
    command = [sys.executable, str(CLI), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=False, **options)


def reading(five: float = 13.0, *, who: Identity = ALICE, ago: float = 100, **fields: Any) -> Snapshot:
    """A reading of the main limit's two windows, `ago` seconds old; both reset in the future."""
    at = time.time() - ago
    return snapshot(limit(windows(five, 41, at=at)), who=who, at=at, **fields)


@pytest.fixture
def two(path: Path) -> Path:
    """A database with two accounts; Bob's has two limits."""
    bob = snapshot(
        limit(windows(90, 20, at=time.time())),
        limit(windows(1, 2, at=time.time()), limit_id="codex_bengalfox", limit_name="GPT-5.3-Codex-Spark"),
        who=BOB,
        at=time.time() - 50,
        plan_type="pro",
    )
    return record(path, reading(plan_type="plus"), bob)


# Status


@pytest.mark.parametrize("command", [[], ["status"]])
def test_the_bare_command_is_status(two: Path, command: list[str]) -> None:
    """Without a command, codex-tap prints the status."""
    result = invoke(*command)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("alice@example.com · plus\n  codex · seen 1 min ago\n    5 h  █")
    assert "\n\nbob@example.com · pro\n" in result.stdout
    assert two.exists()


@pytest.mark.parametrize("command", [["--json"], ["status", "--json"]])
def test_status_json_is_the_contract(two: Path, command: list[str]) -> None:
    """The document has every documented field."""
    document = json.loads(invoke(*command, "--db", two).stdout)
    assert set(document) == {"generated_at", "accounts"}
    alice = document["accounts"][0]
    contract = {"account", "name", "email", "plan_type", "token_key", "credits", "limits"}
    assert contract <= set(alice)
    assert (alice["account"], alice["email"], alice["token_key"]) == ("acct-a/user-a", ALICE.email, ALICE.token_key)
    (main,) = alice["limits"]
    assert (
        main["windows"]["5h"].items()
        >= {
            "used_percent": 13.0,
            "remaining_percent": 87.0,
            "window_minutes": 300,
            "reset_unseen": False,
        }.items()
    )
    assert 100 <= main["age_seconds"] < 160


@pytest.mark.parametrize(
    ("starts", "shown"),
    [
        (["alice"], [ALICE.email]),
        (["acct-b"], [BOB.email]),
        ([BOB.token_key[:5], "ALICE@"], [BOB.email, ALICE.email]),
        (["alice", "acct-a"], [ALICE.email]),
    ],
)
def test_arguments_narrow_to_accounts(two: Path, starts: list[str], shown: list[str]) -> None:
    """Accounts are chosen by unambiguous prefixes; the output keeps their order, without duplicates."""
    document = json.loads(invoke("status", *starts, "--json", "--db", two).stdout)
    assert [account["email"] for account in document["accounts"]] == shown


def test_an_unknown_account_is_wrong_use(two: Path) -> None:
    """The error lists the known accounts."""
    result = invoke("status", "carol", "--db", two)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        "Error: no account matches 'carol'; there are:",
        "  alice@example.com  acct-a/user-a  alice~0000000001",
        "  bob@example.com  acct-b/user-b  bob~0000000002",
    ]


def test_an_ambiguous_account_is_wrong_use(two: Path) -> None:
    """The error lists the candidates."""
    result = invoke("status", "acct", "--db", two)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: 'acct' matches several accounts:\n  alice@")


def test_an_error_shows_nothing_of_the_wire_unescaped(path: Path) -> None:
    """An escape sequence in an e-mail does not reach the terminal through the list of candidates."""
    record(path, reading(who=Identity(token_key="k~1", account_id="a", email="\x1b[31mx@example.com")))
    result = invoke("status", "carol")
    assert result.exit_code == 2
    assert "\x1b" not in result.stderr


def test_nothing_stored_yet(path: Path) -> None:
    """The message says what to do, the exit code is 3, and no database is created."""
    result = invoke("--db", path)
    assert (result.exit_code, result.stdout.splitlines()[0]) == (3, NOTHING_YET)
    assert not path.exists()


@pytest.mark.parametrize("arguments", [[], ["alice"]])
def test_nothing_stored_yet_json(path: Path, arguments: list[str]) -> None:
    """The document has no accounts."""
    result = invoke("status", *arguments, "--json", "--db", path)
    document = json.loads(result.stdout)
    assert (result.exit_code, document["accounts"], result.stderr) == (3, [], "")
    assert abs(document["generated_at"] - time.time()) < 60


def test_db_beats_the_environment(two: Path, tmp_path: Path) -> None:
    """--db takes precedence over CODEX_TAP_DB."""
    other = record(tmp_path / "other.sqlite3", reading(77, who=BOB))
    assert [account["email"] for account in json.loads(invoke("--json", "--db", other).stdout)["accounts"]] == [
        BOB.email
    ]
    assert len(json.loads(invoke("--json").stdout)["accounts"]) == 2
    assert two != other


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["status", "--json"], ["accounts"], ["history"], ["history", "--csv"], ["accounts", "forget", "x"]],
)
def test_a_file_that_is_not_a_database_is_a_failure(tmp_path: Path, arguments: list[str]) -> None:
    """The exit code is 4, with one line on standard error and nothing on standard output."""
    path = tmp_path / "notes.txt"
    path.write_text("dear diary, " * 100)
    result = invoke(*arguments, "--db", path)
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == f"Error: {path} is not a SQLite database; move it away or name another file\n"


def test_a_damaged_database_is_a_failure(two: Path) -> None:
    """Overwritten pages end in an error message, not in a traceback."""
    data = two.read_bytes()
    two.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    result = invoke("status")
    assert result.exit_code == 4
    assert result.stderr.startswith("Error: the database cannot be used: ")


# Watch


def test_watch_cannot_be_combined_with_json(path: Path) -> None:
    """--watch is for people, --json prints one document."""
    assert invoke("--watch", "--json", "--db", path).exit_code == 2


@pytest.fixture
def watching(path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(CLI), "--watch", "0.1", "--db", str(path)]
    environment = {**os.environ, "PYTHONUTF8": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", env=environment
    ) as process:
        yield process
        process.kill()


@pytest.mark.skipif(WINDOWS, reason="a program cannot be sent Ctrl-C there without its console's other programs")
def test_watch_goes_on_until_ctrl_c(watching: subprocess.Popen[str], path: Path) -> None:
    """A database created later is shown, and Ctrl-C ends the command silently with exit code 0."""
    assert watching.stdout is not None
    assert watching.stderr is not None
    assert watching.stdout.readline() == f"{NOTHING_YET}\n"
    record(path, reading())
    assert any(line.startswith("alice@example.com") for line in watching.stdout)
    watching.send_signal(signal.SIGINT)
    watching.stdout.read()
    assert (watching.stderr.read(), watching.wait(20)) == ("", 0)


# In a terminal, in a pipe


def in_terminal(*arguments: str, ctrl_c_at: str = "", **environment: str) -> tuple[int, str]:
    """Run a command line in a pseudo terminal of 80 columns; its exit code and all it wrote there.

    Where `ctrl_c_at` is given, Ctrl-C is typed as soon as that was written.
    """
    import fcntl
    import pty
    import struct
    import termios

    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(  # noqa: S606 (a child of a fork, with a terminal of its own)
            sys.executable,
            [sys.executable, str(CLI), *arguments],
            {**os.environ, "TERM": "xterm-256color", "PYTHONUTF8": "1", **environment},
        )
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    written = b""
    try:
        while data := os.read(terminal, 65_536):
            written += data
            if ctrl_c_at and ctrl_c_at.encode() in written:
                os.write(terminal, b"\x03")
                ctrl_c_at = ""
    except OSError:
        pass  # Linux's way to say that the other end is closed
    finally:
        os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), written.decode()


needs_terminal = pytest.mark.skipif(WINDOWS, reason="no pseudo terminals there")


@needs_terminal
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_colours_are_for_terminals(two: Path) -> None:
    """Green, yellow and red in a terminal; none with NO_COLOR, none in a pipe."""
    code, text = in_terminal("--db", str(two))
    assert code == 0
    assert "\x1b[32m" in text  # 13 % used
    assert "\x1b[31m" in text  # 90 % used
    _, plain = in_terminal("--db", str(two), NO_COLOR="1")
    assert "\x1b[32m" not in plain
    assert "\x1b" not in started("--db", two).stdout


@needs_terminal
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_watch_gives_the_terminal_back(two: Path) -> None:
    """The alternate screen is left, and the last output stays on the normal screen."""
    code, text = in_terminal("--watch", "0.1", "--db", str(two), ctrl_c_at="bob@example.com")
    assert code == 0
    own, _, before = text.partition("\x1b[?1049l")
    assert "\x1b[?1049h" in own
    assert "bob@example.com" in before
    assert "Traceback" not in text


@needs_terminal
def test_a_closed_pipe_is_silent(path: Path) -> None:
    """`codex-tap history | head -1` prints no error."""
    record(path, *(reading(number % 100, ago=10_000 - number) for number in range(3_000)))
    for flags in ([], ["--json"], ["--csv"]):
        command = [sys.executable, str(CLI), "history", *flags]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""


@pytest.mark.parametrize("arguments", [[], ["accounts"], ["history"], ["history", "--csv"], ["--json"], ["-h"]])
@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_any_encoding_will_do(path: Path, arguments: list[str], encoding: str) -> None:
    """Characters that a pipe cannot encode are replaced."""
    record(path, reading(who=Identity(token_key="k~1", account_id="a", email="łódź-日本@example.com")))
    command = [sys.executable, str(CLI), *arguments]
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    result = subprocess.run(command, capture_output=True, env=environment, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.decode(encoding)


def test_it_runs_from_any_folder(two: Path, tmp_path: Path) -> None:
    """Modules of the same names in the current folder are not imported."""
    for name in ("store", "scripts", "click"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong one')")
    result = started("--json", "--db", two, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert len(json.loads(result.stdout)["accounts"]) == 2


# What every command has in common

AFTER_MAIN = """
import gc, sys
sys.argv[0] = "codex-tap"
from scripts.cli import main
try:
    main()
finally:
    print(gc.isenabled(), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "collects"),
    [(["--json"], False), (["events", "--json"], False), (["guard"], False), (["prune", "--older-than", "1d"], True)],
    ids=["status", "events", "guard", "prune"],
)
def test_only_commands_that_print_one_document_collect_no_garbage(
    two: Path, arguments: list[str], collects: bool
) -> None:
    """A command that may keep running keeps its garbage collector."""
    command = [sys.executable, "-c", AFTER_MAIN, *arguments, "--db", str(two)]
    result = subprocess.run(command, cwd=CLI.parents[1], capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert result.stderr.splitlines()[-1] == str(collects)


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["forecast"],
        ["usage", "--json"],
        ["next"],
        ["events"],
        ["history"],
        ["accounts"],
        ["threads"],
        ["guard"],
        ["statusline"],
    ],
    ids=" ".join,
)
def test_the_accounts_are_read_once(two: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    """A command reads the accounts and their tokens once."""
    statements: list[str] = []

    def traced(path: Path) -> sqlite3.Connection:
        connection = open_reader(path)
        connection.set_trace_callback(statements.append)
        return connection

    monkeypatch.setattr("store.database.open_reader", traced)
    invoke(*arguments, "--db", two)
    assert sum("account, token_key FROM tokens" in statement for statement in statements) == 1


# Accounts


def test_accounts_lists_what_is_known(two: Path) -> None:
    """The list has every account, as text and as JSON."""
    assert "bob@example.com · pro\n  account  acct-b/user-b\n  token    bob~" in invoke("accounts", "--db", two).stdout
    first, second = json.loads(invoke("accounts", "--json", "--db", two).stdout)
    assert set(first) == {"account", "name", "email", "plan_type", "token_keys", "first_seen_at", "last_seen_at"}
    assert (second["account"], second["plan_type"], second["token_keys"]) == ("acct-b/user-b", "pro", [BOB.token_key])


def test_accounts_with_nothing_known(path: Path) -> None:
    """The exit code is 3, with an output as text and as JSON."""
    assert (invoke("accounts", "--db", path).stdout, invoke("accounts").exit_code) == (f"{NOTHING_YET}\n", 3)
    assert (invoke("accounts", "--json").stdout, invoke("accounts", "--json").exit_code) == ("[]\n", 3)


def test_an_account_is_named_and_unnamed(two: Path) -> None:
    """An account can be chosen by its name until the name is removed."""
    result = invoke("accounts", "name", "ali", " work ", "--db", two)
    assert (result.exit_code, result.stdout) == (0, "alice@example.com · plus is now named work.\n")
    assert invoke("status", "work").stdout.startswith("work · alice@example.com · plus\n")
    assert invoke("accounts", "name", "work", "--clear").stdout == "alice@example.com · plus has no name now.\n"
    assert invoke("status", "work").exit_code == 2


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["bob", "work"], "Error: another account already has the name 'work'\n"),
        (["bob", "  "], "Error: a name must not be empty or contain control characters\n"),
        (["bob", "a\x1bb"], "Error: a name must not be empty or contain control characters\n"),
        (["bob"], "Error: Give either a NAME or --clear.\n"),
        (["bob", "x", "--clear"], "Error: Give either a NAME or --clear.\n"),
        (["carol", "x"], "Error: no account matches 'carol'; there are:\n"),
    ],
)
def test_a_name_that_cannot_be_given(two: Path, words: list[str], error: str) -> None:
    """The error says what is wrong, and nothing changes."""
    invoke("accounts", "name", "alice", "work", "--db", two)
    before = invoke("accounts", "--json").stdout
    result = invoke("accounts", "name", *words)
    assert result.exit_code == 2
    assert error in result.stderr
    assert invoke("accounts", "--json").stdout == before


def test_forgetting_asks_first(two: Path) -> None:
    """The question names what would be deleted; declining deletes nothing and exits with 1."""
    result = invoke("accounts", "forget", "bob", "--db", two, answer="n\n")
    assert result.exit_code == 1
    assert "This deletes 2 snapshots of 2 limits, 1 token key." in result.stdout
    assert len(json.loads(invoke("accounts", "--json").stdout)) == 2


@pytest.mark.parametrize(("flags", "answer"), [([], "y\n"), (["--yes"], None)])
def test_forgetting(two: Path, flags: list[str], answer: str | None) -> None:
    """The account and its data are deleted, the other account stays."""
    result = invoke("accounts", "forget", "bob", *flags, "--db", two, answer=answer)
    assert result.exit_code == 0
    assert result.stdout.endswith("Deleted: bob@example.com · pro (2 snapshots of 2 limits, 1 token key).\n")
    assert [account["email"] for account in json.loads(invoke("accounts", "--json").stdout)] == [ALICE.email]
    assert {entry["email"] for entry in json.loads(invoke("history", "--json").stdout)} == {ALICE.email}


_MAY_HOLD = (".v1.bak", ".unwritten-1-a.jsonl", "-alerts.json", "-alerts.json.part", ".unwritten-2-b.jsonl.part")


def test_forgetting_names_what_may_still_hold_it(two: Path) -> None:
    """Backups, unwritten readings and the state of alerts stay; their paths are printed."""
    beside = [two.with_name(f"{two.name}{end}") for end in _MAY_HOLD]
    for path in beside:
        path.touch()

    result = invoke("accounts", "forget", "bob", "--yes", "--db", two)

    assert result.exit_code == 0
    assert result.output.splitlines()[-len(beside) :] == [f"  {path}" for path in beside]


@pytest.mark.parametrize("words", [["name", "x", "y"], ["forget", "x", "--yes"]])
def test_naming_and_forgetting_make_no_database(path: Path, words: list[str]) -> None:
    """Without a database the exit code is 3, and no file is created."""
    result = invoke("accounts", *words, "--db", path)
    assert (result.exit_code, result.stderr) == (3, f"Error: {NOTHING_YET}\n")
    assert not path.exists()


# History


@pytest.fixture
def changes(path: Path) -> Path:
    """Three changes: two of Alice's main limit, ten days and an hour ago, one of Bob's other limit now."""
    other = snapshot(limit(windows(5, 6, at=time.time()), limit_id="codex_bengalfox"), who=BOB, at=time.time())
    return record(path, reading(1, ago=864_000), reading(2, ago=3_600), other)


@pytest.mark.parametrize(
    ("arguments", "used"),
    [
        ([], [1, 2, 5]),
        (["alice"], [1, 2]),
        (["--since", "7d"], [2, 5]),
        (["--since", "30min"], [5]),
        (["--limit", "codex"], [1, 2]),
        (["bob", "--since", "2020-01-01", "--limit", "codex_bengalfox"], [5]),
        (["--since", "2999-01-01"], []),
    ],
)
def test_history_narrows(changes: Path, arguments: list[str], used: list[float]) -> None:
    """JSON and CSV have the same entries by account, time range and limit, oldest first."""
    entries = json.loads(invoke("history", *arguments, "--json", "--db", changes).stdout)
    assert [entry["windows"]["5h"]["used_percent"] for entry in entries] == used
    rows = list(csv.DictReader(io.StringIO(invoke("history", *arguments, "--csv").stdout)))
    assert [float(row["used_5h_percent"]) for row in rows] == used


def test_history_for_people(changes: Path) -> None:
    """A header and a line for each change."""
    result = invoke("history", "--db", changes)
    header, *rows = result.stdout.splitlines()
    assert header.split() == ["First", "seen", "Last", "seen", "Times", "Account", "Limit", "Used"]
    assert [row[row.index("5 h") :].split() for row in rows] == [
        ["5", "h", five, "%", "7", "d", seven, "%"] for five, seven in (("1", "41"), ("2", "41"), ("5", "6"))
    ]


def test_history_without_a_match_says_so(changes: Path) -> None:
    """A time range without changes is not an error."""
    result = invoke("history", "--since", "2999-01-01", "--db", changes)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No changes in that time range.\n")


@pytest.mark.parametrize(
    ("flags", "stdout"),
    [([], f"{NOTHING_YET}\n"), (["--json"], "[]\n"), (["--csv"], None)],
)
def test_history_with_nothing_known(path: Path, flags: list[str], stdout: str | None) -> None:
    """The exit code is 3, and the output is still valid."""
    result = invoke("history", *flags, "--db", path)
    assert result.exit_code == 3
    if stdout is None:
        assert list(csv.DictReader(io.StringIO(result.stdout))) == []
        assert result.stdout.startswith("id,first_seen,")
    else:
        assert result.stdout == stdout


def test_an_unknown_limit_is_wrong_use(changes: Path) -> None:
    """The error lists the known limits."""
    result = invoke("history", "--limit", "gpt", "--db", changes)
    assert result.exit_code == 2
    assert result.stderr == "Error: no limit 'gpt' has been seen; there are: codex, codex_bengalfox\n"


def test_csv_has_each_moment_twice_and_no_formula(path: Path) -> None:
    """Unix seconds and ISO 8601 agree; formulas and control characters are neutralized."""
    hostile = Identity(token_key="k~1", account_id="a", email="=cmd|' /C calc'!A1\x1b]0;x\x07")
    at = 1_795_262_400
    seen = snapshot(
        limit({**windows(5, -0.0, at=at), "30d": windows(7, at=at)["5h"]}, allowed=True),
        who=hostile,
        at=at,
        plan_type="-1",
    )
    record(path, seen)
    (row,) = csv.DictReader(io.StringIO(invoke("history", "--csv").stdout))
    assert (row["first_seen"], row["first_seen_at"]) == ("2026-11-21T12:00:00+00:00", "1795262400.0")
    assert (row["resets_5h"], row["resets_5h_at"]) == ("2026-11-21T14:30:00+00:00", "1795271400")
    assert row["email"] == "'=cmd|' /C calc'!A1�]0;x�"
    assert (row["plan_type"], row["allowed"], row["limit_reached"], row["reached_type"]) == ("-1", "1", "", "")
    assert json.loads(row["other_windows"])["30d"]["used_percent"] == 7


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", 1_795_262_400 - 7 * 86_400),
        ("36h", 1_795_262_400 - 36 * 3_600),
        ("90min", 1_795_262_400 - 5_400),
        ("1.5h", 1_795_262_400 - 5_400),
        ("5m", 1_795_262_400 - 300),
        ("2 w", 1_795_262_400 - 1_209_600),
        ("2026-11-20T12:00:00+00:00", 1_795_262_400 - 86_400),
        ("2026-11-21T14:00+02:00", 1_795_262_400),
    ],
)
def test_since(text: str, expected: float) -> None:
    """A duration counts back from now, a date is absolute."""
    assert parse_since(text, 1_795_262_400) == expected


def test_since_a_date_means_its_start_here() -> None:
    """A date without an offset is in the machine's time zone."""
    assert parse_since("2026-11-20", 0) == time.mktime((2026, 11, 20, 0, 0, 0, 0, 0, -1))


@pytest.mark.parametrize("text", ["", "soon", "7", "d", "-1d", "2026-13-01", "7days ago"])
def test_since_something_else_is_wrong_use(path: Path, text: str) -> None:
    """The error lists the accepted forms."""
    result = invoke("history", "--since", text, "--db", path)
    assert result.exit_code == 2
    assert "use 7d, 36h, 90min, 2026-11-20 or 2026-11-20T14:05" in result.stderr


# Run, proxy, env


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["run"], "Missing argument 'COMMAND...'"),
        (["run", "--"], "Missing argument 'COMMAND...'"),
        (["run", "--nonsense", "codex"], "No such option '--nonsense'"),
        (["run", "--ca", "x.pem", "codex"], "--ca requires --proxy"),
        (["run", "--proxy", "127.0.0.1:9", "--host", "x", "codex"], "--host cannot be combined with --proxy"),
        (["run", "--proxy", "nowhere", sys.executable], "nowhere is not a proxy's address"),
        (["env", "--proxy", "nowhere"], "nowhere is not a proxy's address"),
        (["doctor", "--proxy", "nowhere"], "nowhere is not a proxy's address"),
        (["proxy", "--port", "70000"], "70000 is not in the range"),
        (["env", "--shell", "tcsh"], "'tcsh' is not one of"),
        (["histroy"], "Did you mean 'history'?"),
        (["--json", "history"], "Options come after the command: history --json"),
        (["accounts", "--json", "name", "a", "b"], "Options come after the command: name --json"),
        (["history", "--json", "--csv"], "--json cannot be combined with --csv"),
    ],
)
def test_wrong_use(arguments: list[str], error: str) -> None:
    """The exit code is 2, and the error says what is wrong."""
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert error in result.stderr


def test_a_command_that_is_not_there() -> None:
    """The exit code is 127, and the error says how to install Codex."""
    result = started("run", "codex", env={**os.environ, "PATH": str(Path(__file__).parent)})
    assert (result.returncode, result.stdout) == (127, "")
    assert result.stderr == "Error: codex was not found; get it with: npm install -g @openai/codex\n"


def test_all_from_the_command_on_is_its_own(path: Path) -> None:
    """The command gets options that codex-tap has as well, and its exit code is returned."""
    program = "import sys; print(sys.argv[1:]); sys.exit(7)"
    words = ["exec", "--json", "--db", "x", "--", "-h"]
    result = started("run", "--db", path, sys.executable, "-c", program, *words)
    assert (result.returncode, result.stderr) == (7, "")
    assert result.stdout == f"{words}\n"
    assert path.exists()


def test_options_of_mitmdump_come_after_two_dashes() -> None:
    """They are passed to mitmdump unchanged."""
    result = started("proxy", "--port", "0", "--", "--version")
    assert result.returncode == 0
    assert "Mitmproxy: " in result.stdout


@pytest.mark.parametrize(
    ("shell", "variable", "line"),
    [
        ("/usr/bin/fish", None, "set -gx HTTPS_PROXY 'http://127.0.0.1:9'"),
        ("/bin/zsh", None, "export HTTPS_PROXY=http://127.0.0.1:9"),
        ("/bin/bash", "powershell", "$env:HTTPS_PROXY = 'http://127.0.0.1:9'"),
        ("", None, "$env:HTTPS_PROXY = 'http://127.0.0.1:9'" if WINDOWS else "export HTTPS_PROXY=http://127.0.0.1:9"),
    ],
)
def test_env_speaks_the_shells_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: str, variable: str | None, line: str
) -> None:
    """The shell is guessed or given; a note on an unreachable proxy goes to standard error, which is not evaluated."""
    monkeypatch.setenv("SHELL", shell)
    authority = tmp_path / "ca.pem"
    authority.write_text("")
    named = ["--shell", variable] if variable else []
    result = invoke("env", "--proxy", "127.0.0.1:9", "--ca", authority, *named)
    assert result.exit_code == 0
    assert line in result.stdout.splitlines()
    assert result.stderr.startswith("Note: no proxy responds at 127.0.0.1:9 ")


@needs_terminal
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_env_says_in_a_terminal_how_to_use_it(tmp_path: Path) -> None:
    """On a terminal, a hint says that a shell has to evaluate the output."""
    authority = tmp_path / "ca.pem"
    authority.write_text("")
    code, text = in_terminal("env", "--shell", "sh", "--proxy", "127.0.0.1:9", "--ca", str(authority))
    assert code == 0
    assert 'evaluate them:  eval "$(codex-tap env)"' in text


# Help, version, completion


def command_lines(command: click.Command | None = cli, words: Sequence[str] = ()) -> Iterator[tuple[str, ...]]:
    yield tuple(words)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from command_lines(command.get_command(context, name), [*words, name])


@pytest.mark.parametrize("words", list(command_lines()), ids=" ".join)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help(words: tuple[str, ...], flag: str) -> None:
    """The help of every command fits 80 columns, with complete summaries."""
    result = invoke(*words, flag)
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: codex-tap")
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "...\n" not in result.stdout.partition("Commands:")[2]


def test_version() -> None:
    """The version is the project's."""
    assert invoke("--version").stdout == f"codex-tap {version()}\n"


@pytest.mark.parametrize(
    ("line", "found"),
    [("codex-tap h", ["history"]), ("codex-tap --w", ["--watch"]), ("codex-tap accounts n", ["name"])],
)
def test_completion(line: str, found: list[str]) -> None:
    """A shell's request returns commands and options."""
    count = str(len(line.split()) - 1)
    asked = {"_CODEX_TAP_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": count}
    result = started(env={**os.environ, **asked})
    assert [word.partition(",")[2] for word in result.stdout.splitlines()] == found
