"""The application: every error is a problem document."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts.web import schemas

if TYPE_CHECKING:
    from tests.support.web_server import Site


@pytest.mark.parametrize(
    ("method", "asked", "status"),
    [
        ("GET", "/nothing/here", 404),
        ("GET", "/api/nothing", 404),
        ("GET", "/static/nothing.js", 404),
        ("GET", "/static/../app.py", 404),
        ("GET", "/static/%2e%2e/app.py", 404),
        ("GET", "/static/..%5capp.py", 404),
        ("GET", "/static/%00", 404),
        ("GET", "/docs", 404),
        ("POST", "/api/usage", 405),
        ("PUT", "/", 405),
        ("DELETE", "/api/accounts", 405),
        ("GET", "/api/history?since=yesterday", 422),
        ("GET", "/api/history?since=nan", 422),
        ("GET", "/api/history?since=1e400", 422),
        ("GET", "/api/history?since=99999999999", 422),
        ("GET", "/api/history?points=0", 422),
        ("GET", "/api/history?limit=x", 422),
        ("GET", "/api/requests?before=99999999999999999999", 422),
        ("GET", "/api/breakdown?by=colour", 422),
        ("GET", "/api/breakdown?window=3d", 404),
        ("GET", "/api/breakdown?limit_id=none", 404),
        ("GET", "/api/events?kind=window_reset&kind=party", 422),
        ("GET", "/api/next?credits=carol", 404),
        ("GET", "/api/next?credits=acct", 409),
        ("GET", "/api/usage/", 422),
        ("GET", f"/api/usage/{'x' * 400}", 422),
        ("PATCH", "/api/accounts/alice", 422),
    ],
)
def test_errors_are_problem_documents(shared: Site, method: str, asked: str, status: int) -> None:
    """Every error has the form of RFC 9457."""
    found = shared.write(method, asked)
    assert (found.status, found.headers["content-type"]) == (status, "application/problem+json"), found.text
    schemas.Problem.model_validate(found.document)
    assert found.document["status"] == status
