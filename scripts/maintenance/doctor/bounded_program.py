"""The output of a program that is given a limited time, with all that it starts."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from scripts.support.process_tree import kill_tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MAX_BYTES = 65_536


class ProgramError(Exception):
    """A program cannot be started, takes too long, or ends with a failure; the message says which.

    ``exit_code`` is that of a failure, and None in the other cases.
    """

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def program_output(command: Sequence[str], environ: Mapping[str, str], seconds: float) -> str:
    """Return what a program prints to stdout.

    Raises:
        ProgramError: it fails, or takes longer than ``seconds``.
    """
    # A file, because a pipe stays open as long as any process that the program started.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                list(command),
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.DEVNULL,
                start_new_session=sys.platform != "win32",  # it is killed with all that it starts
            )
        except (OSError, ValueError) as error:
            raise ProgramError(getattr(error, "strerror", None) or "it cannot be started") from error
        code = _wait(process, seconds)
        if code != 0:
            raise ProgramError(f"no response in {seconds:.0f} s" if code is None else _exit_text(code), code)
        output.seek(0)
        return output.read(_MAX_BYTES).decode("utf-8", "replace")


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    """Return the exit code, or None if the program took too long and was killed."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        kill_tree(process)
        process.wait()
        return None


def _exit_text(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
