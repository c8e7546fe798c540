"""Expected failures of commands, and their exit codes."""

from __future__ import annotations

WRONG_USE, NOTHING_KNOWN, FAILED = 2, 3, 4
"""Exit codes; 1 means that a checked condition does not hold."""

RUN_ONCE = "Run Codex through the tap once:  codex-tap run codex"

NOTHING_YET = f"Nothing seen yet. {RUN_ONCE}"


class CommandError(Exception):
    """An expected failure: a message for people, an exit code for programs."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class LaunchError(CommandError):
    """An expected failure to start or to use a program; the message says what to do about it."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message, exit_code)
