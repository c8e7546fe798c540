from __future__ import annotations

import random
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.fuzz.seeds import LONGEST, mutated, seeds
from tests.fuzz.targets import DICTIONARY, TARGETS
from tests.support.harness import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

TRIED = 300


@pytest.mark.parametrize("target", TARGETS)
def test_seeds(target: str) -> None:
    """What once broke a parser, and what real traffic looks like, is read as promised."""
    known = seeds(target)
    assert any(known)
    for data in known:
        TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
def test_some_changes(target: str) -> None:
    """So is what a few hundred random changes make of it, the same in each run."""
    choice, known = random.Random(1), seeds(target)  # noqa: S311 (not for secrets)
    for _ in range(TRIED):
        data = mutated(choice, known, DICTIONARY)
        assert len(data) <= LONGEST
        TARGETS[target](data)


def test_the_program(tmp_path: Path) -> None:
    """It says what it tried, and keeps nothing where nothing failed."""
    command = [sys.executable, "-m", "tests.fuzz", "--minutes", "0.005", "--engine", "random", "--target", "sse"]
    environment = {"PYTHONPATH": str(REPOSITORY), "PATH": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True, text=True)
    assert done.stdout.startswith("sse: ")
    assert done.stdout.endswith(" inputs at random, none failed\n")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_target() -> None:
    """The targets that there are are named."""
    command = [sys.executable, "-m", "tests.fuzz", "--target", "nothing"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False, text=True)
    assert done.returncode == 2
    assert "no target nothing; there are: headers, " in done.stderr
