"""Fixtures of the tests of the demo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts.demo.backend import Backend
from scripts.demo.client import CodexClient

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=[False, True], ids=["http1", "http2"])
def http2(request: pytest.FixtureRequest) -> bool:
    """Run a test with each HTTP version."""
    return bool(request.param)


@pytest.fixture
def backend() -> Iterator[Backend]:
    """Run a stand-in for one test; it offers HTTP/1.1 only."""
    with Backend() as started:
        yield started


@pytest.fixture
def client(backend: Backend) -> Iterator[CodexClient]:
    """Connect a client of one account to the stand-in."""
    with CodexClient(backend.proxy_url, [backend.ca_file], token="token-a", account_id="account-a") as opened:
        yield opened
