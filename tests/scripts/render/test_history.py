"""The text of `history`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from scripts.render.history import render_history
from store.database import open_reader
from store.queries.accounts import load_accounts
from store.queries.history import load_history
from store.queries.limits import load_limit_ids
from tests.support.databases import record
from tests.support.factories import BOB, NOON, limit, snapshot, used
from tests.support.rendering import UTC, lines

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.render.console import TerminalProfile


HISTORY = (
    used(13, 41, at=NOON - 86_400),
    used(13, 41, at=NOON - 86_300),
    used(14, 41, at=NOON),
    snapshot(limit({}, limit_id="codex_bengalfox", limit_reached=True), who=BOB, at=NOON),
)


def history(path: Path, profile: TerminalProfile) -> str:
    with closing(open_reader(record(path / "tap.sqlite3", *HISTORY))) as connection:
        known = load_accounts(connection)
        lines = render_history(load_history(connection, known), known, load_limit_ids(connection), profile)
        return "\n".join(line.plain for line in lines)


def test_history_in_a_pipe_leaves_nothing_out(tmp_path: Path) -> None:
    """A row has times, observations, account, limit and windows."""
    assert history(tmp_path, UTC._replace(unlimited=True)) == lines("""
        First seen        Last seen     Times  Account            Limit            Used
        2026-11-20 12:00  12:01             2  alice@example.com  codex            5 h 13 %    7 d 41 %
        2026-11-21 12:00                    1  alice@example.com  codex            5 h 14 %    7 d 41 %
        2026-11-21 12:00                    1  bob@example.com    codex_bengalfox  no figures  limit reached
    """)


def test_history_fits_80_columns(tmp_path: Path) -> None:
    """The least informative columns are left out first."""
    text = history(tmp_path, UTC)
    assert text == lines("""
        First seen        Account            Limit            Used
        2026-11-20 12:00  alice@example.com  codex            5 h 13 %    7 d 41 %
        2026-11-21 12:00  alice@example.com  codex            5 h 14 %    7 d 41 %
        2026-11-21 12:00  bob@example.com    codex_bengalfox  no figures  limit reached
    """)


def test_a_column_with_the_same_value_in_every_row_is_left_out(tmp_path: Path) -> None:
    """The columns of account and limit are left out for one account with one limit."""
    path = record(tmp_path / "tap.sqlite3", used(13, 41))
    with closing(open_reader(path)) as connection:
        known = load_accounts(connection)
        _, row = render_history(load_history(connection, known), known, ["codex"], UTC)
    assert row.plain == "2026-11-21 12:00  5 h 13 %    7 d 41 %"
