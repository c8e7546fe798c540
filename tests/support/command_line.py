"""The command line, run inside the process of the tests, as a program, or in a pseudo terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from scripts.cli import cli

CLI = Path(__file__).resolve().parents[2] / "scripts" / "cli.py"
WINDOWS = sys.platform == "win32"

needs_terminal = pytest.mark.skipif(WINDOWS, reason="no pseudo terminals there")


def invoke(*arguments: str | Path, answer: str | None = None) -> Result:
    """Run `codex-tap ARGUMENTS` with `answer` on stdin; unexpected exceptions reach the test.

    Commands run through the group alone: click remembers the help options of the context in which a command was first
    parsed, so that a command run by itself would have no `-h` afterwards.
    """
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(cli, words, input=answer, prog_name="codex-tap", catch_exceptions=False)


def started(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command line as a program."""
    command = [sys.executable, str(CLI), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=False, **options)


def in_terminal(*arguments: str, ctrl_c_at: str = "", **environment: str) -> tuple[int, str]:
    """Run a command line in a pseudo terminal of 80 columns; return its exit code and all its output.

    Where `ctrl_c_at` is given, Ctrl-C is typed as soon as the output has that text.
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
        pass  # on Linux: the other end is closed
    finally:
        os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), written.decode()
