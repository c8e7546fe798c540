"""The one exception of the launcher."""

from __future__ import annotations


class LaunchError(Exception):
    """Something expected went wrong; the message says what it was and what to do about it."""

    def __init__(self, message: str, exit_code: int = 4) -> None:
        """Take the message and the exit code of the command line (4: it could not be done)."""
        super().__init__(message)
        self.exit_code = exit_code


WRONG_USE, NOTHING_KNOWN, FAILED = 2, 3, 4
"""Exit codes; 1 is a condition that was asked for and does not hold."""

NOTHING_YET = "Nothing seen yet. Run Codex through the tap once:  codex-tap run codex"


class CommandError(Exception):
    """An expected failure: one line for people, an exit code for programs."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
