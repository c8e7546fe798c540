"""TOML files that a person writes: reading one, and the line of a key in it for an error message."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from store.files import read_regular

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

Location = tuple[str | int, ...]
"""The keys, and numbers of tables, that lead to a place in a file."""

MAX_BYTES = 1_000_000

_SHOWN = 60
"""Characters of a word that are compared with those that may be meant."""


class TomlError(Exception):
    """The file cannot be read as TOML. The message is one line that names the file."""


class TomlFile(NamedTuple):
    """A file's text, and the same as TOML."""

    text: str
    contents: dict[str, object]


def read_toml(path: Path) -> TomlFile:
    """Read a TOML file of at most `MAX_BYTES`.

    Raises:
        FileNotFoundError: The file does not exist.
        TomlError: It cannot be read, is too large, or is not TOML.
    """
    text = _read(path)
    try:
        return TomlFile(text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise TomlError(f"{path}: invalid TOML: {_without_urls(str(error))}") from None
    except RecursionError:
        raise TomlError(f"{path}: invalid TOML: too deeply nested") from None
    except ValueError:  # of Python's int(): more digits than it reads
        raise TomlError(f"{path}: invalid TOML: a number is too long") from None


def _read(path: Path) -> str:
    try:
        content = read_regular(path, MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise TomlError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise TomlError(f"{path} has more than {MAX_BYTES:,} bytes; is it the right file?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise TomlError(f"{path} is not in UTF-8; save it in that encoding") from None


def _without_urls(message: str) -> str:
    """Return the parser's message without the keys that it quotes, if a URL, which may be secret, is among them."""
    if "://" not in message:
        return message
    beginning, place = re.split(r"[('\"]", message, maxsplit=1)[0], message.rpartition(" (at ")
    return f"{beginning}…{place[1]}{place[2]}"


def nearest(word: str, known: Sequence[str]) -> str:
    """Return the second half of an error about an unknown word: which known word may be meant."""
    if not known:
        return "none are defined"
    close = difflib.get_close_matches(word[:_SHOWN], known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"


# The lines of keys. The TOML parser of Python has none, so lines are found by how people write keys: at their starts.

_PART = r"""(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)"""
_NAME = rf"({_PART}(?:\s*\.\s*{_PART})*)"
_HEADER = re.compile(rf"(\[\[?)\s*{_NAME}\s*\]\]?\s*(#.*)?")
_KEY = re.compile(rf"{_NAME}\s*=")


def key_lines(text: str) -> dict[Location, int]:
    """Return the line of each key and table of a file, the first one of equal ones."""
    return dict(_places(text))


def line_of(lines: Mapping[Location, int], at: Location) -> int | None:
    """Return the line of a key, else of the table around it, or None if neither was found."""
    return next((lines[at[:length]] for length in range(len(at), 0, -1) if at[:length] in lines), None)


def _places(text: str) -> Iterator[tuple[Location, int]]:
    """Yield the line of each key and table; the last one comes first, so that a dict has the first of equal ones."""
    found: list[tuple[Location, int]] = []
    table: Location = ()
    count: Counter[Location] = Counter()
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if header := _HEADER.fullmatch(line):
            table = name = _parts(header[2])
            if header[1] == "[[":
                found.append((name, number))
                table = (*name, count[name])
                count[name] += 1
            found.append((table, number))
        elif key := _KEY.match(line):
            found.append(((*table, *_parts(key[1])), number))
    yield from reversed(found)


def _parts(name: str) -> Location:
    return tuple(part.strip("\"'") for part in re.findall(_PART, name))
