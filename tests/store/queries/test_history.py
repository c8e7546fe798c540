"""The snapshots of a time range."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from store.database import open_reader
from store.documents import HistoryEntry
from store.models import Credits
from store.queries.accounts import load_accounts
from store.queries.history import load_history
from tests.support.databases import record
from tests.support.factories import BOB, NOON, limit, snapshot, used, windows

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(path: Path) -> Path:
    """Five snapshots of two accounts, one of which was seen twice."""
    other = limit(windows(5), limit_id="codex_bengalfox", limit_name="Spark", limit_reached=True)
    return record(
        path,
        used(10, at=NOON),
        used(10, at=NOON + 100),
        used(20, at=NOON + 200),
        used(3, at=NOON + 300, who=BOB),
        snapshot(other, at=NOON + 400, plan_type="pro", credits=Credits(has_credits=True, balance="9.5")),
    )


def entries(path: Path, *, only: str | None = None, **options: Any) -> list[HistoryEntry]:
    """The history of all accounts, or of those of one e-mail."""
    with closing(open_reader(path)) as connection:
        accounts = [each for each in load_accounts(connection) if only in {None, each.email}]
        return list(load_history(connection, accounts, **options))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1, 2, 3, 4]),
        ({"only": "alice@example.com"}, [1, 2, 4]),
        ({"only": "bob@example.com"}, [3]),
        ({"only": "carol@example.com"}, []),
        ({"limit_id": "codex"}, [1, 2, 3]),
        ({"since": NOON + 100}, [1, 2, 3, 4]),
        ({"since": NOON + 101}, [2, 3, 4]),
        ({"since": NOON + 250, "limit_id": "codex", "only": "bob@example.com"}, [3]),
    ],
)
def test_options_narrow_the_history(path: Path, options: dict[str, Any], expected: list[int]) -> None:
    """The oldest snapshot comes first; a snapshot counts if it was still seen in the time range."""
    assert [entry["id"] for entry in entries(path, **options)] == expected


def test_an_entry_has_every_field(path: Path) -> None:
    """It is the documented entry, with the windows as they were reported."""
    first, *_, last = entries(path)
    assert set(first) == set(HistoryEntry.__annotations__)
    assert (first["first_seen_at"], first["last_seen_at"], first["observations"]) == (NOON, NOON + 100, 2)
    assert {slot: window["used_percent"] for slot, window in first["windows"].items()} == {"5h": 10, "7d": 40}
    assert (first["account"], first["limit_reached"], first["late"]) == ("acct-a/user-a", None, False)
    assert (last["limit_name"], last["limit_reached"], last["plan_type"]) == ("Spark", True, "pro")
    assert last["credits"] == {"has_credits": True, "unlimited": None, "balance": "9.5"}
