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
    return bool(request.param)


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as started:
        yield started


@pytest.fixture
def client(backend: Backend) -> Iterator[CodexClient]:
    with CodexClient(backend.proxy_url, [backend.ca_file], token="token-a", account_id="account-a") as made:
        yield made
