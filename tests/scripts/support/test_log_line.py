"""The log of a program that runs until it is stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.support.log_line import log

if TYPE_CHECKING:
    import pytest


def test_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A line goes to stderr, and no character of it moves the cursor of a terminal."""
    log("sent to \x1b[2J\nelsewhere")
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("codex-tap: sent to ")
    assert "\x1b" not in output.err
    assert output.err.count("\n") == 1
