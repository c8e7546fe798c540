"""The document of the overview, from a database."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from store.database import open_reader
from store.queries.accounts import load_accounts
from store.queries.overview import empty_overview, load_overview
from tests.support.databases import record
from tests.support.factories import BOB, NOON, used

if TYPE_CHECKING:
    from pathlib import Path


def test_an_overview(path: Path) -> None:
    """The accounts, the more pressed first, and the headline about the better one."""
    record(path, used(13), used(90, who=BOB))
    with closing(open_reader(path)) as connection:
        found = load_overview(connection, NOON + 60, load_accounts(connection))
    assert [each["label"] for each in found["accounts"]] == ["bob@example.com", "alice@example.com"]
    five = found["accounts"][0]["limits"][0]["windows"]["5h"]
    assert (five["used_percent"], five["level"], five["forecast_level"]) == (90.0, "high", None)
    headline = found["headline"]
    assert headline is not None
    assert headline["account"] is not None
    assert (headline["state"], headline["account"]["label"]) == ("use", "alice@example.com")


def test_no_database() -> None:
    """The document has no accounts and no headline."""
    found = empty_overview(NOON)
    assert (found["accounts"], found["headline"]) == ([], None)
