"""The command line: failures, pipes and encodings, properties of all commands, help and completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest

from scripts.cli import cli
from scripts.support.version import version
from store.database import open_reader
from store.models import Identity
from tests.support.command_line import CLI, invoke, needs_terminal, started
from tests.support.databases import record
from tests.support.readings import reading

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# Failures


def test_errors_are_sanitized(path: Path) -> None:
    """An escape sequence in an e-mail does not reach the terminal through the list of candidates."""
    record(path, reading(who=Identity(token_key="k~1", account_id="a", email="\x1b[31mx@example.com")))
    result = invoke("status", "carol")
    assert result.exit_code == 2
    assert "\x1b" not in result.stderr


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


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["doctor"], ["serve"], ["run", "true"], ["proxy"], ["threads"], ["uninstall"]],
    ids=" ".join,
)
@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ("~nosuchuser/x", "~nosuchuser/x names a user without a home folder; give an absolute path"),
        (":memory:", ":memory: is not the path of a file; name one, such as ~/codex-tap.sqlite3"),
        ("file:x?mode=memory", "file:x?mode=memory is not the path of a file; name one, such as ~/codex-tap.sqlite3"),
    ],
)
def test_a_database_that_is_no_path(
    arguments: list[str], chosen: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code is 4, with one line that says what to do, for the option and for the variable."""
    result = invoke(*arguments[:1], "--db", chosen, *arguments[1:])
    assert (result.exit_code, result.stdout, result.stderr) == (4, "", f"Error: {reason}\n")
    monkeypatch.setenv("CODEX_TAP_DB", chosen)
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (4, "", f"Error: {reason}\n")


@pytest.mark.parametrize(
    "arguments", [["status"], ["doctor"], ["run", "true"], ["env"], ["alerts", "check"]], ids=" ".join
)
def test_no_home_folder(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home folder, as in some containers, is told to name one."""
    for name in ("HOME", "USERPROFILE", "HOMEDRIVE", "HOMEPATH", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "CODEX_TAP_DB"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as it is where the user database has no entry
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr.startswith("Error: you have no home folder; set HOME to an absolute path")


@pytest.mark.skipif(os.name != "posix", reason="named pipes are in the file system on POSIX alone")
def test_a_named_pipe_is_not_opened(tmp_path: Path) -> None:
    """Opening it would wait for another program for ever."""
    os.mkfifo(tmp_path / "pipe")
    result = invoke("status", "--db", tmp_path / "pipe")
    assert result.exit_code == 4
    assert result.stderr.endswith("/pipe is not a regular file; name another file with --db or CODEX_TAP_DB\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")  # noqa: PTH110 (a device)
@pytest.mark.parametrize(
    "arguments", [["status"], ["status", "--json"], ["accounts"], ["--help"], ["--version"], ["doctor"]], ids=" ".join
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_output_is_a_failure(two: Path, arguments: list[str], unbuffered: str) -> None:
    """What cannot be printed is one line on standard error and exit code 4; without that line, the same code."""
    command = [sys.executable, str(CLI), *arguments]
    environ = {**os.environ, "CODEX_TAP_DB": str(two), "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:  # noqa: PTH123 (a device)
        found = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environ, check=False, text=True)
        assert (found.returncode, found.stderr) == (4, "Error: the output cannot be written: No space left on device\n")
        silent = subprocess.run(command, stdout=full, stderr=full, env=environ, check=False)
        assert silent.returncode == 4


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")  # noqa: PTH110 (a device)
@pytest.mark.parametrize("request_", ["bash_source", "bash_complete"])
def test_a_completion_that_cannot_be_printed(request_: str) -> None:
    """A shell's start-up file that asks for it gets one line, not a traceback."""
    asked = {"_CODEX_TAP_COMPLETE": request_, "COMP_WORDS": "codex-tap h", "COMP_CWORD": "1"}
    with open("/dev/full", "w") as full:  # noqa: PTH123 (a device)
        command = [sys.executable, str(CLI)]
        found = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, env={**os.environ, **asked}, check=False, text=True
        )
    assert (found.returncode, found.stderr) == (4, "Error: the output cannot be written: No space left on device\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")  # noqa: PTH110 (a device)
@pytest.mark.parametrize("arguments", [["histroy"], ["usage", "--by", "colour"]], ids=" ".join)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_message_that_cannot_be_printed(two: Path, arguments: list[str], unbuffered: str) -> None:
    """The exit code is that of the failure."""
    environ = {**os.environ, "CODEX_TAP_DB": str(two), "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:  # noqa: PTH123 (a device)
        found = subprocess.run([sys.executable, str(CLI), *arguments], stderr=full, env=environ, check=False)
    assert found.returncode == 2


@pytest.mark.skipif(os.name != "posix", reason="the current folder cannot be deleted on Windows")
@pytest.mark.parametrize("arguments", [["run", "true"], ["doctor"], ["uninstall", "--yes"]], ids=" ".join)
def test_a_deleted_current_folder(tmp_path: Path, arguments: list[str]) -> None:
    """A relative path in a deleted folder is a failure in one line."""
    folder = tmp_path / "gone"
    folder.mkdir()
    script = f"rmdir {folder}; exec {sys.executable} {CLI} {arguments[0]} --db x.db {' '.join(arguments[1:])}"
    found = subprocess.run(["/bin/sh", "-c", script], cwd=folder, check=False, capture_output=True, text=True)
    assert "Traceback" not in found.stderr
    assert found.returncode in {1, 4}


def test_a_damaged_database_is_a_failure(two: Path) -> None:
    """Overwritten pages end in an error message, not in a traceback."""
    data = two.read_bytes()
    two.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    result = invoke("status")
    assert result.exit_code == 4
    assert result.stderr.startswith(f"Error: {two} is damaged (")


def test_a_misspelled_command_is_wrong_use() -> None:
    """The error suggests the command of a similar name."""
    result = invoke("histroy")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Did you mean 'history'?" in result.stderr


# Pipes, encodings, folders


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
def test_any_encoding(path: Path, arguments: list[str], encoding: str) -> None:
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


# All commands

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

    def traced(path: Path, *options: float) -> sqlite3.Connection:
        connection = open_reader(path, *options)
        connection.set_trace_callback(statements.append)
        return connection

    monkeypatch.setattr("store.database.open_reader", traced)
    invoke(*arguments, "--db", two)
    assert sum("account, token_key FROM tokens" in statement for statement in statements) == 1


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
