"""The text of `prune`."""

from __future__ import annotations

from typing import Any

from scripts.render.prune import render_prune
from store.queries.accounts import Account
from store.queries.retention import PruneCounts
from tests.support.factories import NOON
from tests.support.rendering import UTC, lines

ALICE = Account(1, "acct-a/user-a", None, "alice@example.com", "plus", (), NOON, NOON, label="alice@example.com")
BOB = Account(2, "acct-b/user-b", "bob", None, None, (), NOON, NOON, label="bob")
CAROL = Account(3, "acct-c/user-c", "carol", None, None, (), NOON, NOON, label="carol")

COUNTS = [
    PruneCounts(ALICE, snapshots=1_150, turns=1, imported_limits=50, threads=0, snapshots_kept=5, turns_kept=5),
    PruneCounts(BOB, snapshots=1, turns=0, imported_limits=0, threads=2, snapshots_kept=5, turns_kept=5),
    PruneCounts(CAROL, snapshots=0, turns=0, imported_limits=0, threads=0, snapshots_kept=5, turns_kept=5),
]


def shown(counts: list[PruneCounts], **fields: Any) -> str:
    options = {"size": 12_000_000, "freed": 3_040_000, "deleted": False, **fields}
    return render_prune(counts, NOON, profile=UTC, **options)


def test_old_data_is_counted_by_account() -> None:
    """Accounts without old data are left out, and the last lines say that nothing was deleted."""
    assert shown(COUNTS) == lines("""
        Older than 2026-11-21 12:00:
          alice@example.com · plus  1,150 snapshots, 1 turn, 0 threads, 50 imported readings
          bob                       1 snapshot, 0 turns, 2 threads
        That is about 3.0 MB of 12.0 MB. The newest snapshot of each limit stays.
        Nothing was deleted. Add --yes to delete it.
    """)


def test_the_file_after_a_deletion() -> None:
    """The file is smaller, or has free space."""
    smaller, same = (shown(COUNTS, freed=freed, deleted=True).splitlines() for freed in (3_040_000, 0))
    assert (smaller[0], same[0]) == ("Deleted (older than 2026-11-21 12:00):",) * 2
    assert smaller[-1] == "The file is 3.0 MB smaller: 9.0 MB."
    assert same[-1] == "The file has the same size; new data uses the free space in it."


def test_nothing_is_old() -> None:
    """One line, with or without --yes."""
    for counts in ([], COUNTS[2:]):
        for deleted in (False, True):
            assert shown(counts, deleted=deleted) == "Nothing is older than 2026-11-21 12:00."
