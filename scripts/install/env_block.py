"""The marked block in Codex's own ``.env`` that leads every Codex of the user to the always-on service.

A line that sets one of the block's variables is turned into a comment where it stands, with a prefix that `restore`
takes off again; its value lives on in the service, as its upstream proxy or its trusted certificates. A comment that
begins with that prefix already gets a second one. The result is parsed as Codex parses it, and refused unless the
block's values come out and all others are unchanged.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, NamedTuple

from scripts.install.marked_block import has_block, put, take_out
from scripts.launch.codex_env_file import Statement, exempting_list, parse, quote, statements
from scripts.launch.environment import without_bypasses
from scripts.support.errors import FAILED, CommandError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

_COMMENT = "# Made by codex-tap install --always; codex-tap uninstall removes this block."
_SET_ASIDE = "#codex-tap: "
_VARIABLES = frozenset(("HTTPS_PROXY", "HTTP_PROXY", "SSL_CERT_FILE", "NO_PROXY"))
"""The variables that a block may set."""

_LINE_START = re.compile(r"^(?=.)", re.MULTILINE | re.DOTALL)
_PREFIX = re.compile(rf"^{re.escape(_SET_ASIDE)}", re.MULTILINE)


class Restored(NamedTuple):
    """The file without what codex-tap put in it; `content` is None if there was no file.

    `edited` are lines of the block that are not codex-tap's. One that sets a variable of the block is left as a
    comment, so that nothing leads Codex to a port that is closed.
    """

    content: bytes | None
    edited: tuple[bytes, ...] = ()


def variables(
    environ: Mapping[str, str],
    original: bytes | None,
    *,
    address: str,
    trusted: str,
    hosts: Sequence[str],
    plain_http: bool,
) -> dict[str, str]:
    """Return the variables of the block.

    Args:
        environ: the environment of the user's shell.
        original: the file without a block.
        address: ``host:port`` of the service.
        trusted: the file of certificates.
        hosts: the watched hosts.
        plain_http: lead plain HTTP to the service as well, for a gateway.
    """
    url = f"http://{address}"
    chosen = {"HTTPS_PROXY": url, "SSL_CERT_FILE": trusted}
    if plain_http:
        chosen["HTTP_PROXY"] = url
    exempting = exempting_list(environ, parse(_decode(original), environ), hosts)
    if exempting is not None:
        chosen["NO_PROXY"] = without_bypasses(exempting, hosts, learnable=True)
    return chosen


def block_lines(chosen: Mapping[str, str]) -> list[str]:
    """Return the lines of the block.

    Raises:
        CommandError: a value cannot stand in the file.
    """
    try:
        return [_COMMENT, *(f"{name}={quote(value)}" for name, value in chosen.items())]
    except ValueError as error:
        raise CommandError(f"Codex's .env cannot name {error}", FAILED) from error


def insert(original: bytes | None, chosen: Mapping[str, str], environ: Mapping[str, str], path: object) -> bytes:
    """Return the file with the block.

    Args:
        original: the file without a block; None if there is none.
        chosen: the variables of the block.
        environ: the environment, to which values of the file may refer.
        path: the file, for messages.

    Raises:
        CommandError: Codex would not read the block as it is meant.
    """
    text, lines = _decode(original), [line.encode("utf-8", "surrogateescape") for line in block_lines(chosen)]
    expected = {**parse(text, environ), **chosen}
    # Another line may refer to one that would be set aside.
    for base in (_set_aside(text, chosen), _set_aside(text, ())):
        changed = put(None if original is None else _encode(base), lines)
        if parse(_decode(changed), environ) == expected:
            return changed
    found = parse(_decode(changed), environ)
    if any(found.get(name) != value for name, value in chosen.items()):
        raise CommandError(
            f"{path} has a quote that is not closed, or another line that keeps Codex from reading what follows; "
            "correct the file, then repeat the command",
            FAILED,
        )
    raise CommandError(f"{path} has lines that depend on one that codex-tap would change; set them directly", FAILED)


def has_traces(content: bytes, ours: Collection[str] | None) -> bool:
    """Return True if codex-tap has changed the file and not restored it; ``ours`` is as for `restore`."""
    return has_block(content) or restore(content, ours).content != content


def restore(content: bytes, ours: Collection[str] | None) -> Restored:
    """Return the file as it was before `insert`.

    Args:
        content: the file.
        ours: the lines of the block that is on record. None: there is no record; every line in a block is taken for one
            of them, and a file without a block for the user's alone.
    """
    if ours is None and not has_block(content):
        return Restored(content)
    known = None if ours is None else [line.encode("utf-8", "surrogateescape") for line in ours]
    removed = take_out(content, known)
    if removed.content is None:
        return Restored(None, removed.edited)
    text = _decode(removed.content)
    edited = {_decode(line) for line in removed.edited}
    names = _names(ours or ())
    # The lines that were edited are found by their text: they stand where the block was.
    overriding = [
        each for each in statements(text) if each.name in names and text[each.start : each.end].strip() in edited
    ]
    text = _comment_out(text, overriding, "# ")
    return Restored(_encode(_take_back(text)), removed.edited)


def _names(lines: Collection[str]) -> set[str]:
    return set(parse("\n".join(lines), {}))


def _set_aside(text: str, names: Collection[str]) -> str:
    return _comment_out(
        text, [each for each in statements(text) if each.name in names or _has_prefix(text, each)], _SET_ASIDE
    )


def _take_back(text: str) -> str:
    """Return the text without the prefixes of `_set_aside`."""
    found = statements(text)
    end = found[-1].end if found else 0
    restored: list[str] = []
    for has_prefix, run in itertools.groupby(found, lambda each: _has_prefix(text, each)):
        lines = "".join(text[each.start : each.end] for each in run)
        restored.append(_bare(lines) if has_prefix else lines)
    return "".join(restored) + _PREFIX.sub("", text[end:])  # past the end, a quote is open


def _bare(run: str) -> str:
    """Return lines that begin with the prefix, without it where `_set_aside` put it."""
    bare = _PREFIX.sub("", run)
    found = statements(bare)
    if not found or found[-1].end < len(bare):  # the user has put lines between those of one statement
        return bare
    theirs = [each for each in found if each.name not in _VARIABLES and not _has_prefix(bare, each)]
    return _comment_out(bare, theirs, _SET_ASIDE)


def _has_prefix(text: str, statement: Statement) -> bool:
    return statement.is_comment and text.startswith(_SET_ASIDE, statement.start)


def _comment_out(text: str, found: Sequence[Statement], prefix: str) -> str:
    for each in reversed(found):
        # Not `splitlines`: only a line feed ends a line of the file.
        commented = _LINE_START.sub(prefix, text[each.start : each.end])
        text = text[: each.start] + commented + text[each.end :]
    return text


def _decode(content: bytes | None) -> str:
    return (content or b"").decode("utf-8", "surrogateescape")


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
