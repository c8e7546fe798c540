"""`codex-tap run`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.support.command_line import invoke, started


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "Missing argument 'COMMAND...'"),
        (["--"], "Missing argument 'COMMAND...'"),
        (["--nonsense", "codex"], "No such option '--nonsense'"),
        (["--ca", "x.pem", "codex"], "--ca requires --proxy"),
        (["--proxy", "127.0.0.1:9", "--host", "x", "codex"], "--host cannot be combined with --proxy"),
        (["--proxy", "nowhere", sys.executable], "nowhere is not a proxy's address"),
    ],
)
def test_wrong_use(arguments: list[str], error: str) -> None:
    """The exit code is 2, and the error names the problem."""
    result = invoke("run", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert error in result.stderr


def test_a_command_that_does_not_exist() -> None:
    """The exit code is 127, and the error has the command that installs Codex."""
    result = started("run", "codex", env={**os.environ, "PATH": str(Path(__file__).parent)})
    assert (result.returncode, result.stdout) == (127, "")
    assert result.stderr == "Error: codex was not found; get it with: npm install -g @openai/codex\n"


def test_arguments_after_the_command_are_passed_to_it(path: Path) -> None:
    """The command gets options that codex-tap has as well, and its exit code is returned."""
    program = "import sys; print(sys.argv[1:]); sys.exit(7)"
    words = ["exec", "--json", "--db", "x", "--", "-h"]
    result = started("run", "--db", path, sys.executable, "-c", program, *words)
    assert (result.returncode, result.stderr) == (7, "")
    assert result.stdout == f"{words}\n"
    assert path.exists()
