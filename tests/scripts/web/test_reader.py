"""Queries of the API: databases that are missing, unusable or created later, and prefixes of accounts."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from pydantic import TypeAdapter

from store.database import open_writer
from tests.support.databases import damage, record
from tests.support.factories import ALICE, BOB
from tests.support.web_database import ASKED, DOCUMENTS, reading
from tests.support.web_server import Site

if TYPE_CHECKING:
    from pathlib import Path


def test_a_missing_database_is_an_empty_document(tmp_path: Path) -> None:
    """Before the first run of a proxy, every document is empty, and no file is created."""
    with Site(tmp_path / "none" / "web.sqlite3") as site:
        for asked, model in DOCUMENTS:
            found = site.get(asked)
            assert found.status == 200, found.text
            TypeAdapter(model).validate_python(found.document)
    assert not (tmp_path / "none").exists()


def test_a_database_that_comes_later_is_found(tmp_path: Path) -> None:
    """The server need not be restarted."""
    path = tmp_path / "web.sqlite3"
    with Site(path) as site:
        assert site.get("/health").document["status"] == "empty"
        record(path, reading(13))
        assert site.get("/health").document["status"] == "ok"
        assert site.get("/api/usage").document["accounts"][0]["email"] == ALICE.email


@pytest.mark.parametrize(
    ("start", "status", "candidates"),
    [
        ("alice", 200, []),
        ("ALICE@", 200, []),
        ("acct-b/user-b", 200, []),
        (quote("acct-b/user-b", safe=""), 200, []),
        (BOB.token_key, 200, []),
        ("acct", 409, [ALICE.email, BOB.email]),
        ("carol", 404, [ALICE.email, BOB.email]),
        (quote("<script>"), 404, [ALICE.email, BOB.email]),
    ],
)
@pytest.mark.parametrize("of", ["/api/usage/", "/api/accounts/", "/codex/usage/", "/api/history?account="])
def test_an_unambiguous_prefix_matches_an_account(
    shared: Site, of: str, start: str, status: int, candidates: list[str]
) -> None:
    """Every path accepts prefixes. An ambiguous prefix is a conflict, and the response lists the candidates."""
    found = shared.get(of + start)
    assert found.status == status
    if status != 200:
        assert [each["email"] for each in found.document["candidates"]] == candidates


def test_a_newer_database_is_unavailable(site: Site, path: Path) -> None:
    """The message is that of the command line."""
    with closing(open_writer(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    for asked in ASKED:
        found = site.get(asked)
        assert (found.status, found.headers["content-type"]) == (503, "application/problem+json")
        assert "newer codex-tap (schema 99" in found.document["detail"]


def test_a_damaged_database_is_unavailable(site: Site, path: Path) -> None:
    """There is an error instead of data."""
    damage(path)
    for asked in ASKED:
        found = site.get(asked)
        assert (found.status, found.headers["content-type"]) == (503, "application/problem+json")
