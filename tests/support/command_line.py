"""The command line, run inside the process of the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.testing import CliRunner, Result

from scripts.cli import cli

if TYPE_CHECKING:
    from pathlib import Path


def invoke(*arguments: str | Path, answer: str | None = None) -> Result:
    """Run `codex-tap ARGUMENTS` with `answer` on stdin; unexpected exceptions reach the test.

    Commands run through the group alone: click remembers the help options of the context in which a command was first
    parsed, so that a command run by itself would have no `-h` afterwards.
    """
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(cli, words, input=answer, prog_name="codex-tap", catch_exceptions=False)
