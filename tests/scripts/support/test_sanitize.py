"""Sanitizing of text for terminals."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.render.accounts import render_accounts
from scripts.render.history import render_history
from scripts.render.status import render_status
from scripts.support.sanitize import sanitize
from store.database import open_reader
from store.models import Credits, Identity
from store.queries.accounts import load_accounts
from store.queries.history import load_history
from store.queries.status import load_status
from tests.support.databases import record
from tests.support.factories import NOON, limit, snapshot, windows
from tests.support.rendering import UTC

if TYPE_CHECKING:
    from pathlib import Path


HOSTILE = "[red]\x1b[31m\u202eevil\nline[/]"


HARMLESS = "[red]�[31m�evil�line[/]"


@pytest.mark.parametrize(
    ("text", "sanitized"),
    [
        ("łódź-日本 100 %", "łódź-日本 100 %"),
        ("", ""),
        (HOSTILE, HARMLESS),
        ("a\tb\x7fc\u2028d", "a�b�c�d"),
        (7, "7"),
    ],
)
def test_control_characters_are_replaced(text: object, sanitized: str) -> None:
    """Printable text of any language stays as it is."""
    assert sanitize(text) == sanitized


@given(st.text())
def test_any_text_becomes_printable(text: str) -> None:
    """Each character is replaced by one character."""
    found = sanitize(text)
    assert found.isprintable()
    assert len(found) == len(text)


def test_text_from_the_wire_is_sanitized(tmp_path: Path) -> None:
    """Markup stays text; control characters, escapes and changes of direction are replaced."""
    who = Identity(token_key=HOSTILE, account_id=HOSTILE, email=HOSTILE)
    hostile = snapshot(
        limit(windows(1, 2), limit_id=HOSTILE, limit_name=HOSTILE + "2", limit_reached=True, reached_type=HOSTILE),
        who=who,
        plan_type=HOSTILE,
        credits=Credits(has_credits=True, balance=HOSTILE),
    )
    path = record(tmp_path / "tap.sqlite3", hostile)
    with closing(open_reader(path)) as connection:
        known = load_accounts(connection)
        texts = [
            render_status(load_status(connection, NOON, known), UTC),
            render_accounts(known, UTC),
            *render_history(load_history(connection, known), [*known, *known], ["c", HOSTILE], UTC),
        ]
    written = "\n".join(text.plain for text in texts)
    assert HARMLESS in written
    assert all(character.isprintable() for character in written.replace("\n", ""))
