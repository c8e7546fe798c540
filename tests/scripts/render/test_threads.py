"""The text of `threads`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from scripts.render.threads import render_threads
from tests.support.factories import NOON
from tests.support.rendering import UTC, lines

if TYPE_CHECKING:
    from scripts.render.console import TerminalProfile
    from store.documents import ThreadEntry

ACCOUNTS = {"acct-a/user-a": "alice@example.com", "acct-b/user-b": "bob"}
FIRST, SECOND = "0199aaaa-0000-7000-8000-000000000001", "0198bbbb-0000-7000-8000-000000000002"


def entry(thread: str = FIRST, *tree: dict[str, Any], **fields: Any) -> ThreadEntry:
    """A thread of Alice's with 12 turns an hour ago; `tree` has what differs in the threads below it."""
    usual: dict[str, Any] = {
        "thread": thread,
        "is_session": False,
        "name": None,
        "accounts": ["acct-a/user-a"],
        "imported_turns": 0,
        "turns": 12,
        "input_tokens": 1_200_000,
        "cached_tokens": 1_000_000,
        "output_tokens": 34_000,
        "points": 3.25,
        "first_seen_at": NOON - 9_000,
        "last_seen_at": NOON - 3_600,
        "title": None,
        "folder": None,
        "project": None,
        "kind": None,
        "parent": None,
        "depth": 0,
    }
    return cast("ThreadEntry", {**usual, **fields, "tree": [{**usual, **each} for each in tree]})


TITLED = entry(title="Fix the flaky checkout tests", folder="/work/shop", project="shop")
OLD = entry(SECOND, name="docs", last_seen_at=NOON - 100_000, turns=3, project="handbook", folder="/srv/handbook")
NARROW, WIDE, PIPE = UTC._replace(width=60), UTC._replace(width=140), UTC._replace(unlimited=True)


def shown(*found: ThreadEntry, profile: TerminalProfile = UTC, **options: Any) -> str:
    return render_threads(found, ACCOUNTS, NOON, profile, **options).plain


def test_a_terminal_of_80_columns() -> None:
    assert shown(TITLED, OLD) == lines("""
        Thread    Title                    Project   Turns  Tokens  Points  Last used
        0199aaaa  Fix the flaky checkout…  shop         12  1.23 M     3.2  11:00
        0198bbbb  docs                     handbook      3  1.23 M     3.2  20 Nov 08:13
    """)


def test_a_narrow_terminal_has_titles_in_place_of_ids() -> None:
    assert shown(TITLED, OLD, entry("0197cccc-0000"), profile=NARROW) == lines("""
        Title                        Project   Turns  Tokens  Points
        Fix the flaky checkout tes…  shop         12  1.23 M     3.2
        docs                         handbook      3  1.23 M     3.2
        0197cccc                                  12  1.23 M     3.2
    """)


def test_a_wide_terminal_has_the_folder() -> None:
    """And the accounts, if there are several."""
    assert shown(TITLED, OLD, profile=WIDE) == lines("""
        Thread    Title                         Project   Turns  Tokens  Points  Last used     Folder
        0199aaaa  Fix the flaky checkout tests  shop         12  1.23 M     3.2  11:00         /work/shop
        0198bbbb  docs                          handbook      3  1.23 M     3.2  20 Nov 08:13  /srv/handbook
    """)
    assert shown(TITLED, {**OLD, "accounts": list(ACCOUNTS)}, profile=UTC._replace(width=110)) == lines("""
        Thread    Title                         Project   Turns  Tokens  Points  Last used     Account
        0199aaaa  Fix the flaky checkout tests  shop         12  1.23 M     3.2  11:00         alice@example.com
        0198bbbb  docs                          handbook      3  1.23 M     3.2  20 Nov 08:13  alice@example.com, bob
    """)


def test_the_users_home_is_a_tilde() -> None:
    folder = str(Path.home() / "work")
    assert shown(entry(folder=folder), profile=PIPE).endswith("  ~/work" if os.sep == "/" else "  ~\\work")


def test_a_pipe_gets_whole_ids_and_titles() -> None:
    """What nothing is known of is left out."""
    both = entry(accounts=["acct-b/user-b", "acct-a/user-a"])
    assert shown(both, profile=PIPE) == lines("""
        Thread                                Turns  Tokens  Points  Last used  Account
        0199aaaa-0000-7000-8000-000000000001     12  1.23 M     3.2  11:00      bob, alice@example.com
    """)
    long = "a long title of many words " * 10
    assert long.strip() in shown(entry(title=long.strip(), project="p" * 100), profile=PIPE)


def test_the_tree_of_a_thread_is_indented() -> None:
    tree = [
        {"thread": "0199dddd-1", "kind": "review", "depth": 1, "title": "Review the changes", "turns": 4},
        {"thread": "0199eeee-2", "kind": "collab_spawn", "depth": 2, "turns": 1},
    ]
    titles = entry("thread_title", turns=7)
    assert shown(entry(FIRST, *tree, title="Fix the tests"), titles) == lines("""
        Thread    Title                         Turns  Tokens  Points  Last used
        0199aaaa  Fix the tests                    12  1.23 M     3.2  11:00
        0199dddd    review: Review the changes      4  1.23 M     3.2  11:00
        0199eeee      sub-agent                     1  1.23 M     3.2  11:00
                  titles of threads                 7  1.23 M     3.2  11:00
    """)


def test_a_long_list_is_cut_on_a_terminal() -> None:
    many = [entry(f"{number:08}-0000") for number in range(1_057)]
    assert shown(*many).splitlines()[-1] == "… and 1,037 more (--all)"
    assert len(shown(*many).splitlines()) == 22
    assert len(shown(*many, all_rows=True).splitlines()) == len(shown(*many, profile=PIPE).splitlines()) == 1_058


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_lines_fit(width: int) -> None:
    long = "word " * 40
    found = [
        entry(f"0199aaaa-{number}", title=long, project=long, folder=long, accounts=list(ACCOUNTS))
        for number in range(3)
    ]
    text = shown(*found, profile=UTC._replace(width=width))
    assert max(map(len, text.splitlines())) <= max(width, 56)


def test_what_others_wrote_is_sanitized() -> None:
    """Escape sequences do not reach the terminal."""
    hostile = "\x1b[31mred"
    accounts = {"acct-a/user-a": hostile}
    found = entry(hostile, {"kind": hostile}, name=hostile, project=hostile, folder=hostile)
    for profile in (UTC, WIDE, PIPE):
        assert "\x1b" not in render_threads([found], accounts, NOON, profile).plain
        assert "\x1b" not in render_threads([{**found, "name": None}], accounts, NOON, profile).plain
