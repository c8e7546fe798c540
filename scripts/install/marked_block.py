"""A marked block of lines in a file of the user's: put in at the end, and taken out again byte for byte.

The block itself says what it takes to restore the file: whether codex-tap created the file, and whether the line before
the block had no line end. Everything is bytes, because the file may have any encoding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

BEGIN = b"# >>> codex-tap >>>"
END = b"# <<< codex-tap <<<"

_CREATED = b"# This file was created by codex-tap."
_NO_LINE_END = b"# The line before this block had no line end."
_NOTES = (_CREATED, _NO_LINE_END)


class Removed(NamedTuple):
    """A file without the block; `content` is None if the file did not exist before and nothing else is in it.

    `edited` are lines that were in the block and are not codex-tap's. They stay where they were.
    """

    content: bytes | None
    edited: tuple[bytes, ...] = ()


def has_block(content: bytes) -> bool:
    """Return True if a block begins in the file."""
    return any(line.strip() == BEGIN for line in content.splitlines())


def put(content: bytes | None, lines: Sequence[bytes]) -> bytes:
    """Return the file with a block of these lines at its end.

    Args:
        content: the file, which has no block; None if there is no file.
        lines: the lines of the block, without line ends.
    """
    before = content or b""
    end = b"\r\n" if before.partition(b"\n")[0].endswith(b"\r") else b"\n"
    is_open = bool(before) and not before.endswith(b"\n")
    notes = [note for note, holds in ((_CREATED, content is None), (_NO_LINE_END, is_open)) if holds]
    block = b"".join(line + end for line in (BEGIN, *notes, *lines, END))
    return before + (end if is_open else b"") + block


def take_out(content: bytes, ours: Collection[bytes] | None = None) -> Removed:
    """Return the file as it was before `put`.

    Args:
        content: the file.
        ours: the lines that the block was made of; None takes every line in it for one of them.
    """
    kept: list[bytes] = []
    edited: list[bytes] = []
    notes: list[bytes] = []
    last_end, line_end = 0, b"\n"  # how many lines are kept before the end of the last block, and its line ends
    lines = content.splitlines(keepends=True)
    at = 0
    while at < len(lines):
        line, at = lines[at], at + 1
        if line.strip() != BEGIN:
            kept.append(line)
            continue
        line_end = b"\r\n" if line.endswith(b"\r\n") else b"\n"
        inside, lines = _split_at_end(lines[at:], ours)
        at = 0
        notes += [each.strip() for each in inside if each.strip() in _NOTES]
        foreign = [each for each in inside if not _is_ours(each, ours)]
        edited += [each.strip() for each in foreign]
        kept += foreign
        last_end = len(kept)
    if _NO_LINE_END in notes and not edited and 0 < last_end == len(kept):
        kept[-1] = kept[-1].removesuffix(line_end)
    rest = b"".join(kept)
    return Removed(None if not rest and _CREATED in notes else rest, tuple(edited))


def _split_at_end(lines: list[bytes], ours: Collection[bytes] | None) -> tuple[list[bytes], list[bytes]]:
    """Return the lines in the block, and those after it; a block without an end has only the lines that are ours."""
    for number, line in enumerate(lines):
        if line.strip() == BEGIN:
            break
        if line.strip() == END:
            return lines[:number], lines[number + 1 :]
    known = set(ours or ())
    number = next((at for at, line in enumerate(lines) if not _is_ours(line, known)), len(lines))
    return lines[:number], lines[number:]


def _is_ours(line: bytes, ours: Collection[bytes] | None) -> bool:
    return ours is None or line.strip() in _NOTES or line.rstrip(b"\r\n") in ours
