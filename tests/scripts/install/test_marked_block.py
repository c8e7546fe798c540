"""A marked block, put into a file and taken out again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.install.marked_block import BEGIN, END, has_block, put, take_out

LINES = [b"# ours", b"A=1"]
LINE = st.text("ab =\"'#\\$\ufeff", max_size=8).map(str.encode)
FILES = st.none() | st.builds(
    lambda lines, end, last: end.join(lines) + last,
    st.lists(LINE, max_size=4),
    st.sampled_from([b"\n", b"\r\n"]),
    st.sampled_from([b"", b"\n", b"\r\n"]),
)


@given(FILES)
def test_the_file_is_restored_byte_for_byte(content: bytes | None) -> None:
    """Whatever it ends with, and also if there was none; the lines before the block are unchanged in it."""
    changed = put(content, LINES)
    assert has_block(changed)
    assert changed.startswith(content or b"")
    assert take_out(changed, LINES) == (content, ())
    assert take_out(changed) == (content, ())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"a\n", b"a\n%s\n# ours\nA=1\n%s\n" % (BEGIN, END), id="lines"),
        pytest.param(b"a\r\n", b"a\r\n%s\r\n# ours\r\nA=1\r\n%s\r\n" % (BEGIN, END), id="line ends of Windows"),
        pytest.param(b"", b"%s\n# ours\nA=1\n%s\n" % (BEGIN, END), id="empty"),
    ],
)
def test_the_block_is_at_the_end(content: bytes, expected: bytes) -> None:
    """It has the line ends of the file."""
    assert put(content, LINES) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(b"x", b"y\n", b"x\ny\n", id="the line end stays for what follows"),
        pytest.param(None, b"y\n", b"y\n", id="a file of ours that got other lines stays"),
        pytest.param(b"x\n", b"y", b"x\ny", id="a last line without an end"),
    ],
)
def test_lines_after_the_block_stay(before: bytes | None, after: bytes, expected: bytes) -> None:
    """What the user appended later is kept."""
    assert take_out(put(before, LINES) + after, LINES).content == expected


def test_lines_of_the_users_in_the_block_stay() -> None:
    """They are reported, and stay where they were."""
    changed = put(b"x\n", LINES).replace(b"A=1\n", b"A=2\nA=1\nB=3\n")
    assert take_out(changed, LINES) == (b"x\nA=2\nB=3\n", (b"A=2", b"B=3"))


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        pytest.param(LINES, b"x\nmine\n", id="ours are known"),
        pytest.param(None, b"x\n# ours\nA=1\nmine\n", id="ours are unknown"),
    ],
)
def test_without_an_end_only_our_lines_go(ours: list[bytes] | None, expected: bytes) -> None:
    """A deleted end line does not take the rest of the file with it."""
    changed = put(b"x\n", LINES).replace(END + b"\n", b"mine\n")
    assert take_out(changed, ours).content == expected


def test_two_blocks_both_go() -> None:
    """A copied block is a block."""
    changed = put(put(b"x\n", LINES) + b"y\n", LINES)
    assert take_out(changed, LINES) == (b"x\ny\n", ())
    assert not has_block(b"x\n")
