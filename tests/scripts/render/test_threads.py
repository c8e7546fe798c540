"""The text of `threads`."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.render.threads import render_threads
from store.queries.accounts import Account
from store.queries.threads import Thread
from tests.support.factories import NOON
from tests.support.rendering import UTC, lines

ALICE = Account(1, "acct-a/user-a", None, "alice@example.com", "plus", (), NOON, NOON, label="alice@example.com")
BOB = Account(2, "acct-b/user-b", "bob", None, None, (), NOON, NOON, label="bob")

NEW = Thread("0199aaaa-0000-7000-8000-000000000001", None, (ALICE, BOB), 12, NOON - 9_000, NOON - 3_600)
OLD = Thread("0198bbbb-0000-7000-8000-000000000002", "docs", (BOB,), 3, NOON - 200_000, NOON - 100_000)


def test_a_terminal_gets_short_ids() -> None:
    """A thread without a name has an empty cell."""
    assert render_threads([NEW, OLD], NOON, UTC).plain == lines("""
        Name  Thread    Turns  Last seen     Account
              0199aaaa     12  11:00         alice@example.com, bob
        docs  0198bbbb      3  20 Nov 08:13  bob
    """)


def test_a_pipe_gets_whole_ids() -> None:
    """Without a named thread, the column of names is left out."""
    assert render_threads([NEW], NOON, UTC._replace(unlimited=True)).plain == lines("""
        Thread                                Turns  Last seen  Account
        0199aaaa-0000-7000-8000-000000000001     12  11:00      alice@example.com, bob
    """)


@pytest.mark.parametrize(
    ("options", "number", "last"),
    [
        ({}, 20, "… and 1,057 more (--all)"),
        ({"all_rows": True}, 1_077, None),
        ({"profile": UTC._replace(unlimited=True)}, 1_077, None),
    ],
    ids=["a terminal", "all", "a pipe"],
)
def test_a_long_list(options: dict[str, Any], number: int, last: str | None) -> None:
    """A terminal gets the newest, and the number of the others."""
    found = [NEW._replace(thread=f"{index:08x}-0000") for index in range(1_077)]
    _, *rows = render_threads(found, NOON, **{"profile": UTC, **options}).plain.splitlines()
    assert rows[number:] == ([last] if last else [])
    assert rows[number - 1].startswith(f"{number - 1:08x}")


def test_ids_and_names_are_sanitized() -> None:
    """Escape sequences from the wire do not reach the terminal."""
    hostile = "\x1b[31mred"
    account = ALICE._replace(email=hostile)
    thread = NEW._replace(thread=hostile, name=hostile, accounts=(account,))
    for profile in (UTC, UTC._replace(unlimited=True)):
        assert "\x1b" not in render_threads([thread], NOON, profile).plain
