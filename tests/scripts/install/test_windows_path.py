"""The user's PATH of Windows."""

from __future__ import annotations

import pytest

from scripts.install.windows_path import put_first, take_out

FOLDER = r"C:\Users\u\AppData\Local\codex-tap\bin"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(None, FOLDER, id="no PATH"),
        pytest.param("", f"{FOLDER};", id="empty"),
        pytest.param(r"%USERPROFILE%\bin;C:\x", rf"{FOLDER};%USERPROFILE%\bin;C:\x", id="names stay as they are"),
        pytest.param(r"C:\x;", rf"{FOLDER};C:\x;", id="empty entry at the end"),
    ],
)
def test_the_folder_comes_first_and_goes_again(before: str | None, after: str) -> None:
    """The rest of the text is unchanged."""
    assert put_first(before, FOLDER) == after
    assert put_first(after, FOLDER) == after
    assert take_out(after, FOLDER) == before


def test_the_folder_is_found_in_another_spelling() -> None:
    """Windows ignores case, and some programs append a backslash."""
    assert take_out(rf"C:\x;{FOLDER.upper()}" + "\\", FOLDER) == r"C:\x"
    assert put_first(rf"C:\x;{FOLDER.lower()}", FOLDER) == rf"{FOLDER};C:\x"
