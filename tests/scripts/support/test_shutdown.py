"""Graceful shutdown, and the end of the parent process."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]

ON_SIGTERM = """
import time
from scripts.support.shutdown import exit_on_sigterm
exit_on_sigterm()
try:
    print("ready", flush=True)
    time.sleep(60)
finally:
    print("cleaned up", flush=True)
"""

ON_EOF = """
import threading
from scripts.support.shutdown import on_stdin_eof
ended = threading.Event()
on_stdin_eof(ended.set)
print("ready", flush=True)
print(ended.wait(60), flush=True)
"""


def program(source: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", source],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM ends a program at once there")
def test_sigterm_leaves_through_finally() -> None:
    """The exit code is that of a shell for SIGTERM."""
    with program(ON_SIGTERM) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "cleaned up\n"
        assert process.wait(30) == 128 + signal.SIGTERM


def test_the_end_of_stdin_is_reported() -> None:
    """The callback runs in its own thread, whatever was written to stdin before."""
    with program(ON_EOF) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("still here\n" * 1_000)
        process.stdin.flush()
        process.stdin.close()
        assert process.stdout.read() == "True\n"
        assert process.wait(30) == 0


def test_a_program_can_end_while_its_stdin_is_open() -> None:
    """The thread that waits for the end of stdin does not abort the exit of the interpreter."""
    with program("from scripts.support.shutdown import on_stdin_eof\non_stdin_eof(print)\n") as process:
        assert process.wait(30) == 0
