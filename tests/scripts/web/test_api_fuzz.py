"""Generated requests to the API: valid and invalid ones, by its OpenAPI document."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from store.models import Tokens, Transport, Turn
from tests.support.databases import record
from tests.support.factories import ALICE, BOB, limit, snapshot, windows
from tests.support.web_server import WRITE, Site

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = max(10, settings().max_examples // 2)
"""The number of valid and of invalid requests for each operation."""

CHECKS: list[Any] = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The API of a running server, loaded from its own OpenAPI document."""
    at = time.time()
    path = record(
        tmp_path_factory.mktemp("fuzz") / "web.sqlite3",
        snapshot(limit(windows(13, 41, at=at)), at=at - 3_000, plan_type="plus"),
        Turn(
            identity=ALICE,
            transport=Transport.HTTP,
            started_at=at - 2_000,
            ended_at=at - 1_990,
            thread="<b>&\u202e",
            tokens=Tokens(input=5, output=2),
        ),
        snapshot(limit(windows(20, 41, at=at)), at=at - 1_000),
        snapshot(limit(windows(100, 3, at=at)), who=BOB, at=at - 500),
    )
    with Site(path) as site:
        yield schemathesis.openapi.from_url(f"http://127.0.0.1:{site.port}/openapi.json").exclude(path="/api/stream")


def test_generated_requests_get_valid_responses(described: Any) -> None:
    """No response is a server error, and each conforms to the document."""
    asked = set()
    for found in described.get_all_operations():
        operation = found.ok()
        asked.add(f"{operation.method.upper()} {operation.path}")
        for mode in schemathesis.GenerationMode:
            _ask(operation, mode)
    assert {"GET /api/usage", "PATCH /api/accounts/{prefix}", "DELETE /api/accounts/{prefix}"} <= asked
    assert len(asked) >= 15


def _ask(operation: Any, mode: schemathesis.GenerationMode) -> None:
    """Send valid or invalid requests to an operation."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
    def ask(case: Any) -> None:
        case.call_and_validate(headers=dict(WRITE), checks=CHECKS)

    try:
        ask()
    except Unsatisfiable:
        # Whatever can be asked of an operation without parameters is allowed.
        assert mode is schemathesis.GenerationMode.NEGATIVE
