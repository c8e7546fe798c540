"""Servers of a filled database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.web_database import fill
from tests.support.web_server import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database for one test."""
    return fill(tmp_path / "web.sqlite3")


@pytest.fixture
def site(path: Path) -> Iterator[Site]:
    """A server of that database."""
    with Site(path) as found:
        yield found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server of such a database, for tests that only read."""
    with Site(fill(tmp_path_factory.mktemp("shared") / "web.sqlite3")) as found:
        yield found
