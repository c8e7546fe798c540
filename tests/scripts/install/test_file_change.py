"""Planned changes of start-up files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts.install.file_change import plan_block, plan_removal

if TYPE_CHECKING:
    from pathlib import Path

LINES = ["# ours", "PATH=/x"]


@pytest.mark.parametrize("content", [None, b"", b"a\n", b"a"], ids=["none", "empty", "lines", "no line end"])
def test_a_block_comes_and_goes(tmp_path: Path, content: bytes | None) -> None:
    """Planned again, nothing is to be done; planned with other lines, there is still one block."""
    path = tmp_path / "rc"
    if content is not None:
        path.write_bytes(content)
    first = plan_block(path, LINES, None)
    assert first.is_needed
    first.file.replace(first.after)
    assert not plan_block(path, LINES, LINES).is_needed

    other = plan_block(path, ["# other"], LINES)
    assert other.after is not None
    assert (other.after.count(b">>>"), b"# ours" in other.after) == (2, False)

    removal = plan_removal(path, LINES)
    assert removal.is_needed
    removal.file.replace(removal.after)
    assert (path.read_bytes() if path.exists() else None) == content
    assert not plan_removal(path, LINES).is_needed


def test_it_moves_behind_lines_that_were_appended(tmp_path: Path) -> None:
    """The last line that changes PATH decides, such as one of a version manager."""
    path = tmp_path / "rc"
    first = plan_block(path, LINES, None)
    first.file.replace(first.after)
    with path.open("ab") as file:
        file.write(b"PATH=/nvm:$PATH\n")
    again = plan_block(path, LINES, LINES)
    assert again.after is not None
    assert again.after.startswith(b"PATH=/nvm:$PATH\n")


def test_edited_lines_are_reported(tmp_path: Path) -> None:
    """They stay, above the new block."""
    path = tmp_path / "rc"
    first = plan_block(path, LINES, None)
    assert first.after is not None
    path.write_bytes(first.after.replace(b"PATH=/x", b"PATH=/x\nmine"))
    assert plan_removal(path, LINES)[1:] == (b"mine\n", (b"mine",))
    again = plan_block(path, LINES, LINES)
    assert again.edited == (b"mine",)
    assert again.after is not None
    assert again.after.startswith(b"mine\n")
