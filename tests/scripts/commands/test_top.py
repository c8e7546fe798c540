"""`codex-tap top` without a screen; the live one is tested in `tests/scripts/top`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.support.errors import NOTHING_YET
from tests.support.command_line import invoke

if TYPE_CHECKING:
    from pathlib import Path


def test_accounts_are_chosen_by_prefixes(two: Path) -> None:
    """The others are left out."""
    result = invoke("top", "ali", "--db", two)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "alice@example.com" in result.stdout
    assert "bob@example.com" not in result.stdout


def test_without_data_in_a_pipe(path: Path) -> None:
    """The exit code is 3, and the message is that of the other commands; 4 where the database cannot be read."""
    result = invoke("top", "--db", path)
    assert (result.exit_code, result.stdout) == (3, f"{NOTHING_YET}\n")
    path.write_text("a file of somebody else\n" * 100)
    result = invoke("top", "--db", path)
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr.startswith(f"Error: {path} is not a SQLite database")


def test_an_unknown_account_is_wrong_use(two: Path) -> None:
    """As with the other commands."""
    result = invoke("top", "carol", "--db", two)
    assert (result.exit_code, result.stdout) == (2, "")
