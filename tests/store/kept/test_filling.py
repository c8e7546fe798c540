"""Filling the kept rows in pieces, and what is dropped of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from store import edits
from store.database import open_reader, open_writer
from store.files import kept_path
from store.kept import filling
from store.kept.filling import Wish, drop_edited, fill
from store.kept.kind import FINAL_SECONDS, Coverage, Piece
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, NOON, turn, used
from tests.support.kept import DAY, HOUR, SEEN, TOKENS, coverage, fill_all, kept_rows, stored_rows

if TYPE_CHECKING:
    from pathlib import Path

NOW = NOON + 100 * DAY
END = NOW - FINAL_SECONDS


def daily(path: Path, days: int = 100) -> Path:
    """Record a snapshot and a turn of each account on each day from noon on."""
    entries = [
        each
        for day in range(days)
        for number, who in enumerate((ALICE, BOB))
        for each in (
            used(day % 90 + number, at=NOON + day * DAY, who=who),
            turn(at=NOON + day * DAY + 60, tokens={"output": day + 1}, who=who),
        )
    ]
    return record(path, *entries)


def test_what_is_final_is_kept_and_nothing_newer(path: Path) -> None:
    """In steps where the kind has some; coverage from the first row on begins at 0."""
    assert fill_all(daily(path), NOW)
    rows = kept_rows(path)
    assert rows is not None
    assert [row[:2] for row in rows] == [(account, NOON + day * DAY) for account in (1, 2) for day in range(99)]
    assert coverage(path) == dict.fromkeys((1, 2), Coverage(0.0, END))
    assert coverage(path, TOKENS) == dict.fromkeys((1, 2), Coverage(0.0, END // HOUR * HOUR))
    hours = kept_rows(path, TOKENS)
    assert hours is not None
    assert sum(row[2] for row in hours) == 2 * sum(range(1, 100))


def test_a_question_has_filled_what_it_needs(path: Path) -> None:
    """Of its accounts, from its start on; later up to the present, and further back."""
    daily(path)
    fill_all(path, NOW - 50 * DAY, SEEN, since=NOW - 57 * DAY, accounts=[2])
    assert coverage(path) == {2: Coverage(NOW - 57 * DAY, END - 50 * DAY)}
    fill_all(path, NOW, SEEN, since=NOW - 51 * DAY, accounts=[2])
    assert coverage(path) == {2: Coverage(NOW - 57 * DAY, END)}
    fill_all(path, NOW, SEEN)
    assert coverage(path) == dict.fromkeys((1, 2), Coverage(0.0, END))
    once = stored_rows(path)
    kept_path(path).unlink()
    fill_all(path, NOW, SEEN)
    assert stored_rows(path) == once


def test_what_is_filled_already_opens_the_database_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for each account: opening it takes longer than a short question."""
    fill_all(daily(path), NOW, TOKENS)
    opened: list[Path] = []

    def open_counted(database: Path) -> sqlite3.Connection:
        opened.append(database)
        return open_reader(database)

    monkeypatch.setattr(filling, "open_reader", open_counted)
    assert fill(path, [Wish(TOKENS)], NOW)
    assert opened == [path]


def test_a_short_question_does_not_fill_a_long_gap(path: Path) -> None:
    """It asks the rows of the database: the coverage stays as it was."""
    daily(path)
    fill_all(path, NOW - 50 * DAY)
    before = coverage(path)
    fill_all(path, NOW, since=NOW - 7 * DAY)
    assert coverage(path) == before


@pytest.mark.parametrize(("days", "number"), [(1, 99), (7, 15), (40, 3), (1_000, 1)])
def test_pieces_of_any_length_fill_the_same_rows(
    path: Path, monkeypatch: pytest.MonkeyPatch, days: int, number: int
) -> None:
    """Each is a transaction of its own, and reports that it is stored."""
    monkeypatch.setattr(filling, "PIECE_SECONDS", days * DAY)
    daily(path)
    pieces: list[None] = []
    fill(path, [Wish(SEEN), Wish(TOKENS)], NOW, on_piece=lambda: pieces.append(None))
    assert len(kept_rows(path) or ()) == 2 * 99
    assert len(stored_rows(path, "tokens_hours")) == 2 * 99
    assert len(pieces) == 4 * number


def test_an_error_loses_one_piece(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was stored before stays, and the next filling goes on there."""
    monkeypatch.setattr(filling, "PIECE_SECONDS", 30 * DAY)
    daily(path)

    def fails_later(piece: Piece) -> float:
        reached = SEEN.fill(piece)
        if piece.since > 0:
            raise KeyboardInterrupt
        return reached

    with pytest.raises(KeyboardInterrupt):
        fill(path, [Wish(SEEN._replace(fill=fails_later))], NOW)
    assert [row[1] for row in stored_rows(path)] == [NOON + day * DAY for day in range(31)]
    fill_all(path, NOW)
    assert len(kept_rows(path) or ()) == 2 * 99


def test_a_kind_may_be_complete_for_less_than_it_was_asked_for(path: Path) -> None:
    """A later filling goes on there; one that brings nothing more ends."""
    daily(path)
    upto = NOON + 10 * DAY
    short = SEEN._replace(fill=lambda piece: SEEN.fill(piece._replace(until=min(piece.until, upto))))
    assert fill_all(path, NOW, short)
    assert coverage(path) == dict.fromkeys((1, 2), Coverage(0.0, upto))
    fill_all(path, NOW)
    assert len(stored_rows(path)) == 2 * 99


def test_which_databases_are_long(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short one is read in a moment; one that is not there has no answers."""
    assert not filling.is_long(path)
    assert not filling.is_long(daily(path))
    monkeypatch.setattr(filling, "LONG_BYTES", path.stat().st_size)
    assert filling.is_long(path)


def test_nothing_is_filled_for_a_database_that_is_not_there(path: Path) -> None:
    """It has no answers that could be kept."""
    assert fill_all(path, NOW)
    assert coverage(daily(path)) == {}


def test_nothing_is_kept_where_it_cannot_be_written(path: Path) -> None:
    """Then the rows of the database are asked."""
    daily(path)
    kept_path(path).mkdir(parents=True)
    assert not fill_all(path, NOW)
    assert kept_rows(path) is None


def test_nothing_of_a_deleted_account_is_kept(path: Path) -> None:
    """At once, down to the bytes; the others stay."""
    fill_all(daily(path), NOW)
    with closing(open_writer(path)) as connection:
        edits.forget_account(connection, 1)
    assert set(coverage(path)) == {2}, "also before the kept rows are deleted"
    drop_edited(path)
    assert {row[0] for row in stored_rows(path)} == {2}
    assert {row[0] for row in stored_rows(path, "tokens_hours")} == {2}


def test_all_is_deleted_where_an_account_cannot_be(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process fills, say."""
    fill_all(daily(path), NOW)
    monkeypatch.setattr("store.kept.storage._WRITE_SECONDS", 0.01)
    with closing(sqlite3.connect(kept_path(path), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        drop_edited(path)
    assert not kept_path(path).exists()


def test_dropping_makes_no_file(path: Path) -> None:
    """Where nothing is kept."""
    drop_edited(daily(path))
    assert not kept_path(path).exists()
