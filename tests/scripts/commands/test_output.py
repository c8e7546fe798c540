"""Printing of documents, and the exit codes of commands that print one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.text import Text

from scripts.commands.output import Table, emit, list_paths
from scripts.support.errors import NOTHING_YET
from tests.support.command_line import invoke

if TYPE_CHECKING:
    from scripts.render.export import Form

DOCUMENT = {"rows": [{"name": "work", "other": 1}]}
EMPTY = '{\n  "document_version": 1\n}\n'
ROWS = Table(DOCUMENT["rows"], ("name",))


@pytest.mark.parametrize(
    ("form", "stdout"),
    [
        (None, "styled\n"),
        ("json", json.dumps({"document_version": 1, **DOCUMENT}, indent=2) + "\n"),
        ("csv", "name\nwork\n"),
        ("ndjson", '{"name": "work", "other": 1}\n'),
    ],
)
def test_each_form(capsys: pytest.CaptureFixture[str], form: Form | None, stdout: str) -> None:
    """Text is rendered, JSON is the document, CSV and NDJSON are its rows."""
    assert emit(DOCUMENT, form, lambda _: Text("styled", "red"), is_known=True, table=ROWS) == 0
    assert capsys.readouterr() == (stdout, "")


@pytest.mark.parametrize(
    ("form", "table", "stdout", "stderr"),
    [
        (None, None, f"{NOTHING_YET}\n", ""),
        (None, Table([], ("name",)), f"{NOTHING_YET}\n", ""),
        ("json", None, EMPTY, ""),
        ("json", Table([], ("name",)), EMPTY, f"{NOTHING_YET}\n"),
        ("csv", Table([], ("name",)), "name\n", f"{NOTHING_YET}\n"),
        ("ndjson", Table([], ("name",)), "", f"{NOTHING_YET}\n"),
    ],
)
def test_nothing_known(
    capsys: pytest.CaptureFixture[str], form: Form | None, table: Table | None, stdout: str, stderr: str
) -> None:
    """The exit code is 3; programs get a valid output, and a message where a table is empty."""
    assert emit({}, form, lambda _: pytest.fail("rendered"), is_known=False, table=table) == 3
    assert capsys.readouterr() == (stdout, stderr)


def test_no_rows_are_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the text is empty, the message is on standard error."""
    assert emit({}, None, lambda _: iter([]), is_known=True, no_rows="No matching rows.") == 0
    assert capsys.readouterr() == ("", "No matching rows.\n")


def test_paths_are_sanitized(capsys: pytest.CaptureFixture[str]) -> None:
    """Each path has a line under the heading."""
    list_paths("Files:", [Path("one"), Path("\x1b[31mtwo")])
    assert capsys.readouterr().out == "Files:\n  one\n  �[31mtwo\n"


def test_ndjson_with_nothing_known(tmp_path: Path) -> None:
    """The exit code is 3, standard output is empty, and standard error has the message."""
    result = invoke("history", "--ndjson", "--db", tmp_path / "none.sqlite3")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "Nothing seen yet" in result.stderr
