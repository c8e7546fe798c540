"""The lock of a program that runs once for each database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts.support.errors import CommandError
from scripts.support.exclusive import AlreadyRunningError, exclusive_lock

if TYPE_CHECKING:
    from pathlib import Path


def test_one_at_a_time(tmp_path: Path) -> None:
    """A second one is refused until the first one ends."""
    lock = tmp_path / "a.lock"
    for _ in range(2):
        with (
            exclusive_lock(lock, "it runs"),
            pytest.raises(AlreadyRunningError, match=r"^it runs$"),
            exclusive_lock(lock, "it runs"),
        ):
            pass


def test_without_a_place_for_the_file(tmp_path: Path) -> None:
    """The exit code is that of a failure."""
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(CommandError, match="cannot be created: ") as caught,
        exclusive_lock(tmp_path / "file" / "x", ""),
    ):
        pass
    assert caught.value.exit_code == 4
