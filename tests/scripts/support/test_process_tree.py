"""The end of a program with all that it started."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scripts.support.process_tree import kill_tree

CHILD = "import time; print('child', flush=True); time.sleep(60)"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"


@pytest.mark.parametrize("program", [CHILD, PARENT], ids=["a program", "a program with a child"])
def test_nothing_remains(program: str) -> None:
    """A program ends with its children: the pipe that all of them hold is closed."""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "child\n"
        kill_tree(process)
        assert process.stdout.read() == ""
        assert process.wait(10) != 0
    kill_tree(process)
