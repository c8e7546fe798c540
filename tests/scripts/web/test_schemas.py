"""The models of documents and of request bodies, against the responses."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter

from tests.support.web_database import DOCUMENTS, OF_ONE
from tests.support.web_server import Site, ask


@pytest.mark.parametrize(("asked", "model"), DOCUMENTS + OF_ONE)
def test_documents_conform_to_their_models(shared: Site, asked: str, model: type[object]) -> None:
    """The schema and the response have the same fields."""
    found = shared.get(asked)
    assert (found.status, found.headers["content-type"]) == (200, "application/json")
    assert TypeAdapter(model).validate_python(found.document, strict=True) == found.document


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"name": 5}', b'{"name": "\\ud800"}', b'{"nam": "x"}', b""])
def test_an_invalid_body_is_refused(shared: Site, body: bytes) -> None:
    """The error has the same form, and does not repeat the body."""
    write = {"X-Codex-Tap": "1", "Content-Type": "application/json"}
    found = ask(shared.port, "PATCH", "/api/accounts/alice", write, body)
    assert (found.status, found.headers["content-type"]) == (422, "application/problem+json")
    garbled = ask(shared.port, "PATCH", "/api/accounts/alice", write, b"\xff")
    assert (garbled.status, garbled.headers["content-type"]) == (400, "application/problem+json")
