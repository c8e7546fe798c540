"""Fixtures of the tests of alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.alerts import Desk, load_apprise

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module", autouse=True)
def _apprise() -> None:
    load_apprise()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Return a database and an alerts file, neither of which exists yet."""
    return Desk(tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of an alerts file, which does not exist yet."""
    return tmp_path / "alerts.toml"
