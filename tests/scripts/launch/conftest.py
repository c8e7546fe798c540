"""Fixtures of the tests of the launcher."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.launcher import Front

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.demo.backend import Backend


@pytest.fixture
def front(backend: Backend) -> Iterator[Front]:
    """Run a proxy of a company in front of the stand-in backend."""
    front = Front(backend.port)
    yield front
    front.close()
