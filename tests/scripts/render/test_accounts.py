"""The text of `accounts`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from scripts.render.accounts import render_accounts
from store.database import open_reader
from store.queries.accounts import labelled, load_accounts
from tests.support.databases import record
from tests.support.factories import ALICE, NOON, used
from tests.support.rendering import UTC, lines

if TYPE_CHECKING:
    from pathlib import Path


def test_accounts_are_shown_with_all_they_can_be_named_by(tmp_path: Path) -> None:
    """The list has name, e-mail, plan, key, the newest token keys and the number of others."""
    tokens = [ALICE.model_copy(update={"token_key": f"alice~{number}"}) for number in range(5)]
    path = record(tmp_path / "tap.sqlite3", *(used(1, who=who, at=NOON + 60 * i) for i, who in enumerate(tokens)))
    with closing(open_reader(path)) as connection:
        known = labelled([load_accounts(connection)[0]._replace(name="work", merged=("old/key",))])
    assert render_accounts(known, UTC).plain == lines("""
        work · alice@example.com
          account  acct-a/user-a
          token    alice~4
          before   alice~3
          before   alice~2
                   and 2 earlier
          merged   old/key
          seen     2026-11-21 12:00 to 2026-11-21 12:04
    """)
