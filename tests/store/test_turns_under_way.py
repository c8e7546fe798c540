"""The files of turns under way."""

from __future__ import annotations

import json
import os
import re
import stat
from typing import TYPE_CHECKING, Any

import pytest

from store.files import DATABASE_SUFFIXES, turns_path
from store.turns_under_way import STALE_SECONDS, TurnUnderWay, delete_stale, load_turns, write_turns
from tests.support.factories import NOON

if TYPE_CHECKING:
    from pathlib import Path

TURN = TurnUnderWay("acct-a", "user-a", "t-1", None, "gpt-6.1-sol", "review", NOON - 30, NOON - 29)
LATER = TURN._replace(thread="t-2", started_at=NOON - 10, first_byte_at=None)


def test_turns_of_all_proxies_are_read(path: Path) -> None:
    """The oldest comes first; a proxy without turns has no file."""
    write_turns(path, 11, [LATER], NOON)
    write_turns(path, 12, [TURN], NOON)
    assert load_turns(path, NOON + 1) == [TURN, LATER]
    write_turns(path, 12, [], NOON + 2)
    assert load_turns(path, NOON + 3) == [LATER]
    write_turns(path, 12, [], NOON + 2)


def test_the_file_is_private_and_uninstall_knows_it(path: Path) -> None:
    """Its name is one of those beside the database."""
    write_turns(path, 11, [TURN], NOON)
    file = turns_path(path, 11)
    assert re.fullmatch(DATABASE_SUFFIXES, file.name.removeprefix(path.name))
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [file]


@pytest.mark.parametrize("seconds", [STALE_SECONDS + 1, -STALE_SECONDS - 1])
def test_a_killed_proxy_has_no_turns(path: Path, seconds: float) -> None:
    """A file that is not written any more counts as none; so does one from another time."""
    write_turns(path, 11, [TURN], NOON)
    assert load_turns(path, NOON + seconds) == []
    os.utime(turns_path(path, 11), (NOON, NOON))
    delete_stale(path, NOON + STALE_SECONDS - 1)
    assert turns_path(path, 11).exists()
    delete_stale(path, NOON + STALE_SECONDS + 1)
    assert not turns_path(path, 11).exists()


@pytest.mark.parametrize(
    "turn",
    [
        {**TURN._asdict(), "thread": 7},
        {**TURN._asdict(), "started_at": None},
        {**TURN._asdict(), "first_byte_at": "x"},
        {**TURN._asdict(), "model": "m" * 1_000},
        {"started_at": NOON},
        [],
        None,
    ],
    ids=["a number", "no start", "a text", "a long text", "no account", "a list", "null"],
)
def test_what_is_no_turn_is_left_out(path: Path, turn: Any) -> None:
    """A file may be damaged."""
    turns_path(path, 11).write_text(json.dumps({"version": 1, "written_at": NOON, "turns": [turn]}))
    assert load_turns(path, NOON) == []


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "7", '{"version": 2, "written_at": 1795262400, "turns": []}', "[" * 100_000],
    ids=["empty", "cut off", "a list", "null", "a number", "a later version", "deep"],
)
def test_what_cannot_be_read_is_left_out(path: Path, content: str) -> None:
    """The other files count all the same."""
    turns_path(path, 11).write_text(content)
    write_turns(path, 12, [TURN], NOON)
    assert load_turns(path, NOON) == [TURN]


def test_a_turn_knows_its_account() -> None:
    """A login that names no user has an account as well."""
    assert TURN.account == "acct-a/user-a"
    assert TURN._replace(user_id="").account == "acct-a"
