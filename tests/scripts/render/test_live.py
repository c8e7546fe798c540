"""Output that is refreshed until Ctrl-C, as `codex-tap --watch` shows it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.support.errors import NOTHING_YET
from tests.support.command_line import CLI, WINDOWS, in_terminal, needs_terminal
from tests.support.databases import record
from tests.support.readings import reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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
