"""TOML files that a person writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts.support import toml_file
from scripts.support.toml_file import TomlError, key_lines, line_of, nearest, read_toml

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.support.toml_file import Location

TEXT = """\
# a comment
top = 1
[models."gpt-6.1-sol"]
input = 1
[[rules]]
at = [80]
[[rules]]
  'at' = [90]
  deep.er = 1
"""


@pytest.mark.parametrize(
    ("at", "line"),
    [
        (("top",), 2),
        (("models", "gpt-6.1-sol"), 3),
        (("models", "gpt-6.1-sol", "input"), 4),
        (("models", "gpt-6.1-sol", "output"), 3),
        (("rules", 0, "at"), 6),
        (("rules", 1, "at"), 8),
        (("rules", 1, "deep", "er"), 9),
        (("rules",), 5),
        (("other",), None),
        ((), None),
    ],
)
def test_the_line_of_a_key(at: Location, line: int | None) -> None:
    """Of a key that is not there it is that of the table around it."""
    assert line_of(key_lines(TEXT), at) == line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "is not in UTF-8; save it in that encoding"),
        (b"x = ", ": invalid TOML: Invalid value"),
        (b"x = " + b"9" * 5_000, ": invalid TOML: a number is too long"),
        (b"x = " + b"[" * 100_000, ": invalid TOML: too deeply nested"),
        (b"#" * 1_000_001, "has more than 1,000,000 bytes; is it the right file?"),
    ],
)
def test_a_file_that_is_not_toml(tmp_path: Path, content: bytes, message: str) -> None:
    """The error says why."""
    path = tmp_path / "file.toml"
    path.write_bytes(content)
    with pytest.raises(TomlError) as caught:
        read_toml(path)
    assert message in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file is for the caller to explain."""
    with pytest.raises(TomlError, match="cannot be read"):
        read_toml(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_toml(tmp_path / "missing.toml")


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    """As editors on Windows write it."""
    path = tmp_path / "file.toml"
    path.write_bytes("top = 1\r\n".encode("utf-8-sig"))
    found = read_toml(path)
    assert found.contents == {"top": 1}
    assert key_lines(found.text) == {("top",): 1}


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("imput", ["input", "output"], "did you mean input?"),
        ("x" * toml_file.MAX_BYTES, ["input", "output"], "known: input, output"),
        ("x", [], "none are defined"),
    ],
)
def test_what_may_be_meant(word: str, known: list[str], hint: str) -> None:
    """The nearest word, else all of them."""
    assert nearest(word, known) == hint
