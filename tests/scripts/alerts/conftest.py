"""Fixtures of the tests of alerts."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest
from apprise import Apprise

from tests.support.alerts import Desk

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module", autouse=True)
def _apprise() -> None:
    """Load the services of apprise: on Python 3.11 its imports cause deprecation warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert Apprise.instantiate("json://127.0.0.1:9/")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Return a database and an alerts file, neither of which exists yet."""
    return Desk(tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of an alerts file, which does not exist yet."""
    return tmp_path / "alerts.toml"
