"""Programs that are given a limited time."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.maintenance.doctor.bounded_program import ProgramError, program_output
from tests.support.harness import processes_with, wait_until

if TYPE_CHECKING:
    from pathlib import Path

CHILD = "import os, time; os.fork() or time.sleep(600); time.sleep(600)"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_the_output_is_returned() -> None:
    """It is what the program prints to stdout."""
    assert program_output(python("import sys; print('ü'); print('no', file=sys.stderr)"), os.environ, 30).strip() == "ü"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (python("raise SystemExit(3)"), "exit code 3"),
        (["/no/such/program"], "No such file"),
        (["a\0b"], "cannot be started"),
        (python("import time; time.sleep(600)"), "no response in 0 s"),
    ],
    ids=["a failure", "a missing program", "an invalid name", "a program that hangs"],
)
def test_a_failure_has_a_reason(command: list[str], reason: str) -> None:
    """The text of the program itself is left out."""
    with pytest.raises(ProgramError, match=reason):
        program_output(command, os.environ, 0.3 if "sleep" in command[-1] else 30)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the processes are found in /proc")
def test_all_that_it_has_started_is_killed(tmp_path: Path) -> None:
    """A launcher's child would hold a pipe open, and would stay."""
    marker = f"BOUNDED={tmp_path}"
    with pytest.raises(ProgramError):
        program_output(python(CHILD), {**os.environ, "BOUNDED": str(tmp_path)}, 0.5)
    wait_until(lambda: not processes_with(marker), lambda: str(processes_with(marker)))
