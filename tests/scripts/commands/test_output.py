"""Printing of documents, and the exit codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.command_line import invoke

if TYPE_CHECKING:
    from pathlib import Path


def test_ndjson_with_nothing_known(tmp_path: Path) -> None:
    """The exit code is 3, standard output is empty, and standard error has the message."""
    result = invoke("history", "--ndjson", "--db", tmp_path / "none.sqlite3")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "Nothing seen yet" in result.stderr
